"""idle: the transactions of a worker that has nothing to do."""

from __future__ import annotations

import asyncio
from functools import partial

import asyncpg

from bench.contenders import TASKQ
from bench.harness import Figure, Run, Target
from bench.idleness import asleep
from bench.process import started
from bench.tap import tapped

QUIET = 8.0  # seconds for which a worker looks after the others although nothing happens


async def idle(run: Run) -> list[Figure]:
    """Transactions in 5 s, measured over 60 s: every timer of a worker comes round in that."""
    found = await run.interleave({"idle": partial(transactions, run)}, rounds=1)
    return [
        Figure(
            "idle", "transactions of an idle worker in 5 s", found["idle"], "", Target(1.0, at_least=False)
        )
    ]


async def transactions(run: Run) -> float:
    """How many in 5 s."""
    seconds = run.size(60.0, 0.5)
    async with run.server.scratch(TASKQ.install) as dsn, tapped(dsn) as tap:
        session = await asyncpg.connect(dsn)
        try:
            async with started(TASKQ.module, tap.dsn, slots=10):
                await asleep(session)
                await asyncio.sleep(run.size(QUIET, 0.1))
                before = tap.transactions
                await asyncio.sleep(seconds)
                return (tap.transactions - before) / seconds * 5
        finally:
            await session.close()
