"""Acting on many tasks at once: a page that says what will happen to each, then the deed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from taskq.client import Queue
from taskq.errors import TaskqError
from taskq.web.access.visitor import require
from taskq.web.acts import VERBS, Verb
from taskq.web.forms import FORM_LIMIT, MISSING, Form, read_form
from taskq.web.house import house_of
from taskq.web.render import page

MANY = 500
"""Tasks at once at most."""
WILL = {
    "cancel": "is cancelled at once",
    "retry": "gets one more attempt",
    "requeue": "is taken from its worker and queued again; no attempt is spent",
    "rerun": "stays; a new task like it is put in",
    "approve": "goes on",
    "reject": "is cancelled, and does not go on",
}
"""What happens to a task that a verb fits, in most statuses."""
WILL_IN = {
    ("cancel", "in_progress"): "is asked to stop; its worker stops it",
    ("retry", "queued"): "runs as soon as a worker is free",
}
"""What happens in the others."""


class Chosen(msgspec.Struct, frozen=True):
    """Which tasks, what to do to them, and why."""

    verb: Literal["cancel", "retry", "requeue", "rerun", "approve", "reject"]
    id: list[UUID]
    reason: Annotated[str, msgspec.Meta(max_length=8000)] | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it for one task."""

    task: dict[str, Any]
    done: bool
    words: str


async def ask(request: Request) -> Response:
    """The page that asks before it is done: ?verb=&id=&id=…"""
    require(request, "operate")
    query = request.query_params
    form = Form({name: query.getlist(name) for name in ("verb", "id", "back") if name in query})
    return await show(request, form, form.into(Chosen))


async def send(request: Request) -> Response:
    """Does it to each; leads back to the table, or says what could not be done."""
    actor = require(request, "operate").actor
    form = await read_form(request)
    chosen = form.into(Chosen)
    if chosen is not None and VERBS[chosen.verb].needs_a_reason and not chosen.reason:
        form.refuse("reason", MISSING)
    if chosen is None or form.errors or len(chosen.id) > MANY:
        return await show(request, form, chosen)
    house = house_of(request)
    rows = await house.reads.fetch("chosen", chosen.id, fresh=0)
    outcomes = [await outcome(house.queue, chosen, row, actor) for row in rows]
    house.changed()
    if all(outcome.done for outcome in outcomes):
        return RedirectResponse(back_of(form), 303)
    verb = VERBS[chosen.verb]
    return page(
        request, "outcomes.html", title=f"{verb.title}: outcome", outcomes=outcomes, back=back_of(form)
    )


async def outcome(queue: Queue, chosen: Chosen, row: dict[str, Any], actor: str) -> Outcome:
    """Do it to one task."""
    try:
        status = await do(queue, chosen.verb, row["id"], chosen.reason, actor)
    except TaskqError as refusal:
        return Outcome(row, False, str(refusal))
    return Outcome(row, True, status)


async def do(queue: Queue, verb: str, id: UUID, reason: str | None, actor: str) -> str:
    """Call the queue; returns the status of the task, or the id of a new one."""
    match verb:
        case "cancel":
            return await queue.cancel(id, reason, actor)
        case "retry":
            return await queue.retry(id, reason, actor)
        case "requeue":
            return await queue.requeue(id, reason, actor)
        case "rerun":
            return f"runs again as {await queue.rerun(id, reason, actor)}"
        case "approve":
            return await queue.approve(id, actor, reason)
    return await queue.reject(id, actor, reason)


async def show(request: Request, form: Form, chosen: Chosen | None) -> Response:
    """The form: what will happen to each task, and to which nothing."""
    rows: Sequence[dict[str, Any]] = []
    if chosen is not None and len(chosen.id) > MANY:
        form.refuse("id", f"At most {MANY} at once.")
    elif chosen is not None:
        rows = await house_of(request).reads.fetch("chosen", chosen.id, fresh=0)
    verb = VERBS.get(form.text("verb")) if form.text("verb") in WILL else None
    return page(
        request,
        "bulk.html",
        422 if form.errors or verb is None else 200,
        title=verb.title if verb else "Act on tasks",
        verb=verb,
        form=form,
        fitting=[(row, foretold(verb, row)) for row in rows if verb and row["status"] in verb.statuses],
        others=[row for row in rows if verb and row["status"] not in verb.statuses],
        back=back_of(form),
    )


def foretold(verb: Verb, row: dict[str, Any]) -> str:
    """What will happen to a task that the verb fits."""
    words = WILL_IN.get((verb.name, row["status"]), WILL[verb.name])
    if verb.name in ("cancel", "reject") and row["falls"]:
        words += f", and with it {row['falls']:,} that cannot run without it"
    if verb.name == "approve" and row["parked"]:
        words += f": {row['parked']}"
    return words


def back_of(form: Form) -> str:
    """The table that the tasks were chosen from."""
    back = form.text("back")
    return back if back == "/tasks" or back.startswith("/tasks?") else "/tasks"


ROUTES = [
    Route("/tasks/bulk", ask, methods=["GET"]),
    Route("/tasks/bulk", send, methods=["POST"], max_body_size=FORM_LIMIT),
]
