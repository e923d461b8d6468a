"""Tasks: a table with filters; its address is its state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.house import house_of
from taskq.web.pages.links import TIMES, length_of, link, pattern_of
from taskq.web.render import page, rough, short

STATUSES = ("in_progress", "queued", "blocked", "awaiting_approval", "failed", "cancelled", "completed")
ROWS = 50
"""Tasks on a page."""
CALM = 4
"""Seconds between two looks at an open table, at least: each reader has filters of his own."""


@dataclass(frozen=True)
class Filters:
    """What the table is filtered by, as it was typed."""

    status: tuple[str, ...] = ()
    role: str = ""
    mission: str = ""
    text: str = ""
    since: str = ""

    @classmethod
    def of(cls, given: QueryParams) -> Self:
        """The filters of an address; a status that does not exist is left out."""
        fields = {name: given.get(name, "").replace("\0", "").strip()[:200] for name in FIELDS}
        return cls(tuple(status for status in STATUSES if status in given.getlist("status")), **fields)

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong, by field."""
        found = {}
        if self.mission and uuid_of(self.mission) is None:
            found["mission"] = "This is not the id of a task: paste the whole id of the mission's first task."
        if self.since and length_of(self.since) is None:
            found["since"] = "This is no length of time; try 30m, 24h or 7d."
        return found

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As the statements of browse.sql take them."""
        statuses = list(self.status) or None
        return (
            statuses,
            self.role or None,
            uuid_of(self.mission),
            pattern_of(self.text),
            length_of(self.since),
        )

    def href(self, **more: Any) -> str:
        """The address of the table with these filters."""
        pairs = [*(("status", status) for status in self.status)]
        return link("/tasks", [*pairs, *((name, getattr(self, name)) for name in FIELDS), *more.items()])

    def without(self, **changed: Any) -> str:
        """The address of the table with other filters."""
        return replace(self, **changed).href()


FIELDS = ("role", "mission", "text", "since")


async def tasks(request: Request) -> Response:
    """The table, newest first: ?status=&role=&mission=&text=&since=, and ?before= or ?after= a task's key."""
    reads = house_of(request).reads
    filters = Filters.of(request.query_params)
    after, before = (uuid_of(request.query_params.get(name, "")) for name in ("after", "before"))
    rows: list[dict[str, Any]] = []
    newer = older = None
    if not filters.errors:
        statement = "browse_newer" if after else "browse_older"
        rows = await reads.fetch(statement, *filters.arguments, after or before, ROWS + 1, fresh=1.0)
        is_more = len(rows) > ROWS
        rows = (rows[-ROWS:] if after else rows[:ROWS]) if is_more else rows
        if rows and (is_more if after else before):
            newer = filters.href(after=rows[0]["key"])
        if rows and (after or is_more):
            older = filters.href(before=rows[-1]["key"])
    return page(
        request,
        "tasks.html",
        422 if filters.errors else 200,
        title="Tasks",
        topics=("tasks",),
        calm=CALM,
        rows=[{**row, "note": note_of(row)} for row in rows],
        filters=filters,
        statuses=STATUSES,
        times=TIMES,
        roles=[row["name"] for row in await reads.fetch("role_names", fresh=30, stale=300)],
        newer=newer,
        older=older,
        mission=next((row["mission"] for row in rows if row["mission"]), None) or short(filters.mission),
    )


def note_of(row: dict[str, Any]) -> str:
    """Why a task is where it is, in a few words."""
    match row["status"]:
        case "blocked":
            return f"waits for {row['waiting_on']} task{'' if row['waiting_on'] == 1 else 's'}"
        case "awaiting_approval":
            return row["parked"] or "a person approves it first"
        case "queued":
            return queued(row)
        case "in_progress":
            stops = "asked to stop" if row["cancel_requested_at"] else ""
            where = f"on {row['worker']}" if row["worker"] else "its worker is gone"
            return "; ".join(filter(None, (stops, row["progress_note"], where)))
        case "failed" | "cancelled":
            return ": ".join(filter(None, (row["error_kind"], row["error"])))
    return ""


def queued(row: dict[str, Any]) -> str:
    """What a queued task waits for."""
    wait = row["run_at"] - datetime.now(UTC)
    last = f"; last: {row['error_kind']}: {row['error']}" if row["attempt"] and row["error_kind"] else ""
    if row["paused"]:
        return f"its role is {row['paused']}{last}"
    if not row["played"]:
        return f"no live worker plays {row['role']}{last}"
    return (f"in {rough(wait)}" if wait.total_seconds() > 0 else "can run now") + last


def uuid_of(text: str) -> UUID | None:
    """The id that a text is; None when it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


ROUTES = [Route("/tasks", tasks)]
