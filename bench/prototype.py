"""The bare SQL as it is measured: one loop around bare.exchange, and nothing of what makes a product.

No heartbeats, bell, timeouts, retries, guards, or priorities across roles.  `python -m bench.prototype …`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec

from bench import child

EXCHANGE = "select id, role, payload, attempt, lease from bare.exchange($1, $2, $3, $4, $5, $6, $7)"
LEASE = timedelta(seconds=60)


async def work(orders: child.Orders) -> None:
    """Claim, run and complete until SIGTERM."""
    session = await asyncpg.connect(orders.dsn)
    exchange = await session.prepare(EXCHANGE)
    loop, counter, worker = asyncio.get_running_loop(), child.Counter(orders), uuid4()
    finished: list[tuple[Any, int, str]] = []
    running: set[asyncio.Task[None]] = set()
    moved = asyncio.Event()
    stop = child.terminated()

    async def handler(payload: Any) -> Any:
        counter.one()
        return child.RESULT

    async def play(row: Any) -> None:
        result = await handler(msgspec.json.decode(row["payload"]))
        finished.append((row["id"], row["lease"], msgspec.json.encode(result).decode()))
        moved.set()

    while not stop.is_set():
        batch, finished = finished, []
        moved.clear()
        rows = await exchange.fetch(
            worker,
            orders.role,
            orders.slots,
            LEASE,
            [id for id, _, _ in batch],
            [lease for _, lease, _ in batch],
            [result for _, _, result in batch],
        )
        for row in rows:
            task = loop.create_task(play(row))
            running.add(task)
            task.add_done_callback(running.discard)
        if rows:
            await moved.wait()  # no handler awaits anything: when the first has run, all have
        else:
            await asyncio.sleep(0.01)
    await session.close()


if __name__ == "__main__":
    child.main(work)
