"""Roles and workers: who plays what, how it goes, what holds it back."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.house import house_of
from taskq.web.render import page

FRESH = 1.0
DAY = 30.0
"""Seconds for which the figures of a day are true enough."""
NOTHING: dict[str, Any] = {
    "completed": 0,
    "failed": 0,
    "seconds_p50": None,
    "cost": None,
    "turns": 0,
    "kinds": [],
}
"""The day of a role that did nothing."""


async def roles(request: Request) -> Response:
    """Every role, every worker, the limits."""
    reads = house_of(request).reads
    found = await reads.fetch_one("roles_page", fresh=FRESH)
    assert found is not None
    day = {row["role"]: row for row in await reads.fetch("roles_of_a_day", fresh=DAY, stale=10 * DAY)}
    return page(
        request,
        "roles.html",
        title="Roles and workers",
        topics=("roles",),
        calm=2,
        roles=[role | {"day": day.get(role["role"], NOTHING)} for role in found["roles"]],
        workers=found["workers"],
        gates=found["gates"],
        starts=starts,
    )


def starts(role: dict[str, Any]) -> str:
    """The command that starts a worker for a role."""
    brings = "--agents roles" if role["kind"] == "agent" else "--app module:app"
    return f"taskq worker {brings} --roles {role['role']}"


ROUTES = [Route("/roles", roles)]
