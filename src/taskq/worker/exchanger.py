"""The loop between the queue and the slots.

One exchange is in flight at a time; what finishes meanwhile gathers for the next, so batches grow with the
load.  When it looks for more, and when it sleeps, is decided in sleep.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from taskq.database import Connection, connect
from taskq.errors import Conflict, DatabaseError, InvalidTask
from taskq.worker.floors import NOWHERE, Floors
from taskq.worker.pauses import pause
from taskq.worker.sleep import Sleep

log = logging.getLogger("taskq.worker")

DOZE_AGAIN = 0.003  # seconds until the next look for inserters in flight; doubled while they stay open
LONGEST_DOZE = 0.8


class Finished(NamedTuple):
    """A completed attempt that is to be handed in; `result` is JSON text."""

    id: UUID
    lease: int
    result: str | None


class Slots(Protocol):
    """What the exchanger fills."""

    def free(self) -> int: ...

    def start(self, claims: Sequence[Any]) -> None: ...

    def known_leases(self) -> list[int]: ...

    def refused(self, finished: Finished, error: DatabaseError) -> None: ...

    def something_is_due(self) -> None: ...


class Exchanger:
    """Hands in what is finished and takes what is next, until it is closed."""

    def __init__(
        self,
        slots: Slots,
        *,
        worker: UUID,
        roles: list[str],
        dsn: str,
        pooled: bool,
        lease: timedelta,
        sweep: timedelta,
    ) -> None:
        self._slots, self._worker, self._roles = slots, worker, roles
        self._dsn, self._pooled, self._lease, self._sweep = dsn, pooled, lease, sweep.total_seconds()
        self._session: Connection | None = None
        self._send: Callable[..., Any]
        self._floors = Floors()
        self._finished: list[Finished] = []
        self._in_flight: list[Finished] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._sleep = Sleep()
        self._doze_again = DOZE_AGAIN
        self._failures = 0
        self.claiming = False  # an exchange is in flight that may bring claims

    def hand_in(self, finished: Finished) -> None:
        """This attempt is completed."""
        self._finished.append(finished)
        self._wake.set()

    def ring(self) -> None:
        """Something may be there to claim."""
        self._sleep.ring()
        self._wake.set()

    def look_at_all(self) -> None:
        """Bells may have been missed, and the mark of a sleeper may be gone."""
        self._sleep.look_at_all()
        self._wake.set()

    def slot_freed(self) -> None:
        """An attempt ended in another way than by completion."""
        self._wake.set()

    def close(self) -> None:
        """Hand in what is finished, then end `run`."""
        self._closing = True
        self._wake.set()

    def unsettled(self) -> list[Finished]:
        """What is finished and not yet known to be handed in."""
        return [*self._finished, *self._in_flight]

    async def run(self) -> None:
        """Exchange until closed."""
        try:
            while True:
                want = 0 if self._closing else self._slots.free()
                if self._finished or self._in_flight or (want and self._sleep.look):
                    self.claiming = want > 0
                    await self._exchange(want)
                    self.claiming = False
                elif self._closing:
                    return
                else:
                    await self._rest(want)
        finally:
            if self._session is not None:
                await self._session.close()

    async def _rest(self, want: int) -> None:
        """Sleep until something happens: a bell, a finished task, the next due task, the sweep."""
        self._wake.clear()
        if self._finished or (want and self._sleep.look):
            return
        if not want:
            await self._wake.wait()
            return
        until = self._sleep.until(self._sweep, asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            if self._sleep.oversleep(until):
                self._slots.something_is_due()

    async def _exchange(self, want: int) -> None:
        """One round trip; what was handed in stays at hand until it is known to have arrived."""
        try:
            if self._session is None or self._session.is_closed:
                await self._connect()
            if not self._in_flight:
                self._in_flight, self._finished = self._finished, []
            now = asyncio.get_running_loop().time()
            plan = self._sleep.plan(want, now)
            rows = await self._send(
                self._worker,
                self._roles,
                want,
                self._lease,
                [f.id for f in self._in_flight],
                [f.lease for f in self._in_flight],
                [f.result for f in self._in_flight],
                *(NOWHERE if plan.everything else self._floors.as_arrays()),
                plan.mark,
            )
        except Conflict:
            self.look_at_all()  # rolled back as a whole; the next round hands in the same
        except InvalidTask as error:
            await self._hand_in_one_by_one(error)
        except DatabaseError as error:
            await self._lost(error)
        else:
            self._in_flight, self._failures = [], 0
            claims = self._sort_out(rows, now)
            if want:
                took = asyncio.get_running_loop().time() - now
                self._sleep.learn(plan, want, len(claims), now, took)
            if claims:
                self._slots.start(claims)
            if want and self._sleep.must_doze:
                await self._doze()

    def _sort_out(self, rows: Sequence[Any], now: float) -> Sequence[Any]:
        """The claims among the rows; notes what the others say."""
        claims = rows
        if rows and not rows[0][0] == "claim" == rows[-1][0]:  # what was lost comes first, what is due last
            claims = [row for row in rows if row[0] == "claim"]
            for row in rows:
                if row[0] == "due":
                    self._sleep.due_in(row[16], now)
                elif row[0] == "lost":
                    log.warning("task %s: lease %s was lost; its result is dropped", row[1], row[2])
        self._floors.raise_to(claims)
        return claims

    async def _doze(self) -> None:
        """With the mark committed: is nobody left who missed it?"""
        assert self._session is not None
        try:
            nobody_is_left = await self._session.fetch_value("doze", self._roles)
        except DatabaseError as error:
            await self._lost(error)
        else:
            if nobody_is_left:
                self._sleep.dozed()
                self._doze_again = DOZE_AGAIN
            else:
                await self._nap(self._doze_again)
                self._doze_again = min(LONGEST_DOZE, self._doze_again * 2)

    async def _nap(self, seconds: float) -> None:
        """Wait for so long, or until something happens."""
        if not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._wake.clear()

    async def _connect(self) -> None:
        """A new session.  Answers may have been lost with the old one: what we hold unknowingly goes back."""
        session = await connect(self._dsn, pooled=self._pooled, name="taskq worker")
        try:
            await session.fetch_value("disown", self._worker, self._slots.known_leases())
            self._send = await session.prepare("exchange") if not self._pooled else unprepared(session)
        except BaseException:
            await session.close()
            raise
        self._session = session
        self.look_at_all()

    async def _lost(self, error: Exception) -> None:
        """The database is away: keep what is finished, and come back with growing patience."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._failures += 1
        seconds = pause(self._failures)
        log.warning("the exchange failed (%s); trying again in %.1f s", error, seconds)
        await asyncio.sleep(seconds)

    async def _hand_in_one_by_one(self, error: DatabaseError) -> None:
        """The database refused the exchange.  One result may be to blame: find it, let the others pass."""
        if not self._in_flight:
            await self._lost(error)
            return
        self.look_at_all()
        batch, self._in_flight = self._in_flight, []
        for finished in batch:
            self._in_flight = [finished]
            try:
                await self._send(
                    self._worker,
                    self._roles,
                    0,
                    self._lease,
                    [finished.id],
                    [finished.lease],
                    [finished.result],
                    *NOWHERE,
                    None,
                )
            except InvalidTask as refused:
                self._slots.refused(finished, refused)
            except DatabaseError as away:
                self._finished.extend(batch[batch.index(finished) + 1 :])
                await self._lost(away)
                return
        self._in_flight = []


def unprepared(session: Connection) -> Callable[..., Any]:
    """Behind a transaction pooler a prepared statement would be on another server session next time."""

    async def send(*args: Any) -> list[Any]:
        return await session.fetch("exchange", *args)

    return send
