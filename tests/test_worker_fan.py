"""Wide and deep graphs through real workers, with default settings.  How fast exactly is for bench/."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg

from taskq import App, Queue, Task
from worker_process import working

DEADLINE = timedelta(seconds=60)


def graph_app() -> App:
    app = App()

    @app.role("leaf")
    async def leaf(task: Task) -> int:
        return 1

    @app.role("count")
    async def count(task: Task) -> int:
        return len(task.parents)

    @app.role("link")
    async def link(task: Task) -> int:
        return 1 + sum(task.parents.values())

    return app


async def test_10000_to_1_takes_seconds(dsn: str, queue: Queue) -> None:
    ids = [uuid4() for _ in range(10_000)]
    tasks: list[dict[str, Any]] = [{"role": "leaf", "id": id} for id in ids]
    async with working(graph_app(), dsn, sweep=30):
        began = time.monotonic()
        *_, last = await queue.enqueue_many([*tasks, {"role": "count", "depends_on": ids}])
        assert await queue.result(last, timeout=DEADLINE) == 10_000
        assert time.monotonic() - began < 30


async def test_1_to_10000_takes_seconds(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    first, last = uuid4(), uuid4()
    fan = [{"role": "count", "id": uuid4(), "depends_on": [first]} for _ in range(10_000)]
    async with working(graph_app(), dsn, sweep=30):
        began = time.monotonic()
        await queue.enqueue_many(
            [
                {"role": "leaf", "id": first},
                *fan,
                {"role": "count", "id": last, "depends_on": [task["id"] for task in fan]},
            ]
        )
        assert await queue.result(last, timeout=DEADLINE) == 10_000
        assert time.monotonic() - began < 30
    assert await db.fetchval(
        "select bool_and(result = '1') from taskq.tasks where depends_on = array[$1::uuid]", first
    )


async def test_a_chain_of_1000_takes_seconds(dsn: str, queue: Queue) -> None:
    ids = [uuid4() for _ in range(1000)]
    chain = [
        {"role": "link", "id": id, "depends_on": [before] if before else []}
        for before, id in zip([None, *ids], ids, strict=False)
    ]
    async with working(graph_app(), dsn, sweep=30):
        began = time.monotonic()
        await queue.enqueue_many(chain)
        assert await queue.result(ids[-1], timeout=DEADLINE) == 1000
        assert time.monotonic() - began < 30


async def test_a_chain_hops_between_workers_of_different_roles(dsn: str, queue: Queue) -> None:
    app = graph_app()
    ids = [uuid4() for _ in range(200)]
    chain = [
        {"role": ("link", "count")[n % 2], "id": id, "depends_on": [ids[n - 1]] if n else []}
        for n, id in enumerate(ids)
    ]
    async with working(app, dsn, roles=["link"]), working(app, dsn, roles=["count"]):
        began = time.monotonic()
        await queue.enqueue_many(chain)
        await queue.result(ids[-1], timeout=DEADLINE)
        assert time.monotonic() - began < 10
