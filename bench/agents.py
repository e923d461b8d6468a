"""agents: what a turn costs to keep, how long it takes to commit, and 200 agents streaming in one worker."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from bench.agent_worker import API
from bench.contenders import HERE, TASKQ
from bench.fake_api import TURNS
from bench.harness import Figure, Run, Target, percentile, ratios
from bench.idleness import SETTLED, until
from bench.process import WorkerProcess, started

WORKER = "bench.agent_worker"
EVENT_SECONDS = 0.1
LINEAR, STEP = Target(1.5, at_least=False), Target(10.0, at_least=False)

TASKS = 10
INSERT_TURNS = """
insert into taskq.tasks (role, payload) select 'turns', $1::jsonb from generate_series(1, $2::int)
"""
INSERT = """
insert into taskq.tasks (role, payload)
select 'stream', jsonb_build_object('objective', 'Look.', 'directory', $2::text)
from generate_series(1, $1::int)
"""
AT_ONCE = """
select count(*) from taskq.tasks
where started_at <= (select min(finished_at) from taskq.tasks where role = 'stream' and not id = any($1))
  and not id = any($1)
"""


async def agents(run: Run) -> list[Figure]:
    """The log of turns, and the streams."""
    found: dict[str, list[Any]] = await run.interleave(
        {
            "turns": partial(log, run, with_tools=False),
            "turns with a tool call": partial(log, run, with_tools=True),
            "streams": partial(streams, run),
        }
    )
    return [
        *kept("5 KB turns", found["turns"]),
        *kept("5 KB turns with a tool call", found["turns with a tool call"]),
        *used(run, found["streams"]),
    ]


def kept(what: str, rounds: list[dict[str, Any]]) -> list[Figure]:
    """The figures of the log."""

    def by_payload(kind: str, first: int, last: int) -> list[float]:
        ends = [(r["kept"][first], r["kept"][last]) for r in rounds]
        return [(b[kind] - a[kind]) / (b["payload"] - a["payload"]) for a, b in ends]

    figures = []
    for kind, name in (("wal", "WAL"), ("stored", "stored bytes")):
        # The target is set for the payload alone; a tool call brings rows of its own.
        bound = LINEAR if what == "5 KB turns" else None
        growth = ratios(by_payload(kind, 1, 2), by_payload(kind, 0, 1))
        figures.append(Figure("agents", f"{what}: {name} a byte", by_payload(kind, 0, 2), "x", bound))
        figures.append(Figure("agents", f"{what}: {name}, last half to first", growth, "x", LINEAR))
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        times = [percentile(r["ms"], share) for r in rounds]
        figures.append(
            Figure("agents", f"{what}: boundary, {name}", times, "ms", STEP if share > 0.5 else None)
        )
    return figures


async def log(run: Run, *, with_tools: bool) -> dict[str, Any]:
    """Tasks of a hundred turns each, one after another in a fresh database: `kept` of the first, `ms` of all,
    as bench/agent_worker.py has them."""
    payload = {"turns": run.size(100, 10), "tools": with_tools}
    async with run.server.scratch(TASKQ.install) as dsn, started(WORKER, dsn, slots=1, role="turns"):
        session = await asyncpg.connect(dsn)
        try:
            await session.execute(INSERT_TURNS, json.dumps(payload), run.size(TASKS, 1))
            await until(session, SETTLED)
            results = await session.fetch("select result from taskq.tasks order by started_at")
            found = [json.loads(row["result"]) for row in results]
            return {"kept": found[0]["kept"], "ms": [ms for result in found for ms in result["ms"]]}
        finally:
            await session.close()


@dataclass(frozen=True)
class Used:
    """What the streams of one round took; `peak` and `idle` are the worker's memory in kilobytes."""

    at_once: int
    seconds: float
    cpu: float
    peak: int
    idle: int


def used(run: Run, rounds: list[Used]) -> list[Figure]:
    """The figures of the streams."""
    number = run.size(200, 5)
    what = f"{number} streams"
    run.notes.append(
        f"agents: {number} agents of {TURNS} turns stream at once, an event every {EVENT_SECONDS * 1000:g} ms"
        " each; a boundary is from the end of the model's message until it may be asked again"
    )
    return [
        Figure("agents", f"{what}: at once", [r.at_once for r in rounds], "", Target(number)),
        Figure(
            "agents", f"{what}: CPU of the worker", [r.cpu / r.seconds * 100 for r in rounds], "% of a core"
        ),
        Figure("agents", f"{what}: CPU a turn", [r.cpu / number / TURNS * 1000 for r in rounds], "ms"),
        Figure("agents", f"{what}: RSS of the worker, peak", [r.peak / 1024 for r in rounds], "MB"),
        Figure("agents", f"{what}: finished", [number / r.seconds for r in rounds], "/s"),
    ]


async def streams(run: Run) -> Used:
    """Many agents at once in one worker process, after one alone has warmed it up."""
    number, every = run.size(200, 5), run.size(EVENT_SECONDS, 0.005)
    async with (
        run.server.scratch(TASKQ.install) as dsn,
        started("bench.fake_api", "-", slots=0, every=every) as fake,
    ):
        base_url = f"http://127.0.0.1:{(await fake.hear('serving'))[1]}"
        async with started(WORKER, dsn, slots=number, role="stream", env={API: base_url}) as worker:
            session = await asyncpg.connect(dsn)
            try:
                return await _crowd(session, worker, number)
            finally:
                await session.close()


async def _usage(worker: WorkerProcess) -> tuple[int, float]:
    """The worker's memory at its peak, in kilobytes, and its CPU time in seconds, as they are now."""
    now = time.monotonic_ns()
    while True:
        _, peak, _ = await worker.hear("peak")
        _, at, cpu = await worker.hear("used")
        if at > now:
            return peak, cpu


async def _crowd(session: asyncpg.Connection, worker: WorkerProcess, number: int) -> Used:
    directory = str(HERE)
    await session.execute(INSERT, 1, directory)
    await until(session, SETTLED)
    alone = await session.fetchval("select array_agg(id) from taskq.tasks")
    idle, cpu = await _usage(worker)
    begun = time.monotonic()
    await session.execute(INSERT, number, directory)
    await until(session, SETTLED)
    seconds = time.monotonic() - begun
    peak, cpu_after = await _usage(worker)
    failed = await session.fetchval("select count(*) from taskq.tasks where status <> 'completed'")
    assert failed == 0, f"{failed} agents did not complete"
    return Used(await session.fetchval(AT_ONCE, alone), seconds, cpu_after - cpu, peak, idle)
