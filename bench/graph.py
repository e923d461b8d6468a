"""graph: a chain of 1,000, 10,000 → 1 and 1 → 10,000, by one worker with its default settings (10 slots).

Each graph is one INSERT.  The time runs from its commit to the end of the last task; the worker slept before.
"""

from __future__ import annotations

import time
from functools import partial

import asyncpg

from bench.contenders import TASKQ
from bench.harness import Figure, Run, Target
from bench.idleness import asleep, settled
from bench.process import started
from bench.server import Server

SLOTS = 10
SECONDS = 10.0  # what "finish in seconds" may mean at most
CHAIN = """
with ids as (select array_agg(taskq.uuid7()) as id from generate_series(1, $1::int))
insert into taskq.tasks (id, role, depends_on)
select id[n], 'noop', case when n > 1 then array[id[n - 1]] else '{}' end
from ids, generate_series(1, $1::int) n
"""
FAN_IN = """
with ids as (select taskq.uuid7() as id from generate_series(1, $1::int))
insert into taskq.tasks (id, role, depends_on)
select id, 'noop', '{}'::uuid[] from ids union all select taskq.uuid7(), 'noop', array_agg(id) from ids
"""
FAN_OUT = """
with root as (select taskq.uuid7() as id)
insert into taskq.tasks (id, role, depends_on)
select id, 'noop', '{}'::uuid[] from root
union all select taskq.uuid7(), 'noop', array[id] from root, generate_series(1, $1::int)
"""


async def graph(run: Run) -> list[Figure]:
    """Milliseconds a hop, and seconds for the fans."""
    hops, width = run.size((1_000, 10_000), (20, 50))
    found = await run.interleave(
        {
            "chain": partial(finish, run.server, CHAIN, hops),
            "fan-in": partial(finish, run.server, FAN_IN, width),
            "fan-out": partial(finish, run.server, FAN_OUT, width),
        }
    )
    chain = [seconds / hops * 1000 for _, seconds in found["chain"]]
    figures = [Figure("graph", f"a chain of {hops:,}", chain, "ms a hop", Target(3.0, at_least=False))]
    for name, what in (("fan-in", f"{width:,} → 1"), ("fan-out", f"1 → {width:,}")):
        took = [seconds for _, seconds in found[name]]
        figures.append(Figure("graph", what, took, "s", Target(SECONDS, at_least=False)))
        figures.append(Figure("graph", f"{what}: its INSERT", [insert for insert, _ in found[name]], "s"))
    return figures


async def finish(server: Server, insert: str, size: int) -> tuple[float, float]:
    """Seconds of the INSERT, and from its commit to the end of the last task."""
    async with server.scratch(TASKQ.install) as dsn, started(TASKQ.module, dsn, slots=SLOTS):
        session = await asyncpg.connect(dsn)
        try:
            await asleep(session)
            begin = time.monotonic()
            await session.execute(insert, size)
            committed = time.monotonic()
            await settled(session)
            end = time.monotonic()
            kept = await session.fetchval(TASKQ.kept)
            assert kept >= size, f"only {kept} of {size} tasks are completed"
            return committed - begin, end - committed
        finally:
            await session.close()
