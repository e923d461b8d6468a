"""enqueue: tasks a second by the client, one by one and many at once, and by plain SQL; for information."""

from __future__ import annotations

import time
from functools import partial

import asyncpg

from bench.contenders import TASKQ
from bench.harness import Figure, Run
from bench.server import Server
from bench.storm import INSERT
from taskq import Queue

BATCH = 1_000


async def enqueue(run: Run) -> list[Figure]:
    """Three rates, of one client."""
    single, batches = run.size((2_000, 20), (20, 1))
    found = await run.interleave(
        {
            "Queue.enqueue, one by one": partial(one_by_one, run.server, single),
            f"Queue.enqueue_many, {BATCH:,} at once": partial(many, run.server, batches),
            "plain SQL, one by one": partial(plain_sql, run.server, single),
        }
    )
    return [Figure("enqueue", name, rates, "/s") for name, rates in found.items()]


async def one_by_one(server: Server, tasks: int) -> float:
    async with server.scratch(TASKQ.install) as dsn, Queue(dsn) as queue:
        await queue.enqueue("noop", {"n": 0})
        begin = time.monotonic()
        for n in range(tasks):
            await queue.enqueue("noop", {"n": n})
        return tasks / (time.monotonic() - begin)


async def many(server: Server, batches: int) -> float:
    async with server.scratch(TASKQ.install) as dsn, Queue(dsn) as queue:
        await queue.enqueue("noop", {"n": 0})
        batch = [{"role": "noop", "payload": {"n": n}} for n in range(BATCH)]
        begin = time.monotonic()
        for _ in range(batches):
            await queue.enqueue_many(batch)
        return batches * BATCH / (time.monotonic() - begin)


async def plain_sql(server: Server, tasks: int) -> float:
    async with server.scratch(TASKQ.install) as dsn:
        session = await asyncpg.connect(dsn)
        try:
            statement = await session.prepare(INSERT.read_text(encoding="utf-8"))
            begin = time.monotonic()
            for _ in range(tasks):
                await statement.fetch()
            return tasks / (time.monotonic() - begin)
        finally:
            await session.close()
