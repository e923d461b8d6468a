"""Whether all is well with the queue, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from taskq.web.figures import Load, load_by_role
from taskq.web.reads import Reads

Severity = Literal["critical", "warning", "info"]


class Alert(msgspec.Struct, frozen=True):
    """Something that somebody should know.

    `critical`: work does not go on.  `warning`: it will not for long, or not all of it.  `info`: somebody
    wanted it so.
    """

    severity: Severity
    what: str
    detail: str
    role: str | None = None


class Pause(msgspec.Struct, frozen=True):
    """A role that nobody claims."""

    role: str
    actor: str
    reason: str | None
    at: datetime


class GatePause(msgspec.Struct, frozen=True):
    """A provider's model that nobody asks; `seconds` is null until somebody resumes it."""

    name: str
    reason: str | None
    seconds: float | None


class Database(msgspec.Struct, frozen=True):
    """The database; `latency_seconds` is that of the statement that this answer was made of."""

    postgres: str
    revision: str | None
    latency_seconds: float


class Standing(msgspec.Struct, frozen=True):
    """Whether all is well: `well` is false while there is an alert that is critical or a warning."""

    well: bool
    at: datetime
    alerts: list[Alert]
    workers: int
    slots: int
    running: int
    ready: int
    unplayed: list[str]
    paused: list[Pause]
    gates: list[GatePause]
    stuck: int
    orphaned: int
    stale: int
    failed_1h: int
    database: Database


async def standing(reads: Reads) -> Standing:
    """How it stands now.

    :raises ConnectionError: the database cannot be reached.
    """
    [row] = await reads.fetch("orchestration", fresh=2.0)
    load = await load_by_role(reads, stale=0)
    alerts = [*alerts_of(row), *alerts_of_roles(load, row["workers"])]
    order = ("critical", "warning", "info")
    return Standing(
        well=all(alert.severity == "info" for alert in alerts),
        at=row["at"],
        alerts=sorted(alerts, key=lambda alert: order.index(alert.severity)),
        workers=row["workers"],
        slots=row["slots"],
        running=sum(one.in_progress for one in load.values()),
        ready=sum(one.queued for one in load.values()),
        unplayed=[role for role, one in load.items() if is_unplayed(one)],
        paused=msgspec.convert(row["paused"], list[Pause]),
        gates=msgspec.convert(row["gates"], list[GatePause]),
        stuck=row["stuck"],
        orphaned=row["orphaned"],
        stale=sum(one.stale for one in load.values()),
        failed_1h=row["failed_1h"],
        database=Database(row["postgres"], row["revision"], reads.took("orchestration")),
    )


def is_unplayed(load: Load) -> bool:
    """Whether tasks wait for workers of a role that has none."""
    return not load.workers and load.queued + load.scheduled > 0


def alerts_of(row: dict[str, Any]) -> Iterator[Alert]:
    """What the row of `orchestration` tells of."""
    if count := row["stuck"]:
        yield Alert("warning", "stuck", f"{count} tasks run that should not any more; taskq.stuck says why")
    if count := row["orphaned"]:
        yield Alert("warning", "orphaned", f"{count} tasks run on workers that are gone; a reaper takes them")
    for one in row["trouble"]:
        yield Alert("warning", "trouble", f"worker {one['name']}: {one['what']}")
    for one in row["paused"]:
        why = one["reason"] or "no reason given"
        yield Alert("info", "paused", f"{one['actor']} has paused the role {one['role']}: {why}", one["role"])
    for one in row["gates"]:
        until = "until somebody resumes it" if one["seconds"] is None else f"for {one['seconds']:.0f} s"
        why = one["reason"] or "no reason given"
        yield Alert("warning", "gate_paused", f"{one['name']} is not asked {until}: {why}")


def alerts_of_roles(load: dict[str, Load], workers: int) -> Iterator[Alert]:
    """What the load of the roles tells of."""
    waiting = sum(one.queued for one in load.values())
    if waiting and not workers:
        yield Alert("critical", "no_workers", f"{waiting} tasks could run, and no worker lives: start one")
        return
    for role, one in load.items():
        if is_unplayed(one):
            count = one.queued + one.scheduled
            why = f"no live worker plays the role {role}; {count} tasks wait for one"
            yield Alert("warning", "unplayed", why, role)
        elif one.stale and not one.paused:
            why = f"{one.stale} tasks of the role {role} could have run for five minutes"
            yield Alert("warning", "stale", why, role)
