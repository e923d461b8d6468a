"""Missions: a root task and all that descends from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from taskq.errors import NoSuchTask
from taskq.web import nodes, paths
from taskq.web.api.shapes import Cursor, Limit, Query, Shape, Status, shaped
from taskq.web.api.task import Spend
from taskq.web.cursors import cursor_of, place_of
from taskq.web.operations import Call, Operations
from taskq.web.reads import Reads

operations = Operations("missions")

MOST_NODES = 5_000


class MissionQuery(Query):
    """A page."""

    limit: Limit = 20
    cursor: Cursor | None = None


class Mission(Shape):
    """A mission: `role`, `name` and `status` are its root's, null when that was pruned.

    `progress` is 0 to 1; `cost` and `budget` are US dollars.
    """

    id: UUID
    role: str | None
    name: str | None
    status: Status | None
    created_by: str | None
    created_at: datetime
    finished_at: datetime | None
    total: int
    counts: dict[Status, int]
    progress: float
    cost: float
    tokens: int
    turns: int
    budget: float | None


class MissionPage(Shape):
    """Missions, newest first."""

    missions: list[Mission]
    next: str | None


@operations.get("/missions", query=MissionQuery, returns=MissionPage)
async def list_missions(call: Call[MissionQuery, None]) -> MissionPage:
    """The missions, newest first: roots with descendants, and those that agents play."""
    limit, cursor = call.query.limit, call.query.cursor
    below = None if cursor is None else place_of(cursor, tuple[UUID])[0]
    rows = await call.house.reads.fetch("mission_rows", below, limit + 1, fresh=1.0)
    sums = await spent(call.house.reads, rows[:limit])
    return MissionPage(
        missions=[shaped(Mission, {**row, **sums[row["id"]]}) for row in rows[:limit]],
        next=cursor_of(rows[limit - 1]["id"]) if len(rows) > limit else None,
    )


async def spent(reads: Reads, rows: Sequence[Mapping[str, Any]]) -> dict[UUID, Mapping[str, Any]]:
    """What these missions spent.  What has ended spends no more: it is counted once, and again later."""
    over = [row["id"] for row in rows if row["finished_at"] is not None]
    under_way = [row["id"] for row in rows if row["finished_at"] is None]
    found = await reads.fetch("mission_sums", over, fresh=60.0, stale=3600.0) if over else []
    if under_way:
        found += await reads.fetch("mission_sums", under_way, fresh=1.0)
    return {row["id"]: row for row in found}


class Node(Shape):
    """A task of the mission; `took` is the seconds of its current or last attempt."""

    id: UUID
    role: str
    name: str | None
    status: Status
    parent_id: UUID | None
    attempt: int
    max_attempts: int
    progress: float | None
    progress_note: str | None
    error_kind: str | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    took: float | None


class MissionEdge(Shape):
    """`to` waits for `from`."""

    from_: UUID = msgspec.field(name="from")
    to: UUID
    on_failure: str
    met: bool


class CriticalPath(Shape):
    """The chain of tasks that decides when the mission ends, in order: the one with the most tasks to come,
    and among those the one that took longest.

    `seconds` is what it took so far, and for what has not ended at least the mean of its role in this
    mission; `remaining` is how much of that is to come.
    """

    ids: list[UUID]
    seconds: float
    remaining: float


class MissionSpend(Shape):
    """What the mission spent, and the budget that it is under, if any.  `cost` is in US dollars."""

    cost: float
    tokens: int
    turns: int
    budget: Spend | None


class WholeMission(Shape):
    """A mission as a graph; `more` when it has more than 5,000 tasks, of which the oldest are shown."""

    id: UUID
    nodes: list[Node]
    edges: list[MissionEdge]
    more: bool
    counts: dict[Status, int]
    spend: MissionSpend
    critical_path: CriticalPath


@operations.get("/missions/{id:uuid}", returns=WholeMission, refusals=(404,))
async def get_mission(call: Call[None, None]) -> WholeMission:
    """A mission: its tasks, what they depend on, what they spent, and the critical path."""
    rows = await call.house.reads.fetch("mission_nodes", call.id, MOST_NODES + 1)
    if not rows:
        raise NoSuchTask(f"there is no mission {call.id} (look for it with: GET /api/v1/missions)")
    spend = await call.house.reads.fetch_one("mission_spend", call.id)
    shown = rows[:MOST_NODES]
    tasks = [shaped(Node, row) for row in shown]
    counts: dict[Status, int] = defaultdict(int)
    for node in tasks:
        counts[node.status] += 1
    return WholeMission(
        id=call.id,
        nodes=tasks,
        edges=[shaped(MissionEdge, edge) for row in shown for edge in row["edges"]],
        more=len(rows) > MOST_NODES,
        counts=counts,
        spend=shaped(MissionSpend, spend),
        critical_path=critical_path(shown, call.id),
    )


def critical_path(rows: Sequence[Mapping[str, Any]], mission: UUID) -> CriticalPath:
    """The chain that decides when a mission ends: the one that its page draws."""
    path = paths.critical_path([node_of(row) for row in rows], mission, datetime.now(UTC))
    expected = means(rows)
    taken = {row["id"]: row["took"] or 0.0 for row in rows}
    remaining = sum(max(expected.get(node.role, 0.0) - taken[node.id], 0.0) for node in path.remaining)
    return CriticalPath(
        ids=[node.id for node in path.tasks], seconds=path.seconds + remaining, remaining=remaining
    )


def node_of(row: Mapping[str, Any]) -> nodes.Node:
    """A task of the graph as the pages know it."""
    return nodes.Node(
        **{name: row[name] for name in ("id", "role", "status", "name", "parent_id")},
        **{
            name: row[name] for name in ("attempt", "max_attempts", "created_at", "started_at", "finished_at")
        },
        depends_on=[UUID(edge["from"]) for edge in row["edges"]],
    )


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean seconds of completed tasks, by role."""
    taken: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["status"] == "completed" and row["took"] is not None:
            taken[row["role"]].append(row["took"])
    return {role: sum(seconds) / len(seconds) for role, seconds in taken.items()}
