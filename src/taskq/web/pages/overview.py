"""The overview: what runs, what waits and for what."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.house import house_of
from taskq.web.render import page


async def overview(request: Request) -> Response:
    """The first page."""
    roles = await house_of(request).reads.fetch("roles")
    return page(request, "overview.html", title="Overview", topics=("overview",), roles=roles)


ROUTES = [Route("/", overview)]
