"""Waiting for what the database shows."""

from __future__ import annotations

import asyncio

import asyncpg

ASLEEP = "select exists (select from taskq.sleepers)"
SETTLED = "select not exists (select from taskq.tasks where status in ('blocked', 'queued', 'in_progress'))"
SETTLE = 0.5  # seconds from the mark to sound sleep


async def until(session: asyncpg.Connection, query: str, *args: object, every: float = 0.02) -> None:
    """Return once this query says true.

    :raises TimeoutError: it does not within five minutes.
    """
    async with asyncio.timeout(300):
        while True:
            if await session.fetchval(query, *args):
                return
            await asyncio.sleep(every)


async def asleep(session: asyncpg.Connection) -> None:
    """Return once a worker has marked itself asleep, and a moment has passed."""
    await until(session, ASLEEP)
    await asyncio.sleep(SETTLE)


async def settled(session: asyncpg.Connection) -> None:
    """Return once every task is final."""
    await until(session, SETTLED, every=0.005)
