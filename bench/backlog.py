"""backlog: the drain with 500,000 finished and 500,000 future tasks of its role in the table, or none."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import asyncpg

from bench.contenders import TASKQ
from bench.drain import Drained, drain_in, drain_once
from bench.harness import Figure, Run, Target, ratios
from bench.plot import plot

SQL = Path(__file__).with_suffix(".sql")
SLOTS = 500
EVERY = 0.02


async def backlog(run: Run) -> list[Figure]:
    """Both rates, and one by the other."""
    tasks, count = run.size((20_000, 500_000), (200, 1_000))
    async with run.server.scratch(TASKQ.install) as dsn:
        await pile_up(dsn, count)
        found = await run.interleave(
            {
                "empty": partial(drain_once, run, TASKQ, tasks, SLOTS, EVERY),
                "backlog": partial(drain_in, dsn, TASKQ, tasks, SLOTS, EVERY),
            },
            rounds=5,
        )
    rates = {name: [drained.rate for drained in rounds] for name, rounds in found.items()}
    path = plot("backlog", {name: line(rounds) for name, rounds in found.items()}, "tasks run")
    run.notes.append(f"backlog: {path}")
    return [
        Figure("backlog", "an empty table", rates["empty"], "/s"),
        Figure("backlog", f"{count:,} finished and {count:,} future tasks in it", rates["backlog"], "/s"),
        Figure("backlog", "backlog / empty", ratios(rates["backlog"], rates["empty"]), "x", Target(0.9)),
    ]


async def pile_up(dsn: str, count: int) -> None:
    """Past and future."""
    session = await asyncpg.connect(dsn)
    try:
        await session.execute("set session_replication_role = replica")
        await session.execute(SQL.read_text(encoding="utf-8").replace(":count", str(count)))
        await session.execute("vacuum analyze taskq.tasks")
    finally:
        await session.close()


def line(rounds: list[Drained]) -> list[tuple[float, float]]:
    """The last round, from when the work began."""
    return [(second, ran) for second, ran in rounds[-1].line if second >= 0]
