"""The application: its routes, what stands before them, and what it answers when something is wrong."""

from __future__ import annotations

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from taskq.errors import TaskqError
from taskq.web import pages, probes
from taskq.web.access import Place
from taskq.web.access.headers import Headers
from taskq.web.access.middleware import Access
from taskq.web.api import OPERATIONS
from taskq.web.feed.live import live
from taskq.web.house import House
from taskq.web.openapi import shipped
from taskq.web.operations import PREFIX, routes
from taskq.web.problems import Refused, handler
from taskq.web.sizes import Sized

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a request's body at most: a graph of some thousand tasks."""
PRIVATE = Place()


class Application(Starlette):
    """Its headers are on whatever it answers, errors that nobody foresaw included."""

    def build_middleware_stack(self) -> ASGIApp:
        return Headers(super().build_middleware_stack())


def create_app(house: House, place: Place = PRIVATE) -> Starlette:
    """The application on a house that stays open as long as it does.

    :param place: where it can be reached; by default from this machine alone.
    """
    on_error = handler(pages.on_error)
    access = Middleware(
        Access,
        keyring=house.keyring,
        place=place,
        operator=house.operator,
        on_error=on_error,
    )
    app = Application(
        routes=[
            Route(f"{PREFIX}/openapi.json", openapi),
            *routes(OPERATIONS),
            live(house.hub),
            *probes.ROUTES,
            *pages.ROUTES,
            Mount("/static", StaticFiles(directory=str(files("taskq.web") / "static")), name="static"),
            Route("/favicon.ico", lambda _request: RedirectResponse("/static/icon.svg")),
        ],
        middleware=[Middleware(Sized, limit=BODY_LIMIT, on_error=on_error), access],
        exception_handlers=dict.fromkeys((HTTPException, Refused, TaskqError, Exception), on_error),
    )
    app.state.house = house
    return app


async def openapi(_request: Request) -> Response:
    """The OpenAPI document."""
    return Response(shipped(), media_type="application/json")
