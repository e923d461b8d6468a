"""What several tests need."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

import asyncpg


async def eventually(condition: Callable[[], Any], timeout: float = 10, every: float = 0.02) -> Any:
    """What `condition()` (a function, plain or async) returns as soon as it is true.

    :raises AssertionError: it was not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(every)


async def somebody_waits(db: asyncpg.Connection) -> bool:
    """Whether a session of this database waits for a lock."""
    return bool(
        await db.fetchval(
            "select exists (select from pg_locks l join pg_stat_activity a using (pid) "
            "where not l.granted and a.datname = current_database())"
        )
    )
