"""One task: all that there is to know of it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from taskq.errors import NoSuchTask
from taskq.web.api.shapes import Limit, Link, Query, Shape, TaskRow, raw, shaped
from taskq.web.operations import Call, Operations

operations = Operations("tasks")


class Edge(Link):
    """A task at the other end of a dependency."""

    on_failure: str
    met: bool


class Attempt(Shape):
    """An attempt that did not succeed."""

    attempt: int
    kind: str
    message: str | None
    traceback: str | None
    worker_id: UUID | None
    started_at: datetime | None
    finished_at: datetime


class Event(Shape):
    """What somebody did to a task, and why."""

    id: int
    at: datetime
    verb: str
    from_: str | None = msgspec.field(name="from")
    to: str | None
    actor: str
    reason: str | None


class Check(Shape):
    """What was checked of a submitted result."""

    round: int
    name: str
    passed: bool
    detail: str | None
    at: datetime


class Step(Shape):
    """A durable step; `result` is JSON text, cut at 4,000 characters."""

    place: int
    name: str
    kind: str
    result: str | None
    attempt: int
    at: datetime
    done_at: datetime | None
    wake_at: datetime | None


class Signal(Shape):
    """What a task was told."""

    name: str
    actor: str
    at: datetime


class Steer(Shape):
    """What an agent was told, or will be before its next turn."""

    id: int
    verb: str
    text: str
    actor: str
    at: datetime
    done_at: datetime | None


class Spend(Shape):
    """A budget that the task is under; a limit that is null is none.  `cost` is in US dollars."""

    scope: str
    key: str
    day: date | None
    tokens_used: float
    tokens: float | None
    cost_used: float
    cost: float | None
    turns_used: int
    turns: int | None
    tool_calls_used: int
    tool_calls: int | None
    seconds_used: float
    seconds: float | None
    share: float | None
    set_by: str | None


class Counts(Shape):
    """How many there are, shown or not."""

    dependencies: int
    dependents: int
    children: int
    attempts: int
    events: int
    messages: int
    calls: int
    logs: int


class WholeTask(TaskRow):
    """A task with all that there is to know of it; lists hold 500 at most, `counts` says of how many."""

    payload: msgspec.Raw
    result: msgspec.Raw
    depends_on: list[UUID]
    on_dependency_failure: str
    requires_approval: bool
    timeout: float
    dedup_key: str | None
    concurrency_key: str | None
    traceparent: str | None
    rerun_of: UUID | None
    crashes: int
    worker_id: UUID | None
    worker: str | None
    lease_expires_at: datetime | None
    heartbeat_at: datetime | None
    cancel_requested_at: datetime | None
    approved_at: datetime | None
    approved_by: str | None
    explain: str
    counts: Counts
    dependencies: list[Edge]
    dependents: list[Edge]
    children: list[Link]
    attempts: list[Attempt]
    events: list[Event]
    checks: list[Check]
    steps: list[Step]
    signals: list[Signal]
    steers: list[Steer]
    spend: list[Spend]


@operations.get("/tasks/{id:uuid}", returns=WholeTask, refusals=(404,))
async def get_task(call: Call[None, None]) -> WholeTask:
    """A task with all that there is to know of it but its conversation, tool calls and log."""
    row = the_task(call, await call.house.reads.fetch("whole_task", call.id))
    return shaped(WholeTask, {**row, "payload": raw(row["payload"]), "result": raw(row["result"])})


class Explained(Shape):
    """Why a task is where it is."""

    id: UUID
    explain: str


@operations.get("/tasks/{id:uuid}/explain", returns=Explained, refusals=(404,))
async def explain_task(call: Call[None, None]) -> Explained:
    """Why a task is where it is, and what would move it."""
    return Explained(id=call.id, explain=await call.house.queue.explain(call.id))


class Message(Shape):
    """One message of an agent's conversation; `cost` is in US dollars."""

    seq: int
    role: str
    body: msgspec.Raw
    stop_reason: str | None
    model: str | None
    usage: msgspec.Raw
    simulated: bool
    attempt: int
    cost: float | None
    request_id: str | None
    created_at: datetime


class Conversation(Shape):
    """Messages in order; ask again with `after`: the last seq, when there may be more."""

    messages: list[Message]
    next: int | None


class MessagesQuery(Query):
    """Which messages."""

    after: Annotated[
        int, Meta(ge=-1, le=2**31 - 1, description="Only those behind this one, by its seq.")
    ] = -1
    limit: Limit = 100


@operations.get("/tasks/{id:uuid}/messages", query=MessagesQuery, returns=Conversation, refusals=(404,))
async def list_messages(call: Call[MessagesQuery, None]) -> Conversation:
    """The conversation of an agent's task."""
    rows = await call.house.reads.fetch("messages_after", call.id, call.query.after, call.query.limit)
    the_task(call, rows)
    messages = [
        shaped(Message, {**row, "body": raw(row["body"]), "usage": raw(row["usage"])})
        for row in rows
        if row["seq"] is not None
    ]
    full = len(messages) == call.query.limit
    return Conversation(messages=messages, next=messages[-1].seq if full else None)


class LogLine(Shape):
    """A line that a handler logged."""

    id: int
    at: datetime
    attempt: int
    line: str


class Log(Shape):
    """Lines in order; ask again with `after`: the id of the last one, when there may be more."""

    logs: list[LogLine]
    next: int | None


class LogQuery(Query):
    """Which lines."""

    after: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Only those behind this one, by its id.")] = 0
    limit: Limit = 100


@operations.get("/tasks/{id:uuid}/logs", query=LogQuery, returns=Log, refusals=(404,))
async def list_logs(call: Call[LogQuery, None]) -> Log:
    """What the handler of a task logged."""
    rows = await call.house.reads.fetch("logs_after", call.id, call.query.after, call.query.limit)
    the_task(call, rows)
    lines = [shaped(LogLine, row) for row in rows if row["id"] is not None]
    return Log(logs=lines, next=lines[-1].id if len(lines) == call.query.limit else None)


class Happening(Shape):
    """Something that happened to a task."""

    at: datetime
    what: str
    actor: str | None
    detail: str | None


class Timeline(Shape):
    """The last thousand things, oldest first."""

    timeline: list[Happening]


@operations.get("/tasks/{id:uuid}/timeline", returns=Timeline, refusals=(404,))
async def list_timeline(call: Call[None, None]) -> Timeline:
    """What happened to a task: attempts, events, messages and log, in order."""
    rows = await call.house.reads.fetch("last_of_timeline", call.id)
    the_task(call, rows)
    return Timeline(timeline=[shaped(Happening, row) for row in rows if row["at"] is not None])


def the_task(call: Call[Any, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The first row of a statement that has one at least if there is such a task.

    :raises NoSuchTask: there is none.
    """
    if not rows:
        raise NoSuchTask(f"there is no task {call.id} (look for it with: GET /api/v1/tasks)")
    return rows[0]
