"""The hub: whoever wants to hear what happens comes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Self

from taskq.errors import TaskqError
from taskq.web.feed.event import Event, Position
from taskq.web.feed.look import TooMuch, read_back
from taskq.web.feed.pacer import Ear
from taskq.web.feed.poller import PAGES_LIMIT, STREAMS_LIMIT, Poller
from taskq.web.reads import Reads

LINGER = 10.0
"""Seconds for which it goes on looking when nobody listens any more: who changes the page comes back."""
CHUNK = 500
"""Events that a stream holds at most while its listener does not read."""
TOO_OLD = timedelta(minutes=10)
"""For how long what happened is read again for a listener who was away."""
SKEW = timedelta(seconds=60)
"""How far ahead of the last look a listener may have heard; further is another database's time."""
PULSE = 15.0
"""Seconds after which a listener is told how far the feed is although nothing happens."""
PATIENCE = 5.0
"""Seconds for which a new listener waits for the first look; then it listens without knowing from where."""


class Hub:
    """Tells listeners what happens; the database is looked at only while there are any.

    Listeners stay while the database is away, and miss nothing of what happened meanwhile.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._poller = Poller(reads, lambda: STREAMS_LIMIT if self._streams else PAGES_LIMIT)
        self._polling: asyncio.Task[None] | None = None
        self._streams = self._pages = 0
        self._left_at = 0.0
        self.is_closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    def nudge(self) -> None:
        """Look at once: this process changed something."""
        self._poller.nudge()

    def close(self) -> None:
        """Let every listener end: the server does."""
        self.is_closing = True
        self._poller.ring.wake()
        self._poller.pacer.wake()
        self._poller.begun.set()

    @property
    def listeners(self) -> int:
        """How many listen: pages and streams."""
        return self._pages + self._streams

    @property
    def is_looking(self) -> bool:
        """Whether somebody listens, or did a moment ago."""
        return self._polling is not None and not self._polling.done()

    @property
    def position(self) -> Position:
        """How far it has told what happens."""
        return self._poller.position

    @contextmanager
    def page(self, page: str, topics: frozenset[str]) -> Iterator[Ear]:
        """An ear for a page that shows these topics, for as long as the block lasts."""
        self._pages += 1
        try:
            self._run()
            with self._poller.pacer.listen(page, topics) as ear:
                yield ear
        finally:
            self._pages -= 1
            self._left_at = time.monotonic()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Somebody who hears it all, for as long as the block lasts; see `events`."""
        self._streams += 1
        try:
            self._run()
            yield
        finally:
            self._streams -= 1
            self._left_at = time.monotonic()

    def _run(self) -> None:
        """Look, if nobody did."""
        if not self.is_looking and not self.is_closing:
            self._polling = asyncio.create_task(self._poller.run(self._is_wanted))

    def _is_wanted(self) -> bool:
        return self.listeners > 0 or time.monotonic() - self._left_at < LINGER

    async def begun(self) -> bool:
        """Wait for the first look: what happens from now on will be told.  False: the database is away."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._poller.begun.wait(), PATIENCE)
        return self._poller.knows

    def events(self, after: Position | None, until: float) -> AsyncIterator[tuple[list[Event], Position]]:
        """What happens from this call on, within `stream()`, and how far that tells it; now and then no
        events.

        :param after: where the listener was; what happened after that comes first.
        :param until: when to end, by time.monotonic().
        """
        ring = self._poller.ring
        if after is None:
            return self._events(ring.end, None, until)
        place = ring.place_of(after) if after.at < self.position.at + SKEW else None
        return self._events(ring.end, after, until) if place is None else self._events(place, None, until)

    async def _events(
        self, place: int, missed: Position | None, until: float
    ) -> AsyncIterator[tuple[list[Event], Position]]:
        ring = self._poller.ring
        if missed is not None:
            found = await self._read_back(missed)
            yield found, found[-1].position if found else missed
        while not self.is_closing and (left := until - time.monotonic()) > 0:
            await ring.news(place, min(left, PULSE))
            events = ring.after(place, CHUNK)
            if events is None:
                place = ring.end
                yield [self.reset("too slow: more happened than is kept")], self.position
                continue
            place += len(events)
            yield events, self.position if place == ring.end else events[-1].position

    async def _read_back(self, after: Position) -> list[Event]:
        """What happened after this place, from the database; or that it is too long ago."""
        away = self.position.at - after.at
        if not -SKEW < away < TOO_OLD:
            return [self.reset(f"this was {away.total_seconds():.0f} s ago")]
        try:
            return await read_back(self._reads, after, STREAMS_LIMIT)
        except TooMuch:
            return [self.reset("too much has happened since")]
        except (TaskqError, OSError):
            return [self.reset("what happened since cannot be read")]

    def reset(self, why: str) -> Event:
        """The event that says: load everything again."""
        return self._poller.reset(why)
