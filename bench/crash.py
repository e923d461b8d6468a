"""crash: SIGKILL to one of two workers, which holds 20 tasks; when have all of them started on the other?"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial

import asyncpg

from bench.contenders import TASKQ
from bench.harness import Figure, Run, Target
from bench.idleness import until
from bench.process import started

TASKS = 20
INSERT = "insert into taskq.tasks (role) select 'hold' from generate_series(1, $1::int)"


async def crash(run: Run) -> list[Figure]:
    """Seconds from the signal to the last start."""
    found = await run.interleave({"crash": partial(take_over, run)}, rounds=5)
    within, what = Target(3.0, at_least=False), f"{TASKS} tasks of a killed worker run elsewhere"
    return [
        Figure("crash", what, found["crash"], "s", within),
        Figure("crash", "the slowest round", [max(found["crash"])], "s", within),
    ]


async def take_over(run: Run) -> float:
    """In a fresh database: one worker takes all, another one comes, the first is killed."""
    async with run.server.scratch(TASKQ.install) as dsn:
        session = await asyncpg.connect(dsn)
        try:
            async with started(TASKQ.module, dsn, slots=TASKS, role="hold") as victim:
                await session.execute(INSERT, TASKS)
                for _ in range(TASKS):
                    await victim.hear("started")
                async with started(TASKQ.module, dsn, slots=TASKS, role="hold") as heir:
                    await until(session, "select count(*) = 2 from taskq.workers")
                    await asyncio.sleep(random.uniform(0.5, 1.5))
                    victim.kill()
                    killed = time.monotonic_ns()
                    last = [await heir.hear("started") for _ in range(TASKS)][-1]
                    heir.kill()  # what it holds would make it drain for long
                    return (last[1] - killed) / 1e9
        finally:
            await session.close()
