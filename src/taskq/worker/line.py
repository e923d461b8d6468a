"""The way from a running attempt back to the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import UUID

import msgspec

from taskq.database import Pool, Transaction
from taskq.task import Attempt, Message
from taskq.worker.pauses import pause

log = logging.getLogger("taskq.worker")


class DatabaseLine:
    """Writes of running attempts, on a few connections of their own; each shows worker and lease."""

    def __init__(self, pool: Pool, worker: UUID) -> None:
        self._pool, self._worker = pool, worker

    async def call(self, task: Attempt, query: str, *args: Any) -> Any:
        return await self._patiently(self._pool.fetch_value, query, self._worker, task.id, task.lease, *args)

    async def rows(self, task: Attempt, query: str, *args: Any) -> list[Any]:
        return list(await self._patiently(self._pool.fetch, query, self._worker, task.id, task.lease, *args))

    @asynccontextmanager
    async def transaction(self, task: Attempt) -> AsyncIterator[Held]:
        async with self._pool.transaction() as transaction:
            yield Held(transaction, (self._worker, task.id, task.lease))

    async def progress(self, task: Attempt, fraction: float | None, note: str | None) -> None:
        await self.call(task, "progress", fraction, clean(note))

    async def log(self, task: Attempt, text: str) -> None:
        await self.call(task, "log", clean(text))

    async def messages(self, task: Attempt) -> list[Message]:
        return [
            msgspec.convert({**row, "usage": row["usage"] and msgspec.json.decode(row["usage"])}, Message)
            for row in await self._pool.fetch("messages", task.id)
        ]

    async def _patiently(self, send: Callable[..., Awaitable[Any]], query: str, *args: Any) -> Any:
        """However long the database is away: that is no fault of the handler, and the task is still his."""
        for failures in count(1):
            try:
                return await send(query, *args)
            except ConnectionError as error:
                log.warning("%s is not written yet: %s", query, error)
                await asyncio.sleep(pause(failures))


class Held:
    """A transaction of a running attempt."""

    def __init__(self, transaction: Transaction, lease: tuple[UUID, UUID, int]) -> None:
        self._transaction, self._lease = transaction, lease
        self.execute, self.fetch = transaction.execute, transaction.fetch
        self.fetchrow, self.fetchval = transaction.fetchrow, transaction.fetchval

    async def call(self, query: str, *args: Any) -> Any:
        return await self._transaction.call(query, *self._lease, *args)


def clean(text: str | None) -> str | None:
    """Text that Postgres can keep: it knows no NUL, and no lone surrogates."""
    return None if text is None else text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
