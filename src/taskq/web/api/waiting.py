"""What waits, and what should not."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from taskq.web.api.shapes import Cursor, Limit, Query, Shape, Status, shaped
from taskq.web.cursors import cursor_of, place_of
from taskq.web.operations import Call, Operations

operations = Operations("waiting")


class WaitingQuery(Query):
    """A page."""

    limit: Limit = 50
    cursor: Cursor | None = None


class WaitingTask(Shape):
    """A task, since when it is there, and why, with what would move it."""

    id: UUID
    role: str
    name: str | None
    status: Status
    mission_id: UUID
    since: datetime | None
    why: str


class WaitingPage(Shape):
    """Tasks, and where the list goes on."""

    tasks: list[WaitingTask]
    next: str | None


PAGE: dict[str, Any] = {"query": WaitingQuery, "returns": WaitingPage}


@operations.get("/tasks/blocked", **PAGE)
async def list_blocked(call: Call[WaitingQuery, None]) -> WaitingPage:
    """What waits for other tasks or for a signal, oldest first."""
    return await page_of(call, "blocked_tasks")


@operations.get("/tasks/stale", **PAGE)
async def list_stale(call: Call[WaitingQuery, None]) -> WaitingPage:
    """What could run and has not for more than five minutes, oldest first."""
    return await page_of(call, "stale_tasks")


@operations.get("/tasks/stuck", **PAGE)
async def list_stuck(call: Call[WaitingQuery, None]) -> WaitingPage:
    """What is in progress but should not be any more, oldest first."""
    return await page_of(call, "stuck_tasks")


@operations.get("/tasks/orphaned", **PAGE)
async def list_orphaned(call: Call[WaitingQuery, None]) -> WaitingPage:
    """What is queued for a role that no live worker plays, or runs on a worker that is gone; oldest first."""
    return await page_of(call, "orphaned_tasks")


@operations.get("/tasks/retryable", **PAGE)
async def list_retryable(call: Call[WaitingQuery, None]) -> WaitingPage:
    """What failed by itself, newest first; a retry revives what fell with it, too."""
    return await page_of(call, "retryable_tasks")


async def page_of(call: Call[WaitingQuery, None], query: str) -> WaitingPage:
    """The page of a statement that goes on behind an id."""
    limit, cursor = call.query.limit, call.query.cursor
    after = None if cursor is None else place_of(cursor, tuple[UUID])[0]
    rows = await call.house.reads.fetch(query, after, limit + 1)
    more = len(rows) > limit
    return WaitingPage(
        tasks=[shaped(WaitingTask, row) for row in rows[:limit]],
        next=cursor_of(rows[limit - 1]["id"]) if more else None,
    )
