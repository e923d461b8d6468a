"""The ring: what was told lately, for all listeners, each of whom only knows how far he is."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import islice

from taskq.web.feed.event import Event, Position


class Ring:
    """The last events.  A listener that is slower than they come holds nothing: he falls out, and is told so.

    `end` is the place after the last event; places are counted from the beginning of the process.
    """

    def __init__(self, size: int) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self._positions: deque[Position] = deque(maxlen=size)
        self._news = asyncio.Event()
        self.end = 0
        self.begins_after: Position | None = None
        """The position after which nothing is missing; None while nothing is known."""

    def begin(self, position: Position) -> None:
        """Know of nothing before this position."""
        self._events.clear()
        self._positions.clear()
        self.begins_after = position

    def add(self, events: Iterable[Event]) -> None:
        """Tell these, in order."""
        for event in events:
            if len(self._events) == self._events.maxlen:
                self.begins_after = self._positions[0]
            self._events.append(event)
            self._positions.append(event.position)
            self.end += 1
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, place: int, timeout: float) -> None:
        """Wait until there is something after this place, somebody wakes all, or time is over."""
        if place < self.end:
            return
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return

    def after(self, place: int, most: int) -> list[Event] | None:
        """What comes after a place, the first so many of it; None when that has fallen out already."""
        first = len(self._events) - (self.end - place)
        return None if first < 0 else list(islice(self._events, first, first + most))

    def place_of(self, position: Position) -> int | None:
        """The place after this position; None where it is too old or unknown, and must be read back."""
        if self.begins_after is None or position < self.begins_after:
            return None
        return self.end - len(self._events) + bisect_right(self._positions, position)
