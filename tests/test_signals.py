"""A task that waits for a signal holds nothing, and no signal is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from durable_stage import pool as pool
from durable_stage import stage as stage
from fake_worker import FakeWorker
from graphs import ROLE, insert, miscounted, row, status
from locks import behind
from support import eventually
from taskq import App, Task
from taskq.errors import InvalidTask, NoSuchTask, NotAnArrow, Suspended
from worker_process import working

HOUR = timedelta(hours=1)


async def test_a_signal_that_was_sent_already_is_there(stage, db, queue):
    id = await db.fetchval("select id from taskq.tasks")
    assert await queue.signal(id, "go", {"n": 1}, "ann") is True
    assert await queue.signal(id, "go", {"n": 2}, "bob") is False
    for _ in range(2):
        task = await stage.attempt()
        assert await task.signal("go") == {"n": 1}
        await stage.crash(task)
    event = await db.fetchrow("select actor, reason from taskq.events where verb = 'signal'")
    assert tuple(event) == ("ann", "go")


async def test_a_task_that_waits_for_a_signal_holds_nothing_and_says_what_it_waits_for(stage, db, queue):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.signal("go")
    at = await row(db, task.id)
    assert (at["status"], at["waiting_on"], at["attempt"], at["lease"]) == ("blocked", 1, 0, None)
    assert await queue.explain(task.id) == (
        f"blocked: waits for signal \"go\"; send it: select taskq.signal('{task.id}', 'go', payload, actor)"
    )
    assert not await miscounted(db)
    await queue.signal(task.id, "another")
    assert await status(db, task.id) == "blocked"
    await queue.signal(task.id, "go")
    assert await status(db, task.id) == "queued"
    assert await (await stage.attempt()).signal("go") is None


async def test_a_signal_sent_while_the_task_comes_to_wait_is_seen(stage, db, connect):
    """The sender is first: the wait stands behind its lock, and then finds the signal."""
    sender, waiter = await connect(), await connect()
    claim = await FakeWorker(waiter, ROLE).claim_one()
    me = claim["id"], await db.fetchval("select worker_id from taskq.tasks"), claim["lease"]
    async with sender.transaction():
        await sender.execute("select taskq.signal($1, 'go', '1')", me[0])
        waiting = await behind(
            db, waiter,
            waiter.fetchrow("select * from taskq.await_signal($2, $1, $3, 'go')", *me),
        )  # fmt: skip
    assert tuple(await waiting) == ("sent", "1")


async def test_a_signal_sent_before_the_wait_is_committed_wakes_it(stage, db, connect):
    """The task is first: the sender stands behind its lock, and then finds it waiting."""
    sender, waiter = await connect(), await connect()
    claim = await FakeWorker(waiter, ROLE).claim_one()
    me = claim["id"], await db.fetchval("select worker_id from taskq.tasks"), claim["lease"]
    async with waiter.transaction():
        answer = await waiter.fetchrow("select * from taskq.await_signal($2, $1, $3, 'go')", *me)
        assert answer["outcome"] == "waits"
        sending = await behind(db, sender, sender.fetchval("select taskq.signal($1, 'go', '1')", me[0]))
    assert await sending is True
    assert await status(db, me[0]) == "queued"
    assert not await miscounted(db)


async def test_two_senders_at_once_wake_it_once(stage, db, connect):
    one, two = await connect(), await connect()
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.signal("go")
    async with one.transaction():
        assert await one.fetchval("select taskq.signal($1, 'go', '1')", task.id) is True
        other = await behind(db, two, two.fetchval("select taskq.signal($1, 'go', '2')", task.id))
    assert await other is False
    assert await (await stage.attempt()).signal("go") == 1


async def test_a_signal_that_does_not_come_in_time_is_over_for_good(stage, db, queue):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.signal("go", HOUR)
    at = await row(db, task.id)
    assert (at["status"], at["attempt"]) == ("queued", 0)
    assert f"or when signal \"go\" is sent: select taskq.signal('{task.id}'" in await db.fetchval(
        "select taskq.explain_rest(t) from taskq.tasks t"
    )
    await db.execute("update taskq.steps set wake_at = now() - interval '1 s'")
    await db.execute("update taskq.tasks set run_at = now()")
    for _ in range(2):
        task = await stage.attempt()
        with pytest.raises(TimeoutError, match="'go' was not sent in time"):
            await task.signal("go", HOUR)
        await queue.signal(task.id, "go", "too late")
        await stage.crash(task)


async def test_a_signal_in_time_brings_the_task_forward(stage, queue):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.signal("go", HOUR)
    assert await queue.signal(task.id, "go", "now")
    assert await (await stage.attempt()).signal("go", HOUR) == "now"


async def test_a_sleeping_worker_hears_of_a_signal(dsn, queue, db):
    app = App()

    @app.role("waits")
    async def waits(task: Task) -> Any:
        return await task.signal("go", HOUR if task.payload["limit"] else None)

    async with working(app, dsn, concurrency=1):
        for limit in (True, False):
            id = await queue.enqueue("waits", {"limit": limit})
            await eventually(lambda id=id: rests(db, id))
            await queue.signal(id, "go", [1])
            assert await queue.result(id, timeout=timedelta(seconds=5)) == [1]


async def rests(db: asyncpg.Connection, id: Any) -> bool:
    """It was suspended, and its worker has gone to sleep."""
    at = await row(db, id)
    asleep = await db.fetchval("select exists (select from taskq.sleepers)")
    return at["started_at"] is not None and at["lease"] is None and asleep


async def test_what_has_ended_takes_no_signal_but_knows_the_old_ones(db, queue):
    id = await insert(db)
    await queue.signal(id, "go")
    await queue.cancel(id)
    assert await queue.signal(id, "go") is False
    with pytest.raises(NotAnArrow):
        await queue.signal(id, "other")
    with pytest.raises(NoSuchTask):
        await queue.signal(uuid4(), "go")
    with pytest.raises(InvalidTask):
        await queue.signal(id, "")


async def test_a_cancelled_wait_that_is_retried_waits_again(stage, db, queue):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.signal("go")
    await queue.cancel(task.id)
    assert await queue.retry(task.id) == "blocked"
    assert not await miscounted(db)
    await queue.signal(task.id, "go", 1)
    assert await (await stage.attempt()).signal("go") == 1


async def test_a_wait_puts_what_it_waited_for_before_behind_it(stage, db, queue):
    await stage.attempt()
    down = await insert(db, "down")
    await queue.complete(down, error="no")
    dependent = await insert(db, depends_on=[down], on_dependency_failure="run")
    task = await stage.attempt()
    assert task.id == dependent
    with pytest.raises(Suspended):
        await task.signal("go")
    await queue.retry(down)
    assert (await row(db, dependent))["waiting_on"] == 1
    await queue.signal(dependent, "go")
    assert await status(db, dependent) == "queued"


@pytest.mark.parametrize("wait", ["sleep", "signal", "spawn"])
async def test_a_task_that_was_asked_to_stop_is_cancelled_where_it_would_wait(stage, db, queue, wait):
    task = await stage.attempt()
    await queue.cancel(task.id)
    waits = {"sleep": ("x", HOUR), "signal": ("x",), "spawn": ([{"role": "child"}],)}
    with pytest.raises(Suspended):
        await getattr(task, wait)(*waits[wait])
    assert await status(db, task.id) == "cancelled"
    assert await db.fetchval("select count(*) from taskq.tasks") == 1
