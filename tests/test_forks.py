"""What failed goes on from its steps, and a fork from one of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cli_runner import Taskq
from durable_stage import pool as pool
from durable_stage import stage as stage
from durable_stage import steps
from graphs import insert, row, status
from taskq import App, Task
from taskq.errors import InvalidTask, Suspended
from worker_process import working


async def test_a_failed_task_that_is_retried_keeps_its_steps(dsn, queue):
    app, calls = App(), []

    @app.role("flaky", max_attempts=1)
    async def flaky(task: Task) -> int:
        first = await task.step("first", lambda: calls.append(1) or 41)
        if task.attempt == 1:
            raise ValueError("not yet")
        return first + 1

    async with working(app, dsn):
        id = await queue.enqueue("flaky")
        assert (await queue.wait(id)).status == "failed"
        await queue.retry(id)
        assert await queue.result(id, timeout=timedelta(seconds=10)) == 42
    assert calls == [1]


async def test_a_fork_goes_on_from_its_step(dsn, queue, db):
    app, calls = App(), []

    @app.role("chain")
    async def chain(task: Task) -> list[int]:
        def do(n: int) -> int:
            calls.append(n)
            return len(calls)

        await task.sleep("nap", timedelta(0))
        return [await task.step(f"s{n}", do, n) for n in range(4)]

    async with working(app, dsn):
        id = await queue.enqueue("chain", dedup_key="one")
        assert await queue.result(id) == [1, 2, 3, 4]
        new = await queue.fork(id, "s2", "ann")
        assert await queue.result(new) == [1, 2, 5, 6]
    assert calls == [0, 1, 2, 3, 2, 3]
    at = await row(db, new)
    assert (at["rerun_of"], at["dedup_key"], at["created_by"]) == (id, "one", "ann")


async def test_a_live_task_can_be_forked_and_keeps_its_dedup_key(stage, db, queue):
    id = await insert(db, dedup_key="one", priority=1)
    task = await stage.attempt()
    assert task.id == id
    await task.step("a", lambda: 1)
    with pytest.raises(InvalidTask, match=r'has no step "b" \(it has: a\)'):
        await queue.fork(id, "b")
    with pytest.raises(Suspended):
        await task.signal("b")
    new = await queue.fork(id, "b")
    assert (await row(db, new))["dedup_key"] is None
    assert await steps(db, new) == [("a", "step", "1", True)]
    assert await status(db, new) == "queued"


async def test_signal_and_fork_at_the_command_line(dsn, db, stage):
    taskq = Taskq(dsn)
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.signal("go")
    assert await taskq("signal", task.id, "go", '{"n": 1}', "--actor", "ann") == (
        f"{task.id.hex[-12:]}  sent\n"
    )
    assert await taskq.json("signal", task.id, "go") == [{"id": str(task.id), "status": "sent before"}]
    sent = await db.fetchrow("select payload, actor from taskq.signals")
    assert tuple(sent) == ({"n": 1}, "ann")
    new = (await taskq("fork", task.id, "go")).strip()
    assert await status(db, new) == "queued"
    assert "has no step" in await taskq.error("fork", task.id, "gone", code=2)


async def test_an_operator_sends_signals_and_forks(db, connect, stage):
    task = await stage.attempt()
    await task.step("a", lambda: 1)
    operator = await connect()
    await operator.execute("set role taskq_operator")
    assert await operator.fetchval("select taskq.signal($1, 'go', '1', 'ann')", task.id) is True
    assert await operator.fetchval("select taskq.fork($1, 'a')", task.id)


async def test_verify_counts_signals_too(stage, dsn, db):
    task = await stage.attempt()
    with pytest.raises(Suspended):
        await task.signal("go")
    assert "counters" not in await Taskq(dsn).error("verify", code=0)
    assert (await row(db, task.id))["waiting_on"] == 1
