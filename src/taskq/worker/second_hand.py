"""The second hand: exchanges beside the first one when much has gathered, and hands in what a batch cannot.

Servers have more than one core: with many slots the one session of the first hand is what all wait for.  And
a result that the database refuses, or one whose row somebody keeps locked, must not hold up all the others.
"""

from __future__ import annotations

import contextlib

from taskq.errors import Conflict, DatabaseError, InvalidTask, Locked
from taskq.worker.hand import Finished
from taskq.worker.pauses import pause
from taskq.worker.sleep import NEWS_ONLY
from taskq.worker.traffic import HIGH_PILE, Traffic, nap


class SecondHand:
    """With many slots its session is open from the start; with few, once something was refused as a batch."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic, self._hand = traffic, traffic.second
        self.locked = 0  # how often in a row somebody's lock was met

    async def run(self) -> None:
        """Help whenever help is wanted, for ever."""
        traffic = self._traffic
        if traffic.is_wide:
            with contextlib.suppress(DatabaseError):  # it is tried again when it is needed
                await self._hand.open()
        while True:
            if self._pile_is_high:
                await self._exchange()
            elif traffic.apart:
                await self._hand_in_next()
                if self.locked:
                    await nap(traffic.help_wanted, pause(self.locked))
            else:
                traffic.help_wanted.clear()
                await traffic.help_wanted.wait()
                continue
            traffic.wake.set()  # the first hand may rest, all free slots being ours, or wait for our end

    @property
    def _pile_is_high(self) -> bool:
        """While the first hand is out, so much has gathered that a second exchange pays."""
        return self._traffic.first.is_out and len(self._traffic.finished) >= HIGH_PILE

    async def _exchange(self) -> None:
        """Neither from the beginning nor with a mark: when to sleep is for the first hand to know."""
        traffic = self._traffic
        got = await traffic.exchange(self._hand, traffic.wanted(), NEWS_ONLY)
        traffic.sleep.helped(got or 0)
        if self._hand.holds:  # it failed
            traffic.finished[:0], self._hand.holds = self._hand.holds, []

    async def _hand_in_next(self) -> None:
        """A batch that was refused, again: it may pass now.  If not, then its parts, after all others."""
        line = self._traffic.apart
        batch = line[0]
        try:
            await self._hand.hand_in(batch)
        except Locked:
            self.locked += len(batch) == 1
            line.popleft()
            line.extend(parts(batch))
            return
        except Conflict:
            return
        except InvalidTask as refused:
            if len(batch) == 1:
                self._traffic.slots.refused(batch[0], refused)
            else:
                line.extend(parts(batch))
        except DatabaseError as error:
            await self._hand.lost(error)
            return
        line.popleft()
        self.locked = 0


def parts(batch: list[Finished]) -> list[list[Finished]]:
    """About ten.  Not one by one: where many queue for one row, more transactions make a longer queue."""
    size = -(-len(batch) // 10)
    return [batch[at : at + size] for at in range(0, len(batch), size)]
