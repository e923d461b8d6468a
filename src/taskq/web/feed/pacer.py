"""The pacer: tells pages that they are out of date, no faster than the database is to be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field

BUDGET = 4.5
"""Statements a second that the pages may cost in all, those included that people cause by going about."""
SAVED = 3.0
"""What an idle moment saves for the next, at most, and what a busy one may overdraw."""
GAP = 1 / 3
"""Seconds between two views that are told, at least."""
APART = 0.02
"""Seconds between two who look at the same page, at most: near enough to share a read, and nobody waits in
a line."""
PATIENCE = 2.0
"""Seconds after which the next view is told, however much people go about."""
AGAIN = 1.0
"""Seconds until the same view is told again, at least."""
RECENT = 3.0
"""Seconds that may pass from reading a page until it listens: what was dirty meanwhile, it is told at
once."""


@dataclass(eq=False)
class Ear:
    """One open page.  It holds no queue: what was said twice before it listened is heard once."""

    topics: set[str] = field(default_factory=set)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    def call(self, topics: set[str]) -> None:
        """Say that these are dirty."""
        self.topics |= topics
        self.called.set()

    async def hear(self, timeout: float) -> set[str]:
        """The topics that are dirty, as soon as some are; none when the time is over or the server ends."""
        try:
            await asyncio.wait_for(self.called.wait(), timeout)
        except TimeoutError:
            return set()
        self.called.clear()
        heard, self.topics = self.topics, set()
        return heard


@dataclass(eq=False)
class View:
    """All who look at the same page: they are told at the same moment, fetch at the same moment, and share
    one read."""

    topics: frozenset[str]
    ears: set[Ear] = field(default_factory=set)
    dirty: set[str] = field(default_factory=set)
    told_at: float = 0.0


class Pacer:
    """Marks views dirty, and lets them go one after the other, round and round.

    What it lets through follows from what the database is asked already: a statement of a page that
    somebody opens, a look of the hub and a page that fetches itself again all draw on one budget.  So the
    number of open browsers does not change the load, only how often each of them is told.

    :param sent: how many statements were sent so far.
    """

    def __init__(self, sent: Callable[[], int]) -> None:
        self._sent = sent
        self._views: dict[tuple[str, frozenset[str]], View] = {}
        self._line: dict[View, None] = {}
        self._recent: dict[str, float] = {}
        self._work = asyncio.Event()
        self._credit, self._counted, self._at = SAVED, 0, time.monotonic()

    @contextmanager
    def listen(self, page: str, topics: frozenset[str]) -> Iterator[Ear]:
        """An ear for a page, for as long as the block lasts."""
        view = self._views.setdefault((page, topics), View(topics))
        ear = Ear()
        view.ears.add(ear)
        since = time.monotonic() - RECENT
        self._stain(view, {topic for topic in topics if self._recent.get(topic, 0) > since})
        try:
            yield ear
        finally:
            view.ears.discard(ear)
            if not view.ears and self._views.get((page, topics)) is view:
                del self._views[page, topics]
                self._line.pop(view, None)

    @property
    def views(self) -> int:
        """How many different pages are open."""
        return len(self._views)

    def mark(self, topics: set[str] | None) -> None:
        """These topics are dirty; None: all are."""
        now = time.monotonic()
        self._recent = {topic: at for topic, at in self._recent.items() if at > now - RECENT}
        self._recent.update(dict.fromkeys(topics or (), now))
        for view in self._views.values():
            self._stain(view, set(view.topics) if topics is None else view.topics & topics)

    def _stain(self, view: View, topics: AbstractSet[str]) -> None:
        if topics:
            view.dirty |= topics
            self._line.setdefault(view)
            self._work.set()

    def wake(self) -> None:
        """Let all who listen look up: the server ends."""
        for view in self._views.values():
            for ear in view.ears:
                ear.called.set()

    async def run(self) -> None:
        """Tell the views, one after the other, until cancelled."""
        told_at = 0.0
        while True:
            await self._work.wait()
            if not self._line:
                self._work.clear()
                continue
            passed = time.monotonic() - told_at
            if passed < GAP or (self._balance() < 1 and passed < PATIENCE):
                await asyncio.sleep(max(GAP - passed, 0.05))
                continue
            view = next((v for v in self._line if time.monotonic() - v.told_at >= AGAIN), None)
            if view is None:
                await asyncio.sleep(0.05)
                continue
            told_at = view.told_at = time.monotonic()
            del self._line[view]
            topics, view.dirty = view.dirty, set()
            ears = tuple(view.ears)
            for ear in ears:
                ear.call(topics)
                await asyncio.sleep(min(APART, GAP / len(ears)))

    def _balance(self) -> float:
        """The statements that may be sent now."""
        now, sent = time.monotonic(), self._sent()
        credit = self._credit + (now - self._at) * BUDGET - (sent - self._counted)
        self._credit, self._counted, self._at = min(max(credit, -SAVED), SAVED), sent, now
        return self._credit
