"""What goes between the slots and the queue, whichever hand carries it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from taskq.errors import Conflict, DatabaseError, InvalidTask, Locked
from taskq.worker.floors import NOWHERE, Floors
from taskq.worker.hand import Finished, Hand
from taskq.worker.sleep import Plan, Sleep

log = logging.getLogger("taskq.worker")

MANY_SLOTS = 64  # from here on it pays to divide them between two hands
HIGH_PILE = 32  # results that gathered, from here on a second exchange pays (16 and 64 drain 2 and 5 % less)


class Slots(Protocol):
    """What is filled with claims."""

    def free(self) -> int: ...

    def start(self, claims: Sequence[Any]) -> None: ...

    def known_leases(self) -> list[int]: ...

    def refused(self, finished: Finished, error: DatabaseError) -> None: ...

    def something_is_due(self) -> None: ...


class Traffic:
    """Finished attempts on their way in, claims on their way out.

    :param concurrency: how many slots there are; an exchange fills a third of many, and two thirds run on.
    """

    def __init__(self, slots: Slots, concurrency: int, first: Hand, second: Hand) -> None:
        self.slots, self.first, self.second = slots, first, second
        self.sleep = Sleep()
        self.finished: list[Finished] = []
        self.apart: deque[list[Finished]] = deque()  # batches that were refused
        self.wake, self.help_wanted = asyncio.Event(), asyncio.Event()
        self.closing = False
        self.adrift = True  # answers may have been lost, and with them claims
        self.is_wide = concurrency >= MANY_SLOTS
        self._most = concurrency // 3 if self.is_wide else concurrency
        self._floors = Floors()

    def pile(self, finished: Finished) -> None:
        """One more to hand in."""
        self.finished.append(finished)
        self.wake.set()
        if len(self.finished) == HIGH_PILE:
            self.help_wanted.set()

    def look_at_all(self) -> None:
        """Bells may have been missed, and the mark of a sleeper may be gone."""
        self.sleep.look_at_all()
        self.wake.set()

    def unsettled(self) -> list[Finished]:
        """What is finished and not yet known to be handed in.  The thread of the heart asks, too."""
        apart = [one for batch in list(self.apart) for one in batch]
        return [*self.finished, *self.first.holds, *self.second.holds, *apart]

    def wanted(self) -> int:
        """How many the next exchange may claim."""
        if self.closing:
            return 0
        return max(0, min(self.slots.free() - self.first.wants - self.second.wants, self._most))

    async def exchange(self, hand: Hand, want: int, plan: Plan) -> int | None:
        """One round trip: how many were claimed; None when it failed.

        What is handed in stays in the hand until it is known to have arrived.
        """
        hand.wants, begun = want, now()
        if not hand.holds:
            hand.holds, self.finished = self.finished, []
        try:
            rows = await hand.exchange(NOWHERE if plan.everything else self._floors.as_arrays(), plan.mark)
        except Conflict as conflict:  # rolled back as a whole; the next round hands in the same
            self.look_at_all()
            if isinstance(conflict, Locked):
                self._set_apart(hand, conflict)
        except InvalidTask as error:
            self.look_at_all()
            if hand.holds:
                self._set_apart(hand, error)
            else:
                await hand.lost(error)
        except DatabaseError as error:
            self.adrift = True
            await hand.lost(error)
        else:
            return self._take(rows, begun)
        finally:
            hand.wants = 0
        return None

    def _set_apart(self, hand: Hand, error: DatabaseError) -> None:
        """One of its results is to blame, or a row that somebody keeps locked: let the others pass."""
        if hand.holds:
            log.warning("%d results are handed in apart (%s)", len(hand.holds), error)
            self.apart.append(hand.holds)
            hand.holds = []
            self.help_wanted.set()

    def _take(self, rows: Sequence[Any], begun: float) -> int:
        """Start the claims among the rows, note what the others say; how many were claimed."""
        claims = rows
        if rows and not rows[0][0] == "claim" == rows[-1][0]:  # what was lost comes first, what is due last
            claims = [row for row in rows if row[0] == "claim"]
            for row in rows:
                if row[0] == "due":
                    self.sleep.due_in(row[16], begun)
                elif row[0] == "lost":
                    log.warning("task %s: lease %s was lost; its result is dropped", row[1], row[2])
        self._floors.raise_to(claims)
        if claims:
            self.slots.start(claims)
        return len(claims)


async def nap(wake: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or until something happens."""
    if not wake.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await wake.wait()
    wake.clear()


def now() -> float:
    """The time of the event loop."""
    return asyncio.get_running_loop().time()
