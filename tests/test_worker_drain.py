"""The end of a worker: what it finishes, what it gives back, how long it takes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from support import eventually
from taskq import App, Queue, Task
from taskq.errors import NotMigrated
from taskq.worker import Worker
from worker_process import (
    WorkerProcess,
    is_alive,
    pid_of,
    registered,
    settings_for,
    worker_process,
    working,
)


async def run_on(db: asyncpg.Connection, count: int) -> None:
    """Wait until so many tasks run."""

    async def so_many() -> bool:
        running = await db.fetchval("select count(*) from taskq.tasks where status = 'in_progress'")
        return running == count

    await eventually(so_many, every=0.005)


async def statuses(queue: Queue, ids: list[UUID]) -> list[tuple[str, int]]:
    rows = [await queue.show(id) for id in ids]
    return [(row["status"], row["attempt"]) for row in rows]


async def test_sigterm_lets_running_tasks_finish_and_claims_no_new_ones(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with worker_process(dsn, concurrency=2) as process:
        await registered(db, 1)
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 0.8}} for _ in range(4)])
        await run_on(db, 2)
        process.send(signal.SIGTERM)
        await eventually(lambda: db.fetchval("select draining from taskq.workers"))
        late = await queue.enqueue("hold", {"seconds": 0})
        assert await process.ends() == 0
    assert sorted(await statuses(queue, ids)) == [("completed", 1)] * 2 + [("queued", 0)] * 2
    assert await statuses(queue, [late]) == [("queued", 0)]
    assert await db.fetchval("select count(*) from taskq.workers") == 0
    assert await db.fetchval("select count(*) from taskq.sleepers") == 0


async def test_what_outlasts_the_grace_is_released_without_spending_an_attempt(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with worker_process(dsn, grace=0.5) as process:
        await registered(db, 1)
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 60}} for _ in range(3)])
        await run_on(db, 3)
        began = time.monotonic()
        process.send(signal.SIGTERM)
        assert await process.ends() == 0
        assert 0.5 < time.monotonic() - began < 3
    assert await statuses(queue, ids) == [("queued", 0)] * 3
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_stops_at_once(
    dsn: str, queue: Queue, db: asyncpg.Connection, number: signal.Signals
) -> None:
    async with worker_process(dsn, grace=60) as process:
        await registered(db, 1)
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 60}} for _ in range(3)])
        await run_on(db, 3)
        process.send(number)
        await eventually(lambda: db.fetchval("select draining from taskq.workers"))
        began = time.monotonic()
        process.send(number)
        assert await process.ends() == 0
        assert time.monotonic() - began < 2
    assert await statuses(queue, ids) == [("queued", 0)] * 3


async def test_a_drain_keeps_the_leases_alive(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    app = App()

    @app.role("hold")
    async def hold(task: Task) -> str:
        return "by another"

    async with worker_process(dsn, lease=1, heartbeat=0.2) as process:
        await registered(db, 1)
        id = await queue.enqueue("hold", {"seconds": 3})
        await run_on(db, 1)
        async with working(app, dsn, lease=1, heartbeat=0.2):
            process.send(signal.SIGTERM)
            assert await queue.result(id, timeout=timedelta(seconds=8)) == "held"
        assert await process.ends() == 0


async def test_handlers_that_will_not_stop_do_not_keep_the_process(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with worker_process(dsn, grace=0.3) as process:
        await registered(db, 1)
        ids = await queue.enqueue_many([{"role": "stubborn"}, {"role": "stubborn"}])
        await run_on(db, 2)
        process.send(signal.SIGTERM)
        assert await process.ends(within=6) == 0
    assert await statuses(queue, ids) == [("queued", 0)] * 2


async def test_a_drained_worker_has_handed_in_everything(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    """Drained in the middle of a stream of short tasks: each is completed or untouched, and all stop."""
    app, runs = App(), []

    @app.role("short")
    async def short(task: Task) -> None:
        runs.append(task.id)

    await queue.enqueue_many([{"role": "short"} for _ in range(3000)])
    async with working(app, dsn, concurrency=50):
        await eventually(lambda: len(runs) > 200, every=0.001)
    count = len(runs)
    assert await db.fetchval("select count(*) from taskq.tasks where status = 'completed'") == count
    assert (
        await db.fetchval("select count(*) from taskq.tasks where status = 'queued' and attempt = 0")
        == 3000 - count
    )
    assert len(set(runs)) == count < 3000


async def test_a_worker_that_is_drained_while_a_claim_is_on_its_way_still_runs_it(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, ends = App(), []

    @app.role("slow")
    async def slow(task: Task) -> None:
        await asyncio.sleep(0.1)
        ends.append(task.id)

    for _ in range(12):
        worker = Worker(app, dsn=dsn, settings=settings_for(dsn))
        running = asyncio.create_task(worker.run())
        id = await queue.enqueue("slow")

        async def is_claimed(id: UUID = id) -> bool:
            return await db.fetchval("select status <> 'queued' from taskq.tasks where id = $1", id)

        await eventually(is_claimed, every=0)
        worker.drain()
        await running
        assert ends.pop() == id
        assert (await queue.show(id))["status"] == "completed"


async def test_a_worker_without_a_schema_says_what_to_do(dsn: str) -> None:
    db = await asyncpg.connect(dsn)
    await db.execute("drop schema taskq cascade")
    await db.close()
    with pytest.raises(NotMigrated, match="taskq migrate"):
        await Worker(App(), dsn=dsn, settings=settings_for(dsn)).run()


# several processes


@asynccontextmanager
async def fleet(
    dsn: str, db: asyncpg.Connection, **how: float
) -> AsyncIterator[tuple[WorkerProcess, set[int]]]:
    """A fleet of two, with the pids of its workers."""
    async with worker_process(dsn, processes=2, concurrency=2, **how) as parent:
        yield parent, {pid_of(row) for row in await registered(db, 2)}


async def test_a_killed_process_of_a_fleet_is_replaced_and_its_tasks_run_again(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with fleet(dsn, db) as (parent, children):
        assert parent.pid not in children and len(children) == 2
        victim = min(children)
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 2}} for _ in range(4)])
        await run_on(db, 4)
        os.kill(victim, signal.SIGKILL)

        async def is_replaced() -> bool:
            pids = {pid_of(row) for row in await db.fetch("select name from taskq.workers")}
            return len(pids) == 2 and victim not in pids

        await eventually(is_replaced)
        for id in ids:
            assert await queue.result(id, timeout=timedelta(seconds=10)) == "held"
        assert await db.fetchval("select count(*) from taskq.attempts where kind = 'worker_lost'") == 2
        parent.send(signal.SIGTERM)
        assert await parent.ends() == 0


async def test_sigterm_to_the_parent_drains_every_process(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with fleet(dsn, db) as (parent, children):
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 1}} for _ in range(6)])
        await run_on(db, 4)
        parent.send(signal.SIGTERM)
        assert await parent.ends() == 0
        assert not any(is_alive(pid) for pid in children)
    assert sorted(await statuses(queue, ids)) == [("completed", 1)] * 4 + [("queued", 0)] * 2


async def test_ctrl_c_in_a_terminal_drains_a_fleet_instead_of_stopping_it(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    """A terminal sends SIGINT to the whole group, so that the children would get it twice."""
    async with fleet(dsn, db) as (parent, _):
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 1.5}} for _ in range(4)])
        await run_on(db, 4)
        os.killpg(parent.pid, signal.SIGINT)
        assert await parent.ends() == 0
    assert await statuses(queue, ids) == [("completed", 1)] * 4


async def test_a_second_signal_stops_a_fleet_at_once(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    async with fleet(dsn, db, grace=60) as (parent, _):
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 60}} for _ in range(4)])
        await run_on(db, 4)
        parent.send(signal.SIGTERM)
        await eventually(lambda: db.fetchval("select bool_and(draining) from taskq.workers"))
        parent.send(signal.SIGTERM)
        assert await parent.ends(within=5) == 0
    assert await statuses(queue, ids) == [("queued", 0)] * 4


async def test_the_workers_of_a_killed_parent_drain(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    async with fleet(dsn, db) as (parent, children):
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 1}} for _ in range(6)])
        await run_on(db, 4)
        parent.send(signal.SIGKILL)
        await eventually(lambda: not any(is_alive(pid) for pid in children))
    assert sorted(await statuses(queue, ids)) == [("completed", 1)] * 4 + [("queued", 0)] * 2
