"""wake: a plain INSERT with only a role; how long after its commit does an idle worker start the task?

Both ends are read from this machine's monotonic clock: here when the INSERT has returned, in the worker's
process when the handler starts.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial

import asyncpg

from bench.contenders import TASKQ
from bench.harness import Figure, Run, Target, percentile
from bench.idleness import asleep, settled
from bench.process import started

INSERT = "insert into taskq.tasks (role) values ('stamp') returning id"
PAUSE = (0.005, 0.08)  # seconds between two inserts


async def wake(run: Run) -> list[Figure]:
    """The middle and the tail of 500 samples, for each round."""
    found = await run.interleave({"wake": partial(latencies, run, run.size(500, 10))}, rounds=2)
    middle, tail = ([percentile(r, share) for r in found["wake"]] for share in (0.5, 0.99))
    return [
        Figure("wake", "commit to handler, p50", middle, "ms", Target(5.0, at_least=False)),
        Figure("wake", "commit to handler, p99", tail, "ms"),
        Figure("wake", "commit to handler, the slowest", [max(r) for r in found["wake"]], "ms"),
    ]


async def latencies(run: Run, samples: int) -> list[float]:
    """Milliseconds from commit to start."""
    async with run.server.scratch(TASKQ.install) as dsn, started(TASKQ.module, dsn, slots=10, role="stamp"):
        session = await asyncpg.connect(dsn)
        try:
            await asleep(session)
            insert, committed = await session.prepare(INSERT), {}
            for _ in range(samples):
                await asyncio.sleep(random.uniform(*PAUSE))
                id = await insert.fetchval()
                committed[id] = time.monotonic_ns()
            await settled(session)
            rows = await session.fetch("select id, (result ->> 'started')::bigint from taskq.tasks")
            return [(nanoseconds - committed[id]) / 1e6 for id, nanoseconds in rows]
        finally:
            await session.close()
