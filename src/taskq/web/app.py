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

from taskq.errors import TaskqError
from taskq.web import pages, probes
from taskq.web.access.middleware import Access
from taskq.web.api import OPERATIONS
from taskq.web.feed.live import live
from taskq.web.house import House
from taskq.web.openapi import shipped
from taskq.web.operations import PREFIX, routes
from taskq.web.problems import Refused, handler

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a request's body at most: a graph of some thousand tasks."""


def create_app(house: House) -> Starlette:
    """The application on a house that stays open as long as it does."""
    on_error = handler(pages.on_error)
    app = Starlette(
        routes=[
            Route(f"{PREFIX}/openapi.json", openapi),
            *routes(OPERATIONS),
            live(house.hub),
            *probes.ROUTES,
            *pages.ROUTES,
            Mount("/static", StaticFiles(directory=str(files("taskq.web") / "static")), name="static"),
            Route("/favicon.ico", lambda _request: RedirectResponse("/static/icon.svg")),
        ],
        middleware=[Middleware(Access, operator=house.operator)],
        exception_handlers=dict.fromkeys((HTTPException, Refused, TaskqError, Exception), on_error),
        max_body_size=BODY_LIMIT,
    )
    app.state.house = house
    return app


async def openapi(_request: Request) -> Response:
    """The OpenAPI document."""
    return Response(shipped(), media_type="application/json")
