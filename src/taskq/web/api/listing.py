"""The list of tasks, page by page."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from taskq.web.api.shapes import Cursor, Limit, Moment, Query, RoleName, Shape, Status, TaskRow, shaped
from taskq.web.cursors import cursor_of, place_of
from taskq.web.house import House
from taskq.web.ids import LOWEST, first_of
from taskq.web.operations import Call, Operations

operations = Operations("tasks")

WINDOW = 20_000
"""Among so many tasks a page looks for a text."""


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

    Where a text is looked for, a page may hold fewer than `limit`, or none, and still have a `next`: each
    looks through 20,000 tasks at most.
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
    window = limit + 1 if wanted.text is None else WINDOW
    rows = await house.reads.fetch(
        "tasks_page",
        wanted.status or None,
        wanted.role or None,
        wanted.mission,
        None if wanted.text is None else pattern(wanted.text),
        *below(wanted, cursor),
        None if wanted.since is None else first_of(wanted.since),
        limit + 1,
        window,
    )
    found = [row for row in rows if row["id"] is not None]
    next = None
    if len(found) > limit:
        next = cursor_of(found[limit - 1]["key"], found[limit - 1]["id"])
    elif wanted.text is not None and rows[0]["seen"] == window:
        next = cursor_of(rows[0]["last_key"], rows[0]["last_id"])
    return TaskPage(tasks=[shaped(TaskRow, row) for row in found[:limit]], next=next)


def below(wanted: TaskFilter, cursor: str | None) -> tuple[UUID | None, UUID | None]:
    """The place that all must lie below: of the cursor, or of the time."""
    places = [] if cursor is None else [place_of(cursor, tuple[UUID, UUID])]
    if wanted.until is not None:
        places.append((first_of(wanted.until), LOWEST))
    return min(places, default=(None, None))


def pattern(text: str) -> str:
    """The pattern of what contains a text."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
