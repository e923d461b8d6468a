"""The clock of all running attempts: one timer for the earliest deadline, not one for each attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    deadline: float


T = TypeVar("T", bound=Timed)


class Clock(Generic[T]):
    """Calls `ring(timed)` for each of `running()` whose deadline (seconds of the loop's time) has passed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, running: Callable[[], Iterable[T]], ring: Callable[[T], None]
    ) -> None:
        self._loop, self._running, self._ring = loop, running, ring
        self._next = inf
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, deadline: float) -> None:
        """Something with this deadline runs now."""
        if deadline < self._next:
            self._next = deadline
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        now, self._next, self._timer = self._loop.time(), inf, None
        for timed in list(self._running()):
            if timed.deadline <= now:
                timed.deadline = inf
                self._ring(timed)
            else:
                self.watch(timed.deadline)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
