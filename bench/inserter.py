"""Clients that insert single rows, for want of pgbench: `python -m bench.inserter DSN CLIENTS SECONDS`."""

from __future__ import annotations

import asyncio
import sys
import time

import asyncpg
import uvloop

from bench.storm import INSERT


async def insert(dsn: str, clients: int, seconds: float) -> float:
    """Rows a second, by so many connections of this process."""
    sessions = [await asyncpg.connect(dsn) for _ in range(clients)]
    statement = INSERT.read_text(encoding="utf-8")
    end = time.monotonic() + seconds

    async def keep_on(session: asyncpg.Connection) -> int:
        prepared, rows = await session.prepare(statement), 0
        while time.monotonic() < end:
            await prepared.fetch()
            rows += 1
        return rows

    counts = await asyncio.gather(*(keep_on(session) for session in sessions))
    for session in sessions:
        await session.close()
    return sum(counts) / seconds


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(insert(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
