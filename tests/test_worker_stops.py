"""Running tasks that are cancelled, requeued or lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from support import eventually
from taskq import App, LeaseLost, Queue, SyncTask, Task
from taskq.worker.stage import Stage
from worker_process import working


def holding() -> tuple[App, list[str]]:
    """An app whose role holds on until it is cancelled, and what became of its attempts."""
    app, ends = App(), []

    @app.role("hold")
    async def hold(task: Task) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    return app, ends


async def running(db: asyncpg.Connection, id: UUID) -> None:
    await eventually(
        lambda: db.fetchval("select status = 'in_progress' from taskq.tasks where id = $1", id), every=0.005
    )


async def test_a_running_task_that_is_cancelled_is_told_at_once(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, ends = holding()
    async with working(app, dsn):
        id = await queue.enqueue("hold")
        await running(db, id)
        began = time.monotonic()
        assert await queue.cancel(id, "no longer needed", "a person") == "in_progress"
        done = await queue.wait(id, timeout=timedelta(seconds=5))
        assert time.monotonic() - began < 1.0  # the heartbeat comes every 15 s
    assert (done.status, done.error_kind, done.error) == ("cancelled", "cancelled", "no longer needed")
    assert ends == ["cancelled"]
    assert await db.fetchval("select kind from taskq.attempts") == "cancelled"
    last = await db.fetchrow("select verb, actor from taskq.events order by id desc limit 1")
    assert tuple(last) == ("cancel", "a person")


async def test_only_the_cancelled_one_of_several_running_tasks_stops(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, ends = holding()
    async with working(app, dsn, grace=0.2):
        ids = await queue.enqueue_many([{"role": "hold"} for _ in range(5)])
        for id in ids:
            await running(db, id)
        await queue.cancel(ids[2])
        await queue.wait(ids[2], timeout=timedelta(seconds=5))
        assert ends == ["cancelled"]
        assert await db.fetchval("select count(*) from taskq.tasks where status = 'in_progress'") == 4


async def test_a_cancelled_task_that_ends_by_itself_first_is_completed_or_cancelled_but_not_both(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, go = App(), asyncio.Event()

    @app.role("race")
    async def race(task: Task) -> str:
        await go.wait()
        return "first"

    async with working(app, dsn, concurrency=50):
        ids = await queue.enqueue_many([{"role": "race"} for _ in range(30)])
        for id in ids:
            await running(db, id)
        go.set()
        for id in ids:
            try:
                await queue.cancel(id)
            except Exception as error:
                assert "it is completed" in str(error)
        for id in ids:
            done = await queue.wait(id, timeout=timedelta(seconds=5))
            assert (done.status, done.result) in [("completed", "first"), ("cancelled", None)]


async def test_a_cancelled_handler_that_will_not_stop_loses_its_lease_after_the_grace(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, released, heard = App(), asyncio.Event(), []

    @app.role("cling")
    async def cling(task: Task) -> str:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                heard.append("asked")
        with pytest.raises(LeaseLost):
            await task.log("I am still here")
        heard.append("refused")
        return "too late"

    async with working(app, dsn, concurrency=1, grace=0.4) as worker:
        id = await queue.enqueue("cling")
        await running(db, id)
        await queue.cancel(id, "stop it")
        done = await queue.wait(id, timeout=timedelta(seconds=5))
        assert (done.status, done.error) == ("cancelled", "stop it")
        await eventually(lambda: worker.free() == 1)
        released.set()
        await eventually(lambda: heard == ["asked", "refused"])
    row = await db.fetchrow("select status, lease, result from taskq.tasks where id = $1", id)
    assert tuple(row) == ("cancelled", None, None)


async def test_a_cancelled_thread_is_left_alone_and_its_result_is_dropped(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, go_on, ended = App(), threading.Event(), threading.Event()

    @app.role("work")
    def work(task: SyncTask) -> str:
        go_on.wait(20)
        ended.set()
        return "done after all"

    async with working(app, dsn):
        id = await queue.enqueue("work")
        await running(db, id)
        await queue.cancel(id)
        assert (await queue.wait(id, timeout=timedelta(seconds=5))).status == "cancelled"
        go_on.set()
        await eventually(ended.is_set)
    assert (await queue.show(id))["result"] is None


async def test_a_requeued_task_stops_here_and_runs_again_without_spending_an_attempt(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, leases, ends = App(), [], []

    @app.role("hold")
    async def hold(task: Task) -> int:
        leases.append(task.lease)
        if len(leases) == 1:
            try:
                await asyncio.sleep(60)
            finally:
                ends.append("stopped")
        return task.attempt

    async with working(app, dsn):
        id = await queue.enqueue("hold")
        await running(db, id)
        began = time.monotonic()
        assert await queue.requeue(id, "try it afresh", "a person") == "queued"
        await eventually(lambda: ends == ["stopped"], every=0.005)
        assert time.monotonic() - began < 1.0
        assert await queue.result(id, timeout=timedelta(seconds=5)) == 1
    assert len(leases) == 2
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


async def test_a_task_that_was_deleted_while_it_ran_is_forgotten(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, ends = holding()
    async with working(app, dsn, heartbeat=0.2) as worker:
        id = await queue.enqueue("hold")
        await running(db, id)
        await db.execute("delete from taskq.tasks where id = $1", id)
        await eventually(lambda: ends == ["cancelled"])
        await eventually(lambda: worker.free() == 10)


async def test_an_attempt_that_is_told_to_stop_before_its_first_step_frees_its_slot(
    dsn: str, queue: Queue, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, begin = App(), Stage.start

    @app.role("run")
    async def run(task: Task) -> int:
        return task.attempt

    def begin_and_stop(stage: Stage, claims: Sequence[Any]) -> None:
        monkeypatch.undo()
        begin(stage, claims)
        stage.release_all(5)

    monkeypatch.setattr(Stage, "start", begin_and_stop)
    async with working(app, dsn) as worker:
        ids = await queue.enqueue_many([{"role": "run"} for _ in range(5)])
        for id in ids:
            assert await queue.result(id, timeout=timedelta(seconds=5)) == 1
        await eventually(lambda: worker.free() == 10)
