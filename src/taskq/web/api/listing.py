"""The list of tasks, page by page."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from taskq.web.api.shapes import (
    STATUSES,
    Cursor,
    Limit,
    Moment,
    Query,
    RoleName,
    Shape,
    Status,
    TaskRow,
    shaped,
)
from taskq.web.cursors import cursor_of, place_of
from taskq.web.house import House
from taskq.web.ids import LOWEST, first_of
from taskq.web.operations import Call, Operations

operations = Operations("tasks")

TEXT_WINDOW, WINDOW = 5_000, 20_000
"""Among so many tasks a page looks for a text, or for what no index knows."""
INDEXED: frozenset[Status] = frozenset(STATUSES) - {"completed", "cancelled"}
"""Statuses that an index leads to."""


class TaskFilter(Query):
    """Which tasks."""

    status: Annotated[list[Status], Meta(max_length=7, description="Any of these.")] = msgspec.field(
        default_factory=list
    )
    role: Annotated[list[RoleName], Meta(max_length=50, description="Any of these.")] = msgspec.field(
        default_factory=list
    )
    mission: Annotated[UUID, Meta(description="Only of this mission.")] | None = None
    text: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="A part of its id, role, name, creator, dedup_key, error, payload or result.",
            ),
        ]
        | None
    ) = None
    since: Annotated[Moment, Meta(description="Created then or later.")] | None = None
    until: Annotated[Moment, Meta(description="Created before.")] | None = None


class TaskQuery(TaskFilter):
    """A page of a list of tasks."""

    limit: Limit = 50
    cursor: Cursor | None = None


class TaskPage(Shape):
    """Tasks, newest first.

    A page may hold fewer than `limit`, or none, and still have a `next`: where a text is looked for, each
    looks through 5,000 tasks at most; where completed or cancelled tasks or a role are, through 20,000.
    """

    tasks: list[TaskRow]
    next: str | None


@operations.get("/tasks", query=TaskQuery, returns=TaskPage)
async def list_tasks(call: Call[TaskQuery, None]) -> TaskPage:
    """List tasks, newest first, filtered."""
    return await page_of(call.house, call.query, call.query.limit, call.query.cursor)


async def page_of(house: House, wanted: TaskFilter, limit: int, cursor: str | None = None) -> TaskPage:
    """The page of a list of tasks.

    :raises Refused: the cursor is none of ours.
    """
    places, next = await places_of(house, wanted, limit, cursor)
    rows = await house.reads.fetch("task_rows", [id for _, id in places]) if places else []
    return TaskPage(tasks=[shaped(TaskRow, row) for row in rows], next=next)


async def places_of(
    house: House, wanted: TaskFilter, limit: int, cursor: str | None = None
) -> tuple[list[tuple[UUID, UUID]], str | None]:
    """The places and ids of a page, and the cursor of the next one."""
    fetch, window = house.reads.fetch, window_of(wanted)
    what = (wanted.status or None, wanted.role or None, wanted.mission, wanted.text)
    below, below_id = place_below(wanted, cursor)
    lowest, highest = None if wanted.since is None else first_of(wanted.since), an_hour_ahead()
    newest, chosen = await asyncio.gather(
        fetch(
            "newest_places", *what, below, lowest, limit + 1, window or limit + 1, highest, window is not None
        ),
        fetch("chosen_places", *what, below, lowest, below_id, limit + 1, highest),
    )
    found = sorted(((row["place"], row["id"]) for row in (*newest, *chosen)), reverse=True)
    end = None
    if window is not None and len(newest) <= limit:
        end = await house.reads.fetch_one("last_place", wanted.mission, below, lowest, window, highest)
    if end is not None:
        found = [place for place in found if place[0] >= end["place"]]
    if len(found) > limit:
        return found[:limit], cursor_of(*found[limit - 1])
    return found, None if end is None else cursor_of(end["place"], LOWEST)


def window_of(wanted: TaskFilter) -> int | None:
    """How many tasks are looked through for a page; None where an index leads to those that fit."""
    if wanted.text is not None:
        return TEXT_WINDOW
    led = wanted.mission is not None or (wanted.status and INDEXED.issuperset(wanted.status))
    return None if led or not (wanted.status or wanted.role) else WINDOW


def place_below(wanted: TaskFilter, cursor: str | None) -> tuple[UUID | None, UUID | None]:
    """The place that all must lie below: of the cursor, or of the time."""
    places = [] if cursor is None else [place_of(cursor, tuple[UUID, UUID])]
    if wanted.until is not None:
        places.append((first_of(wanted.until), LOWEST))
    return min(places, default=(None, None))


def an_hour_ahead() -> UUID:
    """An id that no clock has come to; the same for an hour, so that answers can be shared."""
    return first_of(datetime.fromtimestamp((time.time() // 3600 + 2) * 3600, UTC))
