"""The figures of the queue: what there is now, and how what ended lately went."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from taskq.web.reads import Reads

DAY = timedelta(hours=24)
FRESH = 30.0
"""Seconds for which the figures of a day serve; older ones are shown while new ones are counted."""
STALE = 300.0


class Spread(msgspec.Struct, frozen=True):
    """Seconds that half, 95 and 99 of a hundred did not exceed."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: list[float] | None) -> Spread | None:
        """From what the statement returns; None where nothing was measured."""
        return cls(*values) if values and values[0] is not None else None


class Ended(msgspec.Struct, frozen=True):
    """How what ended went; `success_rate` is the share of what was completed in what was completed or
    failed."""

    completed: int
    failed: int
    cancelled: int
    success_rate: float | None
    wait_seconds: Spread | None
    duration_seconds: Spread | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Ended:
        """From a row of `figures`."""
        tried = row["completed"] + row["failed"]
        return cls(
            row["completed"],
            row["failed"],
            row["cancelled"],
            row["completed"] / tried if tried else None,
            Spread.of(row["waited"]),
            Spread.of(row["took"]),
        )


NOTHING = Ended(0, 0, 0, None, None, None)


class Load(msgspec.Struct, frozen=True):
    """What there is now: `stale` could have run for five minutes, `stuck` runs without a heartbeat for
    ten."""

    queued: int = 0
    scheduled: int = 0
    in_progress: int = 0
    blocked: int = 0
    awaiting_approval: int = 0
    stale: int = 0
    stuck: int = 0
    oldest_ready_seconds: float = 0.0
    workers: int = 0
    slots: int = 0
    paused: bool = False

    @classmethod
    def of(cls, row: dict[str, Any]) -> Load:
        """From a row of `load`."""
        return cls(
            row["ready"],
            row["scheduled"],
            row["in_progress"],
            row["blocked"],
            row["awaiting_approval"],
            row["stale"],
            row["stuck"],
            row["oldest_ready"],
            row["workers"],
            row["slots"],
            row["paused"],
        )


class OfRole(msgspec.Struct, frozen=True):
    """The figures of a role."""

    role: str
    now: Load
    ended: Ended
    errors: dict[str, int]


class OfHour(msgspec.Struct, frozen=True):
    """The figures of an hour."""

    hour: datetime
    ended: Ended


class Counts(msgspec.Struct, frozen=True):
    """How many tasks are in each status; of the final ones, those that became so in the last 24 hours."""

    blocked: int
    awaiting_approval: int
    queued: int
    in_progress: int
    completed: int
    failed: int
    cancelled: int


class TaskFigures(msgspec.Struct, frozen=True):
    """The figures of the queue: what there is now, and what ended in the last 24 hours, in all, by role and
    by hour."""

    status: Counts
    stale: int
    stuck: int
    ended: Ended
    errors: dict[str, int]
    roles: list[OfRole]
    hours: list[OfHour]


async def load_by_role(reads: Reads, stale: float = 15.0) -> dict[str, Load]:
    """What there is now, or was at most `stale` seconds ago."""
    rows = await reads.fetch("load", fresh=2.0, stale=stale)
    return {row["role"]: Load.of(row) for row in rows}


async def ended_by_role(reads: Reads, window: timedelta) -> dict[str, Ended]:
    """How what ended lately went."""
    rows = await reads.fetch("figures", window, fresh=FRESH, stale=STALE)
    return {row["role"]: Ended.of(row) for row in rows if row["role"] is not None}


async def task_figures(reads: Reads) -> TaskFigures:
    """All of them."""
    load = await load_by_role(reads)
    rows = await reads.fetch("figures", DAY, fresh=FRESH, stale=STALE)
    by_role = {row["role"]: Ended.of(row) for row in rows if row["role"] is not None}
    ended = next((Ended.of(row) for row in rows if row["is_all"]), NOTHING)
    errors: dict[str, dict[str, int]] = {}
    total: dict[str, int] = {}
    for row in await reads.fetch("errors_by_kind", DAY, fresh=FRESH, stale=STALE):
        errors.setdefault(row["role"], {})[row["kind"]] = row["attempts"]
        total[row["kind"]] = total.get(row["kind"], 0) + row["attempts"]
    now = load.values()
    return TaskFigures(
        status=Counts(
            sum(one.blocked for one in now),
            sum(one.awaiting_approval for one in now),
            sum(one.queued + one.scheduled for one in now),
            sum(one.in_progress for one in now),
            ended.completed,
            ended.failed,
            ended.cancelled,
        ),
        stale=sum(one.stale for one in now),
        stuck=sum(one.stuck for one in now),
        ended=ended,
        errors=total,
        roles=[
            OfRole(role, load.get(role, Load()), by_role.get(role, NOTHING), errors.get(role, {}))
            for role in sorted(load.keys() | by_role.keys())
        ],
        hours=[OfHour(row["hour"], Ended.of(row)) for row in rows if row["hour"] is not None],
    )
