"""When to look, how far back, and when to sleep, so that no wake-up is lost (law 5 of the design).

The way to sleep: a look from the beginning finds nothing more → the next exchange puts the mark of a sleeper
on and commits it → doze: nobody is left who may have missed the mark → one last look.  From then on, whatever
becomes runnable rings the bell.  The exchanger talks to the database, and tells what came.

Under a held snapshot a look from the beginning takes ever longer, and so is followed by a rest, in which
looks from the floors stand in for it; one from the beginning is owed then, and a look each second until then.
"""

from __future__ import annotations

import enum
import random
from typing import NamedTuple

STRAGGLERS_EVERY = 1.0  # seconds between two looks from the beginning while there is work
STRAGGLERS_SHARE = 20.0  # or so many times what the last one took
QUICK = 0.05  # seconds that the last one may have taken for the next to need no rest, where there is a reason
REST_SHARE = 4.0  # if it took longer: so many times that
BUSY_AFTER = 0.1  # seconds of filled slots after which the worker takes its mark off


class Look(enum.IntEnum):
    """What the next exchange looks for."""

    NOTHING = 0
    NEWS = 1  # from the floors on
    ALL = 2  # from the beginning


class Plan(NamedTuple):
    """What one exchange does: look at everything or from the floors on; mark on, off, or as it is (None)."""

    look: Look  # what it was to look for; everything tells whether it does
    everything: bool
    mark: bool | None
    rung: bool


NEWS_ONLY = Plan(look=Look.NEWS, everything=False, mark=None, rung=False)


class Sleep:
    """The worker's sleep.  Times are seconds of the event loop's clock."""

    def __init__(self) -> None:
        self.look = Look.ALL
        self._rung = self._marked = self._dozed = False
        self._claimed_since_all = self._owed = False
        self._looked_at_all = self._filled_since = 0.0
        self._took = 0.0  # the last look from the beginning
        self._next_due: float | None = None

    def ring(self) -> None:
        """Something may be there to claim."""
        self._rung = True
        self.look = max(self.look, Look.NEWS)

    def look_at_all(self) -> None:
        """Bells may have been missed, and the mark may be gone: whoever took us for dead removed it."""
        self._marked = self._dozed = False
        self.look = Look.ALL

    def plan(self, want: int, now: float) -> Plan:
        """What the next exchange does.

        A look from the beginning that takes long finds little: what was there when it began, others have
        claimed by the time it gets there.  Without a rest after each, a worker would do nothing else.
        """
        rest = self._rest if self.look is Look.ALL else self._stragglers_every
        everything = now - self._looked_at_all >= rest
        plan = Plan(self.look, everything, self._mark(now) if want else None, self._rung)
        self._rung = False
        return plan

    @property
    def _rest(self) -> float:
        return REST_SHARE * self._took if self._took > QUICK else 0.0

    @property
    def _stragglers_every(self) -> float:
        return max(STRAGGLERS_EVERY, STRAGGLERS_SHARE * self._took)

    def _mark(self, now: float) -> bool | None:
        if self._marked and self._filled_since and now - self._filled_since > BUSY_AFTER:
            self._marked = self._dozed = False
            return False
        if self._marked or self.look is not Look.ALL or not self._looked_at_all:
            return None
        self._marked, self._dozed = True, False  # already now: look_at_all may take it back meanwhile
        return True

    def learn(self, plan: Plan, want: int, got: int, now: float, took: float) -> None:
        """How many of those that it wanted the exchange got, and how long it took."""
        if plan.everything:
            self._looked_at_all, self._took = now, took
            self._claimed_since_all = self._owed = False
        elif plan.look is Look.ALL:
            self._owed = True
        self._claimed_since_all = self._claimed_since_all or got > 0
        if got == want:
            self._filled_since = self._filled_since or now
            self.look = Look.NEWS
            return
        self._filled_since = 0.0
        if plan.everything or plan.look is Look.ALL:
            self.look = Look.NOTHING if self._dozed else Look.ALL
        else:
            # with the mark on, whatever becomes runnable rings: only a bell for nothing sends us further back
            self.look = Look.NOTHING if self._dozed and not (plan.rung and got == 0) else Look.ALL
        if self._rung:
            self.look = max(self.look, Look.NEWS)

    def helped(self, got: int) -> None:
        """An exchange beside the others got so many."""
        self._claimed_since_all = self._claimed_since_all or got > 0

    @property
    def must_doze(self) -> bool:
        """The mark is committed, and nothing was left to claim: is somebody left who missed the mark?"""
        return self._marked and not self._dozed and self.look is Look.ALL

    def dozed(self) -> None:
        """Nobody is left; the next look is the last one."""
        self._dozed = self._marked

    def due_in(self, seconds: float | None, now: float) -> None:
        """The next queued task is due then; None: there is none."""
        self._next_due = None if seconds is None else now + max(seconds, 0.0) + 0.001

    def until(self, sweep: float, now: float) -> float:
        """When to wake up without a bell: for the next due task, for stragglers, for the sweep."""
        until = now + sweep * random.uniform(0.9, 1.1)
        if self._next_due is not None:
            until = min(until, self._next_due)
        if self._owed:  # only that one tells anew when the next is due
            until = min(until, now + STRAGGLERS_EVERY)
        elif self._claimed_since_all:
            until = min(until, max(now, self._looked_at_all + self._stragglers_every))
        return until

    def oversleep(self, until: float) -> bool:
        """That time has come without a bell; True when it was for a task that is due."""
        self.look = Look.ALL
        was_due = until == self._next_due
        if was_due:
            self._next_due = None
        return was_due
