"""The hub: one look at the database for all who listen."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from taskq.errors import TaskqError
from taskq.web.feed.event import RESET, Event, Position
from taskq.web.feed.look import Looker, TooMuch, read_back
from taskq.web.feed.pacer import Ear, Pacer
from taskq.web.feed.ring import Ring
from taskq.web.feed.topics import dirtied
from taskq.web.reads import Reads

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks while something happens."""
IDLE_INTERVAL = 2.0
"""… and when nothing has happened for a while; see look.OVERLAP."""
IDLE_AFTER = 10.0
AT_ONCE = 0.3
"""Seconds between two looks at least, however often it is nudged."""
BACKOFF = (0.25, 0.5, 1.0, 2.0)
"""Seconds until it looks again after a look that failed, in turn."""
LINGER = 10.0
"""Seconds for which it goes on looking when nobody listens any more: who changes the page comes back."""
TICK = 30.0
"""Seconds after which what shows the course of time is dirty although nothing happens."""
KEPT = 20_000
"""Events that are remembered."""
PAGES_LIMIT, STREAMS_LIMIT = 500, 4000
"""How much of a kind one look reads while only pages listen, and while somebody hears it all."""
TOO_OLD = 600.0
"""Seconds for which what happened is read again for a listener who was away."""
PULSE = 15.0
"""Seconds after which a listener is told how far the feed is although nothing happens."""
PATIENCE = 5.0
"""Seconds for which a new listener waits for the first look; then it listens without knowing from where."""


class Hub:
    """Tells listeners what happens; looks only while there are any.

    A database that cannot be reached is looked at again and again; listeners stay, and when it is back
    nothing is missing: looks go on from the time of the last one.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._looker: Looker | None = None
        self._nudged = asyncio.Event()
        self._begun = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._streams = self._pages = 0
        self._left_at = 0.0
        self._is_lost = False
        self.is_closing = False
        self.position = Position(0, 0)
        """How far it has told what happens."""
        self.ring = Ring(KEPT)
        self.pacer = Pacer(lambda: reads.sent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def nudge(self) -> None:
        """Look at once: this process changed something."""
        self._nudged.set()

    def close(self) -> None:
        """Let every listener end: the server does."""
        self.is_closing = True
        self.ring.wake()
        self.pacer.wake()
        self._begun.set()

    @property
    def listeners(self) -> int:
        """How many listen: pages and streams."""
        return self._pages + self._streams

    @contextmanager
    def page(self, page: str, topics: frozenset[str]) -> Iterator[Ear]:
        """An ear for a page that shows these topics, for as long as the block lasts."""
        self._pages += 1
        try:
            self._run()
            with self.pacer.listen(page, topics) as ear:
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

    async def begun(self) -> bool:
        """Wait for the first look: what happens from now on will be told.  False: the database is away."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), PATIENCE)
        return self._looker is not None

    def events(self, after: Position | None, until: float) -> AsyncIterator[tuple[list[Event], Position]]:
        """What happens from this call on, and how far that tells it, within `stream()`; no events now and
        then.

        :param after: where the listener was; what happened after that comes first.
        :param until: when to end, by time.monotonic().
        """
        known = None if after is None else self.ring.place_of(after)
        return self._events(
            self.ring.end if known is None else known, after if known is None else None, until
        )

    async def _events(
        self, place: int, missed: Position | None, until: float
    ) -> AsyncIterator[tuple[list[Event], Position]]:
        if missed is not None:
            found = await self._read_back(missed)
            yield found, found[-1].position if found else missed
        while not self.is_closing and (left := until - time.monotonic()) > 0:
            await self.ring.news(place, min(left, PULSE))
            events = self.ring.after(place)
            place = self.ring.end
            yield (
                [self.reset("too slow: more happened than is kept")] if events is None else events,
                self.position,
            )

    async def _read_back(self, after: Position) -> list[Event]:
        """What happened after this place, from the database; or that it is too long ago."""
        looker = self._looker
        if looker is None or looker.at is None:
            return [self.reset("the database cannot be reached")]
        away = (looker.at - after.at).total_seconds()
        if not -60 < away < TOO_OLD:
            return [self.reset(f"this was {away:.0f} s ago")]
        try:
            return await read_back(self._reads, after, STREAMS_LIMIT)
        except TooMuch:
            return [self.reset("too much has happened since")]

    def reset(self, why: str) -> Event:
        """The event that says: load everything again."""
        return Event(str(self.position), self.position.at, RESET, detail=f"{why}: load again what you show")

    def _run(self) -> None:
        """Look, if nobody did."""
        self._tasks = [task for task in self._tasks if not task.done()]
        if not self._tasks and not self.is_closing:
            self._tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self.pacer.run())]

    async def _poll(self) -> None:
        """Look until nobody listens."""
        failures = 0
        happened_at = ticked_at = time.monotonic()
        while self.listeners or time.monotonic() - self._left_at < LINGER:
            began = time.monotonic()
            try:
                if await self._look():
                    happened_at = began
                failures = 0
            except Exception as error:
                if not failures:
                    known = isinstance(error, OSError | TimeoutError | TaskqError)
                    log.warning("the feed cannot look, and goes on trying: %s", error, exc_info=not known)
                self._is_lost = True
                await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
                failures += 1
                continue
            if began - ticked_at > TICK:
                ticked_at = began
                self.pacer.mark({"overview", "roles"})
            await self._rest(INTERVAL if began - happened_at < IDLE_AFTER else IDLE_INTERVAL, began)
        self._forget()

    async def _look(self) -> bool:
        """One look; whether something happened."""
        events = await self._next()
        if events:
            self._reads.forget()
            self.ring.add(events)
            self.position = events[-1].position
        everything = self._is_lost or any(event.verb == RESET for event in events)
        self._is_lost = False
        self.pacer.mark(None if everything else dirtied(events))
        return bool(events)

    async def _next(self) -> list[Event]:
        """What happened since the last look."""
        if self._looker is None:
            looker = Looker(self._reads)
            recent = await looker.begin()
            self._begin(looker.position)
            self._looker = looker
            self._begun.set()
            self._reads.forget()
            self.pacer.mark(dirtied(recent))  # a page may have been read before that, and listens since
            return []
        try:
            events = await self._looker.look(STREAMS_LIMIT if self._streams else PAGES_LIMIT)
        except TooMuch:
            self._begin(self._looker.position)
            return [self.reset("more happens than can be told")]
        self.position = self._looker.position
        return events

    def _begin(self, position: Position) -> None:
        """Know of nothing before this."""
        self.position = position
        self.ring.begin(position)

    async def _rest(self, interval: float, began: float) -> None:
        """Until the next look."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nudged.wait(), max(began + interval - time.monotonic(), 0.01))
        if (early := began + AT_ONCE - time.monotonic()) > 0:
            await asyncio.sleep(early)
        self._nudged.clear()

    def _forget(self) -> None:
        """Nobody listens: what happens now is told to nobody, and not known later."""
        self._looker = None
        self._begun.clear()
        self.ring.begins_after = None
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tasks = []
