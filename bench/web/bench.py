"""web: 20 browsers on Mission Control, 100,000 tasks, and workers that run more."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from bench.contenders import TASKQ
from bench.harness import Figure, Run, Target, percentile
from bench.process import ROOT, log_file, started
from bench.tap import tapped
from bench.web.browser import Browser, Place, Seen

SQL = Path(__file__).with_name("world.sql")
BROWSERS = 20
THINK = 30.0
"""Seconds that somebody stays on a page, on average, while it keeps itself true."""
RATE = 20.0
"""Tasks a second that are inserted, and run by a worker."""
QUICK, LOAD = Target(100.0, at_least=False), Target(5.0, at_least=False)
INSERT = """
insert into taskq.tasks (role, name, mission_id, parent_id)
select 'noop', 'more of it', m.id, m.id from (select unnest($1::uuid[]) as id order by random() limit 1) m
"""
PROBE = "insert into taskq.tasks (role) values ('probe') returning id"
MISSIONS = "select distinct mission_id from taskq.tasks where mission_id <> id"
TASKS = "select id from taskq.tasks where mission_id <> id and status = $1::taskq.status limit 200"


@dataclass
class Round:
    """What one round saw: milliseconds by kind of page, statements a second, seconds from commit to event."""

    pages: dict[str, list[float]]
    statements: float
    delays: list[float]
    told: float
    notes: list[str] = field(default_factory=list)


async def web(run: Run) -> list[Figure]:
    """The pages, the load and the feed."""
    found: dict[str, list[Round]] = await run.interleave({"browsers": partial(browse, run)}, rounds=3)
    rounds = found["browsers"]
    for round in rounds:
        run.notes += round.notes
    figures = []
    for kind in rounds[0].pages:
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
            times = [percentile(round.pages[kind], share) for round in rounds if round.pages.get(kind)]
            figures.append(Figure("web", f"{kind}, {name}", times, "ms", QUICK if name == "p95" else None))
    delays = {
        name: [percentile(r.delays, share) * 1000 for r in rounds]
        for share, name in ((0.5, "p50"), (0.95, "p95"))
    }
    return [
        *figures,
        Figure(
            "web",
            f"what {BROWSERS} browsers ask of the database",
            [r.statements for r in rounds],
            "queries/s",
            LOAD,
        ),
        Figure("web", "pages told to fetch themselves again", [r.told for r in rounds], "/s"),
        *(Figure("web", f"commit to event, {name}", values, "ms") for name, values in delays.items()),
    ]


async def browse(run: Run) -> Round:
    """A server, a worker, people who put tasks in, and the browsers."""
    count, seconds, browsers = run.size((100_000, 60.0, BROWSERS), (500, 2.0, 4))
    async with run.server.scratch(TASKQ.install) as dsn, tapped(dsn) as tap:
        session = await asyncpg.connect(dsn)
        try:
            places = await build(session, count)
            async with serving(tap.dsn) as url, started(TASKQ.module, dsn, slots=10, role="noop"):
                missions = [row[0] for row in await session.fetch(MISSIONS)]
                inserting = asyncio.create_task(insert(dsn, missions))
                seen, delays, heard = Seen(), list[float](), asyncio.Event()
                # as many as there are, on pages of every kind from the beginning
                first = iter([*places.values()] * browsers)
                tabs = [
                    Browser(url, seen, chooser(next(first), places), run.size(THINK, 1.0))
                    for _ in range(browsers)
                ]
                working = [asyncio.create_task(tab.run()) for tab in tabs]
                probing = asyncio.create_task(probe(url, dsn, delays, heard))
                await asyncio.sleep(
                    run.size(10.0, 0.5)
                )  # statements are prepared, everybody has opened a page
                seen.took.clear()
                before, told, began = tap.transactions, seen.told, time.monotonic()
                await asyncio.sleep(seconds)
                await asyncio.wait_for(heard.wait(), 60)
                passed, sent, told = time.monotonic() - began, tap.transactions - before, seen.told - told
                await stop(inserting, probing, *working)
        finally:
            await session.close()
    pages = {kind: [s * 1000 for s in seen.took[kind]] for kind in places if seen.took[kind]}
    return Round(pages, sent / passed, delays, told / passed, [f"web: {what}" for what in seen.refused[:5]])


def chooser(first: list[Place], places: dict[str, list[Place]]) -> Callable[[], Place]:
    """Where a tab goes: first here, then to any kind of page."""
    opened = False

    def choose() -> Place:
        nonlocal opened
        kind, opened = (random.choice([*places.values()]) if opened else first), True
        return random.choice(kind)

    return choose


async def build(session: asyncpg.Connection, count: int) -> dict[str, list[Place]]:
    """Fill the database; the pages to look at, by kind."""
    await session.execute("set session_replication_role = replica")
    await session.execute(SQL.read_text(encoding="utf-8").replace(":count", str(count)))
    await session.execute("set session_replication_role = origin")
    await session.execute("vacuum analyze")
    missions = await session.fetch(MISSIONS)
    tasks = [*await session.fetch(TASKS, "completed"), *await session.fetch(TASKS, "blocked")]
    plain = ("/", "/missions", "/tasks", "/approvals", "/roles", "/audit")
    return {
        **{path: [Place(path, path)] for path in plain},
        "/tasks, filtered": [
            Place("/tasks, filtered", f"/tasks?role=role_{n}&status=failed") for n in range(20)
        ],
        "/missions/…": [Place("/missions/…", f"/missions/{row[0]}") for row in missions],
        "/tasks/…": [Place("/tasks/…", f"/tasks/{row[0]}") for row in tasks],
    }


@asynccontextmanager
async def serving(dsn: str) -> AsyncIterator[str]:
    """`taskq serve` on this database; yields its address."""
    with log_file().open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "taskq", "--database", dsn, "serve", "--port", "0",
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield line.decode().split()[-1].rstrip("/")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def insert(dsn: str, missions: list[Any]) -> None:
    """Tasks for the worker, one by one, each of some mission."""
    session = await asyncpg.connect(dsn)
    try:
        while True:
            await session.execute(INSERT, missions)
            await asyncio.sleep(random.expovariate(RATE))
    finally:
        await session.close()


async def probe(url: str, dsn: str, delays: list[float], heard: asyncio.Event) -> None:
    """Insert a task every second or so, and hear of it."""
    committed: dict[str, float] = {}
    session = await asyncpg.connect(dsn)

    async def put_in() -> None:
        while True:
            id = await session.fetchval(PROBE)
            committed[str(id)] = time.monotonic()
            await asyncio.sleep(random.expovariate(1.0))

    putting: Awaitable[None] | None = None
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=None) as http:
            params = {"role": "probe", "verb": "created"}
            async with http.stream("GET", "/api/v1/events", params=params) as events:
                putting = asyncio.create_task(put_in())
                async for line in events.aiter_lines():
                    if line.startswith("data:"):
                        id = line.partition('"task_id":"')[2][:36]
                        delays.append(time.monotonic() - committed[id])
                        heard.set()
    finally:
        if putting is not None:
            await stop(putting)
        await session.close()


async def stop(*tasks: Any) -> None:
    """Cancel these; an error of theirs is told."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
