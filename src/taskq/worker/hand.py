"""A hand of the worker: one database session that exchanges, and what it holds while it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from taskq.database import Connection, connect
from taskq.errors import DatabaseError
from taskq.worker.floors import NOWHERE, Place
from taskq.worker.pauses import pause

log = logging.getLogger("taskq.worker")


class Finished(NamedTuple):
    """A completed attempt that is to be handed in; `result` is JSON text."""

    id: UUID
    lease: int
    result: str | None


class Hand:
    """Calls taskq.exchange, one call at a time.

    :param dsn: the database; `pooled` when that is a transaction pooler.
    :param lease: how long what it claims is the worker's.
    """

    def __init__(self, *, worker: UUID, roles: list[str], dsn: str, pooled: bool, lease: timedelta) -> None:
        self._worker, self._roles, self._lease = worker, roles, lease
        self._dsn, self._pooled = dsn, pooled
        self._session: Connection | None = None
        self._send: Callable[..., Any]
        self._failures = 0
        self.holds: list[Finished] = []  # until it is known that they have arrived
        self.wants = 0  # claims that may be on their way
        self.is_out = False  # an exchange is in flight
        self.at_rest = asyncio.Lock()  # held while one is in flight

    @property
    def is_open(self) -> bool:
        """Whether it has a session that lives, as far as is known."""
        return self._session is not None and not self._session.is_closed

    async def open(self) -> None:
        """A new session.

        :raises DatabaseError: there is none to be had.
        """
        await self.close()
        session = await connect(self._dsn, pooled=self._pooled, name="taskq worker")
        try:
            self._send = unprepared(session) if self._pooled else await session.prepare("exchange")
        except BaseException:
            await session.close()
            raise
        self._session = session

    async def close(self) -> None:
        """Let go of the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(self, floors: Place, mark: bool | None = None) -> Sequence[Any]:
        """Hand in what it holds, take as many as it wants; the rows of taskq.exchange.

        :raises DatabaseError: it still holds what it held, and whether that arrived is not known; unless
            the error is a Conflict, a Locked or an InvalidTask: then nothing has changed.
        """
        async with self.at_rest:
            self.is_out = True
            try:
                rows = await self._call(self.wants, self.holds, floors, mark)
            finally:
                self.is_out = False
        self.holds, self._failures = [], 0
        return rows

    async def hand_in(self, finished: Sequence[Finished]) -> None:
        """These, and claim nothing.

        :raises DatabaseError: as `exchange`.
        """
        await self._call(0, finished, NOWHERE, None)

    async def fetch_value(self, query: str, *args: Any) -> Any:
        """Another statement on its session."""
        assert self._session is not None
        return await self._session.fetch_value(query, *args)

    async def lost(self, error: DatabaseError) -> None:
        """The database is away: let go of the session, and wait with growing patience."""
        await self.close()
        self._failures += 1
        seconds = pause(self._failures)
        log.warning("the exchange failed (%s); trying again in %.1f s", error, seconds)
        await asyncio.sleep(seconds)

    async def _call(
        self, want: int, finished: Sequence[Finished], floors: Place, mark: bool | None
    ) -> Sequence[Any]:
        if not self.is_open:
            await self.open()
        rows: Sequence[Any] = await self._send(
            self._worker,
            self._roles,
            want,
            self._lease,
            [f.id for f in finished],
            [f.lease for f in finished],
            [f.result for f in finished],
            *floors,
            mark,
        )
        return rows


def unprepared(session: Connection) -> Callable[..., Any]:
    """Behind a transaction pooler a prepared statement would be on another server session next time."""

    async def send(*args: Any) -> list[Any]:
        return await session.fetch("exchange", *args)

    return send
