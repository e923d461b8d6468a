"""drain: one worker process works off 20,000 no-op tasks; every row is kept, with its result.

Start-up is left out in the same way for all: the table is locked before the worker starts, and the time runs
from when the lock is released, with the worker standing at it, until the last task is committed as finished.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import asyncpg

from bench.contenders import PGQUEUER, PROCRASTINATE, PROTOTYPE, TASKQ, Contender
from bench.harness import Figure, Run, Target, ratios
from bench.idleness import until
from bench.process import started

STANDS_AT_THE_LOCK = "select exists (select from pg_locks where not granted and relation = $1::regclass)"
SETTLE = 0.3  # seconds for what else the worker does at its start
MOST_SLOTS = 500
FEWER_SLOTS = (50, 10)


@dataclass(frozen=True)
class Drained:
    """Tasks a second, the worker's CPU in microseconds a task, and (seconds, tasks run) over time."""

    rate: float
    cpu: float
    line: list[tuple[float, int]] = field(default_factory=list)


async def drain(run: Run) -> list[Figure]:
    """taskq, the bare SQL and the peers with 500 slots; taskq and the bare SQL with 50 and 10."""
    tasks, fewer_slots = run.size((20_000, FEWER_SLOTS), (200, FEWER_SLOTS[:1]))
    measures: dict[str, Callable[[], Awaitable[Drained]]] = {}
    for slots in (MOST_SLOTS, *fewer_slots):
        for contender in (TASKQ, PROTOTYPE):
            measures[named(contender, slots)] = partial(drain_once, run, contender, tasks, slots)
    if run.peers:
        for peer, count in ((PGQUEUER, tasks), (PROCRASTINATE, run.size(1_500, 50))):
            if peer.is_installed:
                measures[named(peer, MOST_SLOTS)] = partial(drain_once, run, peer, count, MOST_SLOTS)
            else:
                run.notes.append(f"{peer.name} is not installed; pip install --group bench")
    found = await run.interleave(measures, rounds=5)
    rates = {name: [drained.rate for drained in rounds] for name, rounds in found.items()}
    return [*rate_figures(rates), *cpu_figures(found), *ratio_figures(rates)]


async def drain_once(run: Run, contender: Contender, tasks: int, slots: int, every: float = 0.0) -> Drained:
    """In a fresh database."""
    async with run.server.scratch(contender.install) as dsn:
        return await drain_in(dsn, contender, tasks, slots, every)


async def drain_in(dsn: str, contender: Contender, tasks: int, slots: int, every: float = 0.0) -> Drained:
    """In this database, with whatever else is in it."""
    session = await asyncpg.connect(dsn)
    try:
        before = await session.fetchval(contender.kept)
        await contender.fill(session, tasks)
        await session.execute(f"vacuum analyze {contender.table}")
        await session.execute("checkpoint")
        lock = session.transaction()
        await lock.start()
        await session.execute(f"lock table {contender.table} in exclusive mode")
        async with started(contender.module, dsn, slots=slots, tasks=tasks, every=every) as worker:
            await until(session, STANDS_AT_THE_LOCK, contender.table)
            await asyncio.sleep(SETTLE)
            begin = time.monotonic()
            await lock.commit()
            _, _, cpu = await worker.hear("all")
            await until(session, contender.settled, every=0.002)
            end = time.monotonic()
            line = [(nanoseconds / 1e9 - begin, ran) for _, ran, nanoseconds in worker.said]
        kept = await session.fetchval(contender.kept) - before
        assert kept == tasks, f"{contender.name} kept {kept} finished tasks of {tasks}"
        return Drained(tasks / (end - begin), cpu, line)
    finally:
        await session.close()


def named(contender: Contender, slots: int) -> str:
    return f"{contender.name}, {slots} slots"


def rate_figures(rates: dict[str, list[float]]) -> list[Figure]:
    return [Figure("drain", name, values, "/s") for name, values in rates.items()]


def cpu_figures(found: dict[str, list[Drained]]) -> list[Figure]:
    return [
        Figure("drain", f"{name}: the worker's CPU", [drained.cpu for drained in rounds], "µs a task")
        for name, rounds in found.items()
    ]


def ratio_figures(rates: dict[str, list[float]]) -> list[Figure]:
    ours = rates[named(TASKQ, MOST_SLOTS)]
    figures = []
    for other, bound in ((PROTOTYPE, 0.6), (PGQUEUER, 3.0), (PROCRASTINATE, 50.0)):
        if named(other, MOST_SLOTS) in rates:
            theirs = rates[named(other, MOST_SLOTS)]
            what = f"taskq / {other.name}, {MOST_SLOTS} slots"
            figures.append(Figure("drain", what, ratios(ours, theirs), "x", Target(bound)))
    for slots in FEWER_SLOTS:
        if named(TASKQ, slots) in rates:
            values = ratios(rates[named(TASKQ, slots)], rates[named(PROTOTYPE, slots)])
            figures.append(Figure("drain", f"taskq / bare SQL, {slots} slots", values, "x"))
    return figures
