"""A look at the database: what happened since the last one, each thing once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from taskq.web.feed.event import DETAIL, EPOCH, Event, Position
from taskq.web.feed.states import States
from taskq.web.reads import Reads

OVERLAP = timedelta(seconds=3)
"""How far a look goes back behind the last one: longer than the time between two looks, so that a
transaction that takes longer has been seen under way by then, and is waited for."""
FURTHEST = timedelta(seconds=60)
"""For how long a transaction under way is waited for: what it did is told if it commits within that time."""
INSTANT = timedelta(microseconds=1)
AHEAD = timedelta(days=30)
"""How far ahead version 7 ids are looked for; beyond there are none, unless a clock is wrong."""
Row: TypeAlias = dict[str, Any]


class TooMuch(Exception):
    """More happened than one look reads."""


@dataclass
class Looker:
    """Looks again and again.

    A transaction shows its rows when it commits, with the times of its beginning.  So a look goes back to
    where the oldest transaction began that was under way at the last two looks, and remembers what it has
    told.
    """

    reads: Reads
    told: dict[tuple[str, str], datetime] = field(default_factory=dict)
    states: States = field(default_factory=States)
    running: list[UUID] = field(default_factory=list)
    stirred: set[UUID] = field(default_factory=set)
    """The tasks of whose dependencies some ended lately: their pages show it."""
    at: datetime | None = None
    """When the last look was: the database's time."""
    oldest: tuple[datetime | None, datetime | None] = (None, None)

    async def begin(self) -> list[Event]:
        """Remember what there is; returns what happened in the last seconds."""
        [moment] = await self.reads.send("moment")
        rows: list[Row] = []
        with suppress(TooMuch):
            rows = await self._look(moment["now"] - OVERLAP, 1000)
        return list(numbered(rows, self.position.at))

    async def look(self, limit: int) -> list[Event]:
        """What happened since the last look.

        :raises TooMuch: it is more than `limit` of a kind; then the next look begins after it.
        """
        rows = await self._look(self.since(), limit)
        return list(numbered(rows, self.position.at))

    @property
    def position(self) -> Position:
        """The place in the feed of the last look."""
        assert self.at is not None
        return Position.of(self.at)

    def since(self) -> datetime:
        """The time after which a look looks."""
        assert self.at is not None
        under_way = [began - INSTANT for began in self.oldest if began is not None]
        return max(min([self.at - OVERLAP, *under_way]), self.at - FURTHEST)

    async def _look(self, since: datetime, limit: int) -> list[Row]:
        rows = await look(self.reads, since, limit, self.running)
        moment, before = moment_of(rows), self.at
        self.at, self.oldest = moment["at"], (self.oldest[1], moment["oldest"])
        self.running = moment["ids"] or []
        self.stirred = {row["task_id"] for row in rows if row["kind"] == "stirred"}
        fresh = [*self._untold(rows), *self.states.changes(rows, moment["at"])]
        horizon = since - OVERLAP
        self.told = {key: at for key, at in self.told.items() if at > horizon}
        if moment["is_more"] or (
            before is not None and moment["at"] <= before
        ):  # another server, another clock
            raise TooMuch
        return sorted(fresh, key=lambda row: row["at"])

    def _untold(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in happened(rows):
            key = (row["kind"], row["key"])
            if key not in self.told:
                self.told[key] = row["at"]
                yield row


async def look(reads: Reads, since: datetime, limit: int, running: Sequence[UUID] = ()) -> list[Row]:
    """The rows of the statement `look`."""
    ids = version_7(since), version_7(since + AHEAD)
    return await reads.send("look", since, limit, *ids, running)


def moment_of(rows: Iterable[Row]) -> Row:
    """The row that says when the look was."""
    return next(row for row in rows if row["kind"] == "now")


async def read_back(reads: Reads, after: Position, limit: int) -> list[Event]:
    """What happened after a place in the feed, and shortly before it: nothing is left out, some is told
    again.

    :raises TooMuch: it is more than `limit` of a kind.
    """
    rows = await look(reads, after.at - OVERLAP, limit)
    if moment_of(rows)["is_more"]:
        raise TooMuch
    found = sorted(happened(rows), key=lambda row: row["at"])
    return [as_event(row, Position.of(row["at"], number)) for number, row in enumerate(found)]


def happened(rows: Iterable[Row]) -> Iterator[Row]:
    """Those of the rows that are happenings, each of which has a key; what began and ended is one, told
    twice."""
    seen = set()
    for row in rows:
        if row["key"] is None or row["kind"].endswith("_is"):
            continue
        key = (row["kind"], row["key"])
        if key not in seen:
            seen.add(key)
            yield row


def numbered(rows: list[Row], at: datetime) -> Iterator[Event]:
    """Events of the look of that moment."""
    for ordinal, row in enumerate(rows, start=1):
        yield as_event(row, Position.of(at, ordinal))


def as_event(row: Row, position: Position) -> Event:
    """A row as the event at this place."""
    detail = row["detail"]
    told = {name: row[name] for name in Event.__struct_fields__ if name not in ("id", "detail")}
    return Event(id=str(position), detail=detail[:DETAIL] if detail else None, **told)


def version_7(at: datetime) -> UUID:
    """The least version 7 id of a moment."""
    return UUID(int=max((at - EPOCH) // timedelta(milliseconds=1), 0) << 80)
