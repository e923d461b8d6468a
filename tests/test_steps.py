"""Durable steps, sleeps and signals: recorded once, returned ever after; waiting holds nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import apps
from cli_runner import Taskq
from durable_task import durable_task
from fake_worker import FakeWorker
from graphs import ROLE, insert, miscounted, row, status
from locks import behind
from support import eventually
from taskq import App, Fail, LeaseLost, Task
from taskq.database import Pool
from taskq.errors import InvalidTask, NoSuchTask, NotAnArrow, Suspended
from worker_process import is_alive, registered, worker_process, working

NOW = [timedelta(0)]
HOUR = timedelta(hours=1)


@pytest.fixture
async def pool(dsn: str):
    pool = Pool(dsn)
    yield pool
    await pool.close()


class Stage:
    """Claims the one task again and again, as workers do after each crash."""

    def __init__(self, db: asyncpg.Connection, pool: Pool, worker: FakeWorker) -> None:
        self.db, self.pool, self.worker = db, pool, worker

    async def attempt(self) -> Task:
        return (await self.counted())[0]

    async def counted(self) -> tuple[Task, list[str]]:
        return durable_task(self.pool, self.worker, await self.worker.claim_one())

    async def crash(self, task: Task) -> None:
        await self.db.execute("select taskq.requeue($1)", task.id)


@pytest.fixture
async def stage(db, pool, worker) -> Stage:
    await insert(db)
    return Stage(db, pool, worker)


async def steps(db: asyncpg.Connection, task: Any) -> list[tuple[str, str, str | None, bool]]:
    rows = await db.fetch(
        "select name, kind, result, done_at is not null from taskq.steps where task_id = $1 order by place",
        task,
    )
    return [tuple(row) for row in rows]


# steps


async def test_a_step_is_called_once_and_returned_ever_after(stage):
    calls = []

    def count(start: int, *, by: int) -> int:
        calls.append(start)
        return start + by

    async def late() -> str:
        await asyncio.sleep(0)
        return "é\0"

    for _ in range(3):
        task = await stage.attempt()
        assert await task.step("count", count, 40, by=2) == 42
        assert await task.step("late", late) == "é\0"
        assert await task.step("nothing", lambda: None) is None
        assert await task.step("thread", asyncio.to_thread, sum, [1, 2]) == 3
        await stage.crash(task)
    assert calls == [40]


async def test_a_step_returns_what_a_replay_will_see_the_first_time_too(stage):
    task = await stage.attempt()
    assert await task.step("tuple", lambda: (1, {"at": HOUR})) == [1, {"at": "PT3600S"}]


async def test_a_step_costs_one_round_trip_and_a_replay_one_for_all(stage):
    for expected in (["recall"] + ["record_step"] * 5, ["recall"]):
        task, trips = await stage.counted()
        for n in range(5):
            await task.step(f"step {n}", lambda n=n: n)
        assert trips == expected
        await stage.crash(task)


async def test_steps_may_run_side_by_side(stage, db):
    task = await stage.attempt()
    results = await asyncio.gather(*(task.step(f"s{n}", asyncio.sleep, 0.01, n) for n in range(8)))
    assert results == list(range(8))
    places = await db.fetch("select place from taskq.steps where task_id = $1 order by place", task.id)
    assert [place[0] for place in places] == list(range(1, 9))


async def test_a_name_twice_is_an_error_that_says_so(stage):
    task = await stage.attempt()
    await task.step("a", lambda: 1)
    for again in (
        task.step("a", lambda: 1),
        task.sleep("a", HOUR),
        task.signal("a"),
        task.spawn([], key="a"),
    ):
        with pytest.raises(Fail, match="'a': the name is used twice"):
            await again
    await stage.crash(task)
    task = await stage.attempt()
    with pytest.raises(Fail, match="recorded a step of this name"):
        await task.sleep("a", HOUR)
    await stage.crash(task)
    task = await stage.attempt()
    with pytest.raises(InvalidTask, match=r"is a step, not a spawn .*share one set of names"):
        await task.spawn([{"role": "x"}], key="a")


async def test_a_step_that_raises_is_not_recorded_and_may_be_tried_again(stage, db):
    task = await stage.attempt()
    outcomes = iter([ValueError("no"), 7])

    def try_it() -> int:
        if isinstance(outcome := next(outcomes), Exception):
            raise outcome
        return outcome

    with pytest.raises(ValueError, match="no"):
        await task.step("try", try_it)
    assert await steps(db, task.id) == []
    assert await task.step("try", try_it) == 7


@pytest.mark.parametrize(
    ("result", "says"), [(object(), "this is no JSON"), ("x" * (1 << 20), "at most 1 MB is recorded")]
)
async def test_a_result_that_cannot_be_recorded_fails_the_task(stage, result, says):
    task = await stage.attempt()
    with pytest.raises(Fail, match=says) as failed:
        await task.step("big", lambda: result)
    assert failed.value.kind == "validation_error"


async def test_the_database_refuses_what_no_step_is(stage, db, pool):
    task = await stage.attempt()
    for name, result, says in [
        ("", "1", "name of 1 to 200"),
        ("x", f'"{"y" * (1 << 20)}"', "at most 1 MB"),
    ]:
        with pytest.raises(InvalidTask, match=says):
            await task.call("record_step", name, result)
    await task.call("record_step", "x", "1")
    await task.call("record_step", "x", "1")  # the answer was lost on the way
    with pytest.raises(InvalidTask, match="another result already"):
        await task.call("record_step", "x", "2")


async def test_a_zombie_records_nothing(stage, db):
    zombie = await stage.attempt()
    await stage.crash(zombie)
    for call in (
        zombie.step("a", lambda: 1),
        zombie.sleep("b", HOUR),
        zombie.signal("c"),
        zombie.spawn([{"role": "x"}], key="d"),
    ):
        with pytest.raises(LeaseLost):
            await call
    assert await steps(db, zombie.id) == []
    assert await db.fetchval("select count(*) from taskq.tasks") == 1


async def test_a_worker_killed_between_two_steps_repeats_only_the_second(dsn, queue, db, tmp_path: Path):
    file, go = tmp_path / "file", tmp_path / "go"
    async with worker_process(dsn) as dying:
        await registered(db, 1)
        id = await queue.enqueue("two steps", {"file": str(file), "go": str(go)})
        await eventually(lambda: apps.remembered(file) == ["first", "second"])
        dying.send(signal.SIGKILL)
        await dying.ends()
        assert not is_alive(dying.pid)
        async with worker_process(dsn) as other:
            go.touch()
            assert await queue.result(id, timeout=timedelta(seconds=20)) == [dying.pid, other.pid]
    assert apps.remembered(file) == ["first", "second", "second"]


# sleeps


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


# signals


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


# what failed and is retried, and forks


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
