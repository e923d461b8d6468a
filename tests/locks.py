"""Sessions that wait for each other's locks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import asyncpg

from support import eventually


async def is_stuck(db: asyncpg.Connection, session: asyncpg.Connection) -> bool:
    """Whether a session waits for a lock that another holds."""
    waiting = "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1"
    return bool(await db.fetchval(waiting, session.get_server_pid()))


async def behind(
    db: asyncpg.Connection, session: asyncpg.Connection, call: Awaitable[Any]
) -> asyncio.Task[Any]:
    """`call`, under way on a session and held up by somebody else's lock."""
    task = asyncio.ensure_future(call)
    await eventually(lambda: is_stuck(db, session))
    assert not task.done()
    return task
