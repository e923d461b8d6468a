"""A mission as its pages show it: the tasks, read from the statement `page_mission`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from taskq.task import FINAL

STATUSES = ("completed", "in_progress", "queued", "awaiting_approval", "blocked", "failed", "cancelled")
"""In the order in which bars and legends show them: what is done, what moves, what waits, what fell."""


class Ended(msgspec.Struct, frozen=True):
    """An attempt that did not succeed."""

    attempt: int
    kind: str
    finished_at: datetime
    message: str | None = None
    started_at: datetime | None = None


class Wait(msgspec.Struct, frozen=True):
    """An event by which a task began or ceased to wait for a person."""

    verb: str
    at: datetime
    actor: str
    to: str | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a mission."""

    id: UUID
    role: str
    status: str
    attempt: int
    max_attempts: int
    created_at: datetime
    run_at: str = ""
    name: str | None = None
    parent_id: UUID | None = None
    depends_on: Sequence[UUID] = ()
    progress: float | None = None
    progress_note: str | None = None
    error_kind: str | None = None
    error: str | None = None
    requires_approval: bool = False
    approved_at: datetime | None = None
    approved_by: str | None = None
    waiting_on: int = 0
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cost: float | None = None
    tokens: float | None = None
    turns: int | None = None
    attempts: Sequence[Ended] | None = None
    waits: Sequence[Wait] | None = None

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.role

    @property
    def has_ended(self) -> bool:
        return self.status in FINAL

    def seconds(self, now: datetime) -> float:
        """How long its last attempt ran, or has run so far; 0 when none runs or ran to an end."""
        if self.started_at is None or not (self.has_ended or self.status == "in_progress"):
            return 0.0
        return max((self.ended_by(now) - self.started_at).total_seconds(), 0.0)

    def ended_by(self, now: datetime) -> datetime:
        """When it ended, or now."""
        return self.finished_at or now


class Mission(msgspec.Struct, frozen=True, kw_only=True):
    """A mission: what its root says, the figures of all of its tasks, and the tasks that are shown."""

    root: Mapping[str, Any]
    counts: Mapping[str, int]
    spent: Mapping[str, Any]
    now: datetime
    began_at: datetime
    tasks: Sequence[Node]
    ended_at: datetime | None = None
    budget: Mapping[str, Any] | None = None

    @property
    def id(self) -> UUID:
        return UUID(self.root["id"])

    @property
    def label(self) -> str:
        """What it is called."""
        return str(self.root["name"] or self.root["role"])

    def name_of(self, node: Node) -> str:
        """What a task of it is called here: agents put the mission's name before their children's."""
        rest = node.label.removeprefix(self.label).lstrip(" :-–—·/")
        return rest if node.label.startswith(self.label) and rest else node.label

    @property
    def total(self) -> int:
        """All of its tasks, whether they are shown or not."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """Those that have ended."""
        return sum(self.counts[status] for status in FINAL)

    @property
    def is_over(self) -> bool:
        return self.ended == self.total

    @property
    def seconds(self) -> float:
        """From its beginning to its end, or until now."""
        end = self.ended_at if self.is_over and self.ended_at else self.now
        return max((end - self.began_at).total_seconds(), 0.0)


def mission_of(row: Mapping[str, Any]) -> Mission:
    """The mission in the row of `page_mission`, whose root must be there."""
    return msgspec.convert({**row, "counts": dict.fromkeys(STATUSES, 0) | row["counts"]}, Mission)
