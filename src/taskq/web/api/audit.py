"""The ledger of tool calls: which agent did what to the world, and who allowed it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from taskq.web.api.shapes import Cursor, Limit, Moment, Query, Shape, shaped
from taskq.web.api.task import the_task
from taskq.web.cursors import cursor_of, place_of
from taskq.web.operations import Call, Operations

operations = Operations("audit")

SHORT, LONG = 2_000, 100_000
CallStatus = Literal["proposed", "started", "success", "error", "timeout", "blocked", "unknown"]
Effect = Literal["read", "idempotent", "transactional", "unsafe"]
ToolName = Annotated[str, Meta(min_length=1, max_length=200)]


class ToolCall(Shape):
    """A tool call; `input` and `output` are text and may be cut, `took` is seconds."""

    task_id: UUID
    role: str
    call_id: str
    turn: int
    place: int
    tool: str
    actor: str
    effect: Effect
    status: CallStatus
    input: str
    output: str | None
    artifact: str | None
    needs_approval: bool
    approved_by: str | None
    declined_by: str | None
    declined_note: str | None
    amended_input: str | None
    attempt: int
    proposed_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    took: float | None


class Calls(Shape):
    """Tool calls, and where the list goes on."""

    calls: list[ToolCall]
    next: str | None


class LedgerQuery(Query):
    """Which calls."""

    tool: Annotated[list[ToolName], Meta(max_length=50, description="Any of these.")] = msgspec.field(
        default_factory=list
    )
    status: Annotated[list[CallStatus], Meta(max_length=7, description="Any of these.")] = msgspec.field(
        default_factory=list
    )
    effect: Annotated[list[Effect], Meta(max_length=4, description="Any of these.")] = msgspec.field(
        default_factory=list
    )
    mission: Annotated[UUID, Meta(description="Only of this mission.")] | None = None
    since: Annotated[Moment, Meta(description="Proposed then or later.")] | None = None
    until: Annotated[Moment, Meta(description="Proposed before.")] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


@operations.get("/audit/tools", query=LedgerQuery, returns=Calls)
async def list_tool_calls(call: Call[LedgerQuery, None]) -> Calls:
    """The tool calls of all tasks, newest first; what is long is cut at 2,000 characters."""
    wanted = call.query
    place = (None, None, None) if wanted.cursor is None else place_of(wanted.cursor, tuple[Moment, UUID, str])
    rows = await call.house.reads.fetch(
        "tool_calls_page",
        wanted.tool or None,
        wanted.status or None,
        wanted.effect or None,
        wanted.since,
        wanted.until,
        *place,
        SHORT,
        wanted.limit + 1,
        wanted.mission,
    )
    calls = [shaped(ToolCall, row) for row in rows[: wanted.limit]]
    more = len(rows) > wanted.limit
    last = calls[-1] if more else None
    return Calls(
        calls=calls, next=None if last is None else cursor_of(last.proposed_at, last.task_id, last.call_id)
    )


class CallsQuery(Query):
    """A page."""

    limit: Limit = 50
    cursor: Cursor | None = None


@operations.get("/tasks/{id:uuid}/calls", query=CallsQuery, returns=Calls, refusals=(404,))
async def list_calls(call: Call[CallsQuery, None]) -> Calls:
    """The tool calls of a task in order; what is long is cut at 100,000 characters."""
    limit, cursor = call.query.limit, call.query.cursor
    turn, place = (-1, -1) if cursor is None else place_of(cursor, tuple[Small, Small])
    rows = await call.house.reads.fetch("tool_calls_of_task", call.id, turn, place, LONG, limit + 1)
    the_task(call, rows)
    calls = [shaped(ToolCall, row) for row in rows if row["call_id"] is not None]
    more = len(calls) > limit
    calls = calls[:limit]
    return Calls(calls=calls, next=cursor_of(calls[-1].turn, calls[-1].place) if more else None)


Small = Annotated[int, Meta(ge=-1, le=32767)]
