"""A durable sleep happens once and holds nothing."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from durable_stage import pool as pool
from durable_stage import stage as stage
from durable_stage import steps
from graphs import row, status
from support import eventually
from taskq import App, LeaseLost, Task
from taskq.errors import Suspended
from worker_process import working

HOUR = timedelta(hours=1)


async def test_a_sleep_holds_no_slot_spends_no_attempt_and_happens_once(stage, db):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.sleep("night", HOUR)
    at = await row(db, task.id)
    assert (at["status"], at["attempt"], at["lease"]) == ("queued", 0, None)
    assert at["run_at"] == await db.fetchval("select wake_at from taskq.steps where task_id = $1", task.id)
    assert 'asleep in step "night"' in await db.fetchval("select taskq.explain_rest(t) from taskq.tasks t")
    await db.execute("update taskq.steps set wake_at = now() - interval '1 s'")
    await db.execute("update taskq.tasks set run_at = now()")
    for _ in range(2):
        task = await stage.attempt()
        await task.sleep("night", HOUR)
        assert await steps(db, task.id) == [("night", "sleep", None, True)]
        await stage.crash(task)


async def test_a_sleep_goes_on_where_a_crash_left_it(stage, db):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.sleep("night", HOUR)
    await db.execute("update taskq.tasks set run_at = now()")
    before = await db.fetchval("select wake_at from taskq.steps")
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.sleep("night", HOUR)
    assert (await row(db, task.id))["run_at"] == before


async def test_a_short_rest_is_waited_for_in_place(stage, db):
    task = await stage.attempt()
    await task.sleep("blink", timedelta(milliseconds=20))
    await task.sleep("past", timedelta(-1))
    assert await status(db, task.id) == "in_progress"
    assert [done for *_, done in await steps(db, task.id)] == [True, True]


async def test_retry_ends_a_sleep(stage, db):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.sleep("night", HOUR)
    await db.execute("select taskq.retry($1)", task.id)
    task = await stage.attempt()
    await task.sleep("night", HOUR)


async def test_a_real_worker_sleeps_through_its_steps(dsn, queue, db):
    app, seen = App(), []

    @app.role("sleeper")
    async def sleeper(task: Task) -> list[int]:
        with contextlib.suppress(Exception):  # cannot swallow what carries it out
            await task.sleep("nap", timedelta(milliseconds=300))
            seen.append(task.attempt)
        return seen

    async with working(app, dsn, concurrency=1):
        assert await queue.result(await queue.enqueue("sleeper"), timeout=timedelta(seconds=10)) == [1]
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


async def test_a_handler_that_swallows_its_suspension_is_merely_unheard(dsn, queue, db):
    app, ends = App(), asyncio.Queue()

    @app.role("stubborn")
    async def stubborn(task: Task) -> str:
        try:
            await task.signal("go")
        except BaseException as error:
            with pytest.raises(LeaseLost):
                await task.step("more", lambda: 1)
            await ends.put(error)
        return f"attempt {task.attempt}"

    @app.role("other")
    async def other(task: Task) -> str:
        return "free"

    async with working(app, dsn, concurrency=1):
        id = await queue.enqueue("stubborn")
        assert isinstance(await asyncio.wait_for(ends.get(), 10), Suspended)
        assert await queue.result(await queue.enqueue("other"), timeout=timedelta(seconds=10)) == "free"
        assert await status(db, id) == "blocked"
        assert await queue.signal(id, "go")
        assert await queue.result(id, timeout=timedelta(seconds=10)) == "attempt 1"


async def test_a_suspension_in_a_task_group_frees_the_slot(dsn, queue, db):
    app = App()

    @app.role("group")
    async def group(task: Task) -> Any:
        async with asyncio.TaskGroup() as together:
            heard = together.create_task(task.signal("go"))
        return heard.result()

    async with working(app, dsn, concurrency=1):
        first, second = [await queue.enqueue("group") for _ in range(2)]
        await eventually(lambda: both_wait(db))
        await queue.signal(second, "go", 2)
        await queue.signal(first, "go", 1)
        assert [await queue.result(id, timeout=timedelta(seconds=10)) for id in (first, second)] == [1, 2]


async def both_wait(db: asyncpg.Connection) -> bool:
    return await db.fetchval("select count(*) from taskq.tasks where status = 'blocked'") == 2
