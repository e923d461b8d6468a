"""What people do to a task.  Each leaves an event with who and why."""

from __future__ import annotations

from typing import Annotated, Any, cast
from uuid import UUID

from msgspec import Meta

from taskq.web.api.shapes import Body, Link, Reason, Shape, Status, shaped
from taskq.web.operations import Call, Operations

operations = Operations("acting")
ON_A_TASK: dict[str, Any] = {"scope": "operate", "refusals": (404, 409)}

Word = Annotated[str, Meta(min_length=1, max_length=200)]


class Why(Body):
    """Why."""

    reason: Reason | None = None


class Noted(Body):
    """With a note."""

    note: Reason | None = None


class Moved(Shape):
    """The status of the task now."""

    id: UUID
    status: Status


class Falling(Shape):
    """What a cancel would end: itself and what falls with it; the first thousand of `count`."""

    count: int
    tasks: list[Link]


@operations.get("/tasks/{id:uuid}/cancel", returns=Falling, refusals=(404,))
async def preview_cancel(call: Call[None, None]) -> Falling:
    """What a cancel of this task would end; nothing when it has ended."""
    rows = await call.house.reads.fetch("would_fall", call.id)
    if not rows:
        await call.house.queue.explain(call.id)  # raises NoSuchTask when that is why
    return Falling(
        count=rows[0]["count"] if rows else 0,
        tasks=[shaped(Link, row) for row in rows],
    )


@operations.post("/tasks/{id:uuid}/cancel", body=Why, returns=Moved, **ON_A_TASK)
async def cancel_task(call: Call[None, Why]) -> Moved:
    """Cancel a task and what it spawned: at once when it waits; a running one is asked to stop, and is still
    in_progress."""
    return moved(call, await call.house.queue.cancel(call.id, call.body.reason, call.actor))


@operations.post("/tasks/{id:uuid}/retry", body=Why, returns=Moved, **ON_A_TASK)
async def retry_task(call: Call[None, Why]) -> Moved:
    """Run a failed or cancelled task again, and what fell with it; a queued one may run at once."""
    return moved(call, await call.house.queue.retry(call.id, call.body.reason, call.actor))


@operations.post("/tasks/{id:uuid}/requeue", body=Why, returns=Moved, **ON_A_TASK)
async def requeue_task(call: Call[None, Why]) -> Moved:
    """Take a running task from its worker and queue it again."""
    return moved(call, await call.house.queue.requeue(call.id, call.body.reason, call.actor))


class Rerun(Shape):
    """The new task, and the one that it runs again."""

    id: UUID
    rerun_of: UUID


@operations.post("/tasks/{id:uuid}/rerun", body=Why, returns=Rerun, status=201, **ON_A_TASK)
async def rerun_task(call: Call[None, Why]) -> Rerun:
    """Put in a new task like a finished one."""
    id = await call.house.queue.rerun(call.id, call.body.reason, call.actor)
    call.house.changed()
    return Rerun(id=id, rerun_of=call.id)


@operations.post("/tasks/{id:uuid}/approve", body=Noted, returns=Moved, **ON_A_TASK)
async def approve_task(call: Call[None, Noted]) -> Moved:
    """Say yes to a task that awaits it; it is queued."""
    return moved(call, await call.house.queue.approve(call.id, call.actor, call.body.note))


@operations.post("/tasks/{id:uuid}/reject", body=Why, returns=Moved, **ON_A_TASK)
async def reject_task(call: Call[None, Why]) -> Moved:
    """Say no to a task that awaits approval; it is cancelled, and what depends on it with it."""
    return moved(call, await call.house.queue.reject(call.id, call.actor, call.body.reason))


class Done(Body):
    """How it was done, or with `error` why it could not be."""

    result: Any = None
    error: Annotated[str, Meta(min_length=1, max_length=8000)] | None = None


@operations.post("/tasks/{id:uuid}/complete", body=Done, returns=Moved, **ON_A_TASK)
async def complete_task(call: Call[None, Done]) -> Moved:
    """Complete a queued task that a person plays, or fail it with an error."""
    done = call.body
    return moved(call, await call.house.queue.complete(call.id, done.result, call.actor, done.error))


class Amended(Body):
    """The payload that it gets."""

    payload: dict[str, Any]
    reason: Reason | None = None


@operations.post("/tasks/{id:uuid}/amend", body=Amended, returns=Moved, **ON_A_TASK)
async def amend_task(call: Call[None, Amended]) -> Moved:
    """Replace the payload of a task that has not begun."""
    amended = call.body
    return moved(call, await call.house.queue.amend(call.id, amended.payload, amended.reason, call.actor))


@operations.post("/tasks/{id:uuid}/decline-call", body=Noted, returns=Moved, **ON_A_TASK)
async def decline_call(call: Call[None, Noted]) -> Moved:
    """Refuse the tool call that an agent awaits approval for; it is told why, and goes on."""
    return moved(call, await call.house.queue.decline_call(call.id, call.body.note, call.actor))


class AmendedCall(Body):
    """The arguments that the call gets in place of the model's."""

    input: dict[str, Any]
    note: Reason | None = None


@operations.post("/tasks/{id:uuid}/amend-call", body=AmendedCall, returns=Moved, **ON_A_TASK)
async def amend_call(call: Call[None, AmendedCall]) -> Moved:
    """Approve the tool call that an agent awaits approval for, with other arguments; it is told."""
    amended = call.body
    return moved(call, await call.house.queue.amend_call(call.id, amended.input, amended.note, call.actor))


class Said(Body):
    """What to say."""

    text: Annotated[str, Meta(min_length=1, max_length=16_000, pattern=r"\S")]


class Heard(Shape):
    """The number of the message."""

    id: UUID
    message: int


@operations.post("/tasks/{id:uuid}/steer", body=Said, returns=Heard, status=201, **ON_A_TASK)
async def steer_task(call: Call[None, Said]) -> Heard:
    """Tell an agent something before its next turn."""
    number = await call.house.queue.steer(call.id, call.body.text, call.actor)
    call.house.changed()
    return Heard(id=call.id, message=number)


@operations.post("/tasks/{id:uuid}/pause", body=Why, returns=Heard, status=201, **ON_A_TASK)
async def pause_task(call: Call[None, Why]) -> Heard:
    """Have an agent wait for an approval before its next turn."""
    number = await call.house.queue.pause(call.id, call.body.reason, call.actor)
    call.house.changed()
    return Heard(id=call.id, message=number)


class Signal(Body):
    """What a task waits for, or will."""

    name: Word
    payload: Any = None


class Signalled(Shape):
    """Whether it was the first of its name; only that one counts."""

    id: UUID
    first: bool


@operations.post("/tasks/{id:uuid}/signal", body=Signal, returns=Signalled, **ON_A_TASK)
async def signal_task(call: Call[None, Signal]) -> Signalled:
    """Tell a task something that it waits for, or will."""
    first = await call.house.queue.signal(call.id, call.body.name, call.body.payload, call.actor)
    call.house.changed()
    return Signalled(id=call.id, first=first)


def moved(call: Call[Any, Any], status: str) -> Moved:
    """The task was changed: whoever looks, looks again."""
    call.house.changed()
    return Moved(id=call.id, status=cast(Status, status))
