"""The first hand: all that a worker with few slots needs, sleeping included.

While its exchange is in flight, what finishes gathers for the next, so batches grow with the load.
When to look for more, and when to sleep, is decided in sleep.py.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from taskq.errors import DatabaseError
from taskq.worker.traffic import Traffic, nap, now

DOZE_AGAIN = 0.003  # seconds until the next look for inserters in flight; doubled while they stay open
LONGEST_DOZE = 0.8


class FirstHand:
    """Exchanges while there is something to hand in or to look for, and rests."""

    def __init__(self, traffic: Traffic, *, worker: UUID, roles: list[str], sweep: float) -> None:
        self._traffic, self._hand, self._sleep = traffic, traffic.first, traffic.sleep
        self._worker, self._roles, self._sweep = worker, roles, sweep
        self._doze_again = DOZE_AGAIN

    async def run(self) -> None:
        """Until the traffic is closed, and nothing is left to hand in."""
        traffic = self._traffic
        while True:
            want = traffic.wanted()
            if traffic.finished or self._hand.holds or (want and self._sleep.look):
                if traffic.adrift or not self._hand.is_open:
                    await self._come_back()
                else:
                    await self._exchange(want)
            elif traffic.closing and not traffic.unsettled():
                return
            else:
                await self._rest(want)

    async def _exchange(self, want: int) -> None:
        """One exchange, and what the number of its claims says about sleeping."""
        begun = now()
        plan = self._sleep.plan(want, begun)
        got = await self._traffic.exchange(self._hand, want, plan)
        if want and got is not None:
            self._sleep.learn(plan, want, got, begun, now() - begun)
            if self._sleep.must_doze:
                await self._doze()

    async def _rest(self, want: int) -> None:
        """Sleep until something happens: a bell, a finished task, the next due task, the sweep."""
        wake = self._traffic.wake
        wake.clear()
        if self._traffic.finished or (want and self._sleep.look):
            return
        if not want:
            await wake.wait()
            return
        until = self._sleep.until(self._sweep, now())
        try:
            async with asyncio.timeout_at(until):
                await wake.wait()
        except TimeoutError:
            if self._sleep.oversleep(until):
                self._traffic.slots.something_is_due()

    async def _doze(self) -> None:
        """With the mark committed: is nobody left who missed it?"""
        try:
            nobody_is_left = await self._hand.fetch_value("doze", self._roles)
        except DatabaseError as error:
            await self._hand.lost(error)
        else:
            if nobody_is_left:
                self._sleep.dozed()
                self._doze_again = DOZE_AGAIN
            else:
                await nap(self._traffic.wake, self._doze_again)
                self._doze_again = min(LONGEST_DOZE, self._doze_again * 2)

    async def _come_back(self) -> None:
        """Answers may have been lost with a session: what is ours without our knowledge is given back."""
        traffic = self._traffic
        try:
            async with traffic.second.at_rest:  # what it claims must be known to us before
                if not self._hand.is_open:
                    await self._hand.open()
                await self._hand.fetch_value("disown", self._worker, traffic.slots.known_leases())
                traffic.adrift = False
        except DatabaseError as error:
            await self._hand.lost(error)
        else:
            traffic.look_at_all()
