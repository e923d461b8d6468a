"""The poller: looks at the database once a second, and tells what it found to the ring and the pacer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from taskq.errors import TaskqError
from taskq.web.feed.event import RESET, Event, Position
from taskq.web.feed.look import Looker, TooMuch
from taskq.web.feed.pacer import Pacer
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
TICK = 30.0
"""Seconds after which a page fetches itself again although nothing is known to have happened."""
KEPT = 25_000
"""Events that are remembered: more than one look finds."""
PAGES_LIMIT, STREAMS_LIMIT = 2_000, 5_000
"""How much of a kind one look reads while only pages listen, and while somebody hears it all."""


class Poller:
    """Looks for as long as it is wanted.

    A database that cannot be reached is looked at again and again.  When it is back nothing is missing:
    looks go on from the time of the last one.

    :param limit: how much of a kind to read now.
    """

    def __init__(self, reads: Reads, limit: Callable[[], int]) -> None:
        self._reads, self._limit = reads, limit
        self._looker: Looker | None = None
        self._nudged = asyncio.Event()
        self._is_lost = False
        self.begun = asyncio.Event()
        """Set with the first look: what happens from then on is told."""
        self.position = Position(0, 0)
        """How far it has told what happens; the last look's time."""
        self.ring = Ring(KEPT)
        self.pacer = Pacer(lambda: reads.sent)

    @property
    def knows(self) -> bool:
        """Whether it has looked."""
        return self._looker is not None

    def nudge(self) -> None:
        """Look at once."""
        self._nudged.set()

    async def run(self, is_wanted: Callable[[], bool]) -> None:
        """Look until nobody wants it any more; then forget: what happens now is not known later."""
        pacing = asyncio.create_task(self.pacer.run())
        try:
            await self._look_on(is_wanted)
        finally:
            pacing.cancel()
            self._looker = None
            self.begun.clear()
            self.ring.begins_after = None

    async def _look_on(self, is_wanted: Callable[[], bool]) -> None:
        failures = 0
        happened_at = ticked_at = time.monotonic()
        while is_wanted():
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
                self.pacer.mark(None)
            await self._rest(INTERVAL if began - happened_at < IDLE_AFTER else IDLE_INTERVAL, began)

    async def _look(self) -> bool:
        """One look; whether something happened."""
        if self._looker is None:
            return await self._begin()
        try:
            events = await self._looker.look(self._limit())
            self.position = self._looker.position
        except TooMuch:
            self._start_over(self._looker.position)
            events = [self.reset("more happens than can be told")]
        if events:
            self._reads.forget()
            self.ring.add(events)
            self.position = events[-1].position
        if self._is_lost or any(event.verb == RESET for event in events):
            self.pacer.mark(None)
        else:
            self.pacer.mark(dirtied(events) | {f"task:{id}" for id in self._looker.stirred if events})
        self._is_lost = False
        return bool(events)

    async def _begin(self) -> bool:
        """The first look."""
        looker = Looker(self._reads)
        recent = await looker.begin()
        self._start_over(looker.position)
        self._looker = looker
        self.begun.set()
        self._reads.forget()
        self.pacer.mark(None if self._is_lost else dirtied(recent))  # who reads a page listens a moment later
        self._is_lost = False
        return bool(recent)

    def _start_over(self, position: Position) -> None:
        """Know of nothing before this."""
        self.position = position
        self.ring.begin(position)

    def reset(self, why: str) -> Event:
        """The event that says: load everything again."""
        return Event(str(self.position), self.position.at, RESET, detail=f"{why}: load again what you show")

    async def _rest(self, interval: float, began: float) -> None:
        """Until the next look."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nudged.wait(), max(began + interval - time.monotonic(), 0.01))
        if (early := began + AT_ONCE - time.monotonic()) > 0:
            await asyncio.sleep(early)
        self._nudged.clear()
