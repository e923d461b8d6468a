"""One act on many tasks, with one reason."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from taskq.errors import DatabaseError
from taskq.web.api.listing import TaskFilter, places_of
from taskq.web.api.shapes import Body, Shape
from taskq.web.house import House
from taskq.web.operations import Call, Operations
from taskq.web.problems import FieldError, Refused

operations = Operations("acting")

MOST = 500
"""Tasks of one request."""
Verb = Literal["cancel", "retry", "requeue", "rerun", "approve", "reject"]


class Bulk(Body):
    """What to do, to which tasks, and why."""

    verb: Verb
    reason: Annotated[str, Meta(min_length=1, max_length=8000, pattern=r"\S")]
    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MOST)] | None = None
    filter: TaskFilter | None = None


class Outcome(Shape):
    """What became of one task: its status (of a rerun: the id of the new one), or why it was refused."""

    id: UUID
    done: bool
    status: str | None = None
    new_id: UUID | None = None
    error: str | None = None


class BulkDone(Shape):
    """What became of each.  `more`: the filter fits others, too; send it again."""

    outcomes: list[Outcome]
    done: int
    refused: int
    more: bool


@operations.post("/tasks/bulk", scope="operate", body=Bulk, returns=BulkDone)
async def act_on_many(call: Call[None, Bulk]) -> BulkDone:
    """Do the same to many tasks, each in a transaction of its own, with one reason; 500 at most."""
    ids, more = await chosen(call)
    outcomes = [await act(call.house, call.body.verb, id, call.body.reason, call.actor) for id in ids]
    call.house.changed()
    done = sum(outcome.done for outcome in outcomes)
    return BulkDone(outcomes=outcomes, done=done, refused=len(outcomes) - done, more=more)


async def chosen(call: Call[None, Bulk]) -> tuple[list[UUID], bool]:
    """The ids, and whether the filter fits more.

    :raises Refused: neither ids nor a filter are given, or both, or a filter that fits all.
    """
    ids, wanted = call.body.ids, call.body.filter
    if (ids is None) == (wanted is None):
        raise Refused(422, "give either ids or a filter", [FieldError("ids", "give either ids or a filter")])
    if ids is not None:
        return list(dict.fromkeys(ids)), False
    assert wanted is not None
    if not any(msgspec.structs.asdict(wanted).values()):
        message = "an empty filter fits all tasks; say which"
        raise Refused(422, message, [FieldError("filter", message)])
    places, next = await places_of(call.house, wanted, MOST)
    return [id for _, id in places], next is not None


async def act(house: House, verb: Verb, id: UUID, reason: str, actor: str) -> Outcome:
    """Do it to one; a connection that breaks ends it for all the others, too, each with its own outcome."""
    queue = house.queue
    try:
        match verb:
            case "rerun":
                return Outcome(id=id, done=True, new_id=await queue.rerun(id, reason, actor))
            case "approve":
                status = await queue.approve(id, actor, reason)
            case "reject":
                status = await queue.reject(id, actor, reason)
            case "cancel":
                status = await queue.cancel(id, reason, actor)
            case "retry":
                status = await queue.retry(id, reason, actor)
            case "requeue":
                status = await queue.requeue(id, reason, actor)
        return Outcome(id=id, done=True, status=status)
    except DatabaseError as error:
        return Outcome(id=id, done=False, error=str(error))
