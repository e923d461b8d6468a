"""The exchanger: carries tasks between the queue and the slots, with two hands."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

from taskq.worker.first_hand import FirstHand
from taskq.worker.hand import Hand
from taskq.worker.second_hand import SecondHand
from taskq.worker.traffic import Slots, Traffic


class Exchanger:
    """Hands in what is finished and takes what is next, until it is closed.

    :param concurrency: how many slots there are.
    :param pooled: whether the database is a transaction pooler.
    :param lease: how long what it claims is the worker's.
    :param sweep: how long it sleeps at most.
    """

    def __init__(
        self,
        slots: Slots,
        *,
        concurrency: int,
        worker: UUID,
        roles: list[str],
        dsn: str,
        pooled: bool,
        lease: timedelta,
        sweep: timedelta,
    ) -> None:
        first, second = (
            Hand(worker=worker, roles=roles, dsn=dsn, pooled=pooled, lease=lease) for _ in range(2)
        )
        self._traffic = Traffic(slots, concurrency, first, second)
        self._first = FirstHand(self._traffic, worker=worker, roles=roles, sweep=sweep.total_seconds())
        self._second = SecondHand(self._traffic)

        self.hand_in = self._traffic.pile
        self.look_at_all = self._traffic.look_at_all
        self.unsettled = self._traffic.unsettled

    def ring(self) -> None:
        """Something may be there to claim."""
        self._traffic.sleep.ring()
        self._traffic.wake.set()

    def slot_freed(self) -> None:
        """An attempt ended in another way than by completion."""
        self._traffic.wake.set()

    def close(self) -> None:
        """Hand in what is finished, then end `run`."""
        self._traffic.closing = True
        self._traffic.wake.set()

    @property
    def claiming(self) -> bool:
        """Whether claims may be on their way."""
        return self._traffic.first.wants + self._traffic.second.wants > 0

    @property
    def trouble(self) -> str | None:
        """What keeps results from being handed in, for people.  The thread of the heart asks."""
        if not self._second.locked:
            return None
        return (
            f"results that wait to be handed in: {sum(map(len, list(self._traffic.apart)))}; "
            "a session keeps their rows, or rows that depend on them, locked (pg_locks tells which)"
        )

    async def run(self) -> None:
        """Exchange until closed."""
        first, second = asyncio.create_task(self._first.run()), asyncio.create_task(self._second.run())
        try:
            await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
            (second if second.done() else first).result()
        finally:
            first.cancel()
            second.cancel()
            await self._traffic.first.close()
            await self._traffic.second.close()
