"""An event: one thing that happened."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from uuid import UUID

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WRITTEN = re.compile(r"(\d{1,16})-(\d{1,9})")
RESET = "reset"
"""The verb of an event that says: more happened than can be told, load again what you show."""
DETAIL = 2000
"""Characters of a detail at most."""


class Position(NamedTuple):
    """A place in the feed: microseconds of the database's time, and a number among what was told then."""

    micros: int
    ordinal: int

    @classmethod
    def of(cls, at: datetime, ordinal: int = 0) -> Self:
        """The place of the so-and-so-manieth event of a moment."""
        return cls((at - EPOCH) // timedelta(microseconds=1), ordinal)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From the id of an event; None where it is none."""
        found = WRITTEN.fullmatch(text.strip())
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def at(self) -> datetime:
        """The moment."""
        return EPOCH + timedelta(microseconds=self.micros)

    def __str__(self) -> str:
        return f"{self.micros}-{self.ordinal}"


class Event(msgspec.Struct, frozen=True):
    """One thing that happened.

    `id` is its place in the feed: whoever shows it as Last-Event-ID hears what came after it.  `verb` is what
    happened: created, ready, started, completed, progress, message, tool_call, log; the verbs of
    taskq.events (fail, retry, cancel, approve, reap, steer, …); lives, missing, draining, trouble, left of
    a worker; gate_paused and gate_resumed of a provider.  `status` is the task's by then.
    """

    id: str
    at: datetime
    verb: str
    task_id: UUID | None = None
    mission_id: UUID | None = None
    parent_id: UUID | None = None
    role: str | None = None
    status: str | None = None
    actor: str | None = None
    detail: str | None = None

    @property
    def position(self) -> Position:
        """Its place in the feed."""
        found = Position.parse(self.id)
        assert found is not None
        return found
