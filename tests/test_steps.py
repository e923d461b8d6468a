"""Durable steps: recorded once, returned ever after."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import pytest

import apps
from durable_stage import pool as pool
from durable_stage import stage as stage
from durable_stage import steps
from support import eventually
from taskq import Fail, LeaseLost
from taskq.errors import InvalidTask
from worker_process import is_alive, registered, worker_process

HOUR = timedelta(hours=1)


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
