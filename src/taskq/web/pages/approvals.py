"""The approvals: everything that awaits a person, with what he needs to see to answer."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.forms import Form, an_id
from taskq.web.house import house_of
from taskq.web.inbox import find_inbox
from taskq.web.render import page

DONE = {
    "approve": "approved",
    "amend_call": "approved with other arguments",
    "decline_call": "sent on without the call",
    "reject": "rejected",
    "complete": "completed",
    "amend": "changed",
    "cancel": "cancelled",
}
"""What a verb did, as an event names it."""


async def approvals(request: Request) -> Response:
    """The inbox; `role` and `mission` filter it, `done` names a task that was just acted on."""
    reads = house_of(request).reads
    role, mission = request.query_params.get("role") or None, an_id(request.query_params.get("mission"))
    done = an_id(request.query_params.get("done"))
    inbox = await find_inbox(reads, role, mission)
    outcome = await reads.fetch_one("outcome", done) if done else None
    filters = {"role": role or "", "mission": str(mission or "")}
    return page(
        request,
        "approvals.html",
        title=f"({inbox.total}) Approvals" if inbox.total else "Approvals",
        topics=("approvals",),
        inbox=inbox,
        filters=filters,
        back="/approvals?" + urlencode({name: value for name, value in filters.items() if value}),
        outcome=outcome,
        done=DONE,
        form=Form.showing(kind="text"),
    )


ROUTES = [Route("/approvals", approvals)]
