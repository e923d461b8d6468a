"""Which tasks a worker takes, and when."""

from __future__ import annotations

import asyncio
import resource
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from support import eventually
from taskq import App, Queue, Task
from worker_process import play, sleepers, working


def recording(*roles: str) -> tuple[App, list[Any]]:
    """An app whose roles note the payload's `n`, in the order of their start."""
    app, seen = App(), []
    for role in roles:

        @app.role(role)
        async def note(task: Task) -> None:
            seen.append(task.payload["n"])
            await asyncio.sleep(task.payload.get("seconds", 0))

    return app, seen


async def asleep(db: asyncpg.Connection) -> None:
    await eventually(lambda: sleepers(db), every=0.005)


async def test_a_worker_never_claims_a_role_that_it_does_not_play(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, seen = recording("mine", "also mine", "not today")
    async with working(app, dsn, roles=["mine", "also mine"]):
        others = await queue.enqueue_many(
            [{"role": role, "payload": {"n": 0}} for role in ("not today", "unheard of", "MINE")]
        )
        await play(queue, "also mine", {"n": 1})
        await play(queue, "mine", {"n": 2})
        for id in others:
            assert (await queue.show(id))["status"] == "queued"
        row = await db.fetchrow("select roles, concurrency from taskq.workers")
        assert tuple(row) == (["mine", "also mine"], 10)
    assert seen == [1, 2]


async def test_priority_holds_across_roles_with_one_slot(dsn: str, queue: Queue) -> None:
    app, seen = recording("a", "b", "c")
    order = [
        ("a", 0),
        ("b", 9),
        ("c", 5),
        ("a", 9),
        ("b", -3),
        ("c", 32767),
        ("a", 5),
        ("b", -32768),
        ("c", 0),
    ]
    ids = [
        await queue.enqueue(role, {"n": priority}, priority=priority, name=role) for role, priority in order
    ]
    async with working(app, dsn, concurrency=1):
        await eventually(lambda: len(seen) == len(ids))  # to wait for each would lock its row: it is skipped
    assert seen == [32767, 9, 9, 5, 5, 0, 0, -3, -32768]


async def test_equal_priorities_run_in_the_order_of_their_run_at(dsn: str, queue: Queue) -> None:
    app, seen = recording("a")
    now = datetime.now(UTC)
    ids = [await queue.enqueue("a", {"n": n}, run_at=now - timedelta(seconds=n)) for n in (3, 1, 4, 2)]
    async with working(app, dsn, concurrency=1):
        await eventually(lambda: len(seen) == len(ids))  # to wait for each would lock its row: it is skipped
    assert seen == [4, 3, 2, 1]


async def test_something_urgent_passes_what_waits_while_the_slots_are_full(dsn: str, queue: Queue) -> None:
    app, seen = recording("a", "b")
    async with working(app, dsn, concurrency=1):
        ids = [await queue.enqueue("a", {"n": n, "seconds": 0.1}) for n in range(5)]
        await eventually(lambda: len(seen) == 2)
        ids.append(await queue.enqueue("b", {"n": "urgent"}, priority=1))
        for id in ids:
            await queue.wait(id, timeout=timedelta(seconds=10))
    assert seen.index("urgent") <= 3


async def test_a_task_of_the_future_starts_on_time_without_polling(dsn: str, queue: Queue) -> None:
    app, starts = App(), []

    @app.role("punctual")
    async def punctual(task: Task) -> None:
        starts.append((task.run_at, datetime.now(UTC)))

    async with working(app, dsn):
        ids = [await queue.enqueue("punctual", delay=timedelta(seconds=delay)) for delay in (1.2, 0.5, 0.9)]
        for id in ids:
            await queue.wait(id, timeout=timedelta(seconds=5))
    late = [(started - due).total_seconds() for due, started in starts]
    assert len(late) == 3 and all(0 <= delay < 0.15 for delay in late), late


async def test_a_task_of_the_future_starts_on_time_when_it_was_there_before_the_worker(
    dsn: str, queue: Queue
) -> None:
    app, _seen = recording("punctual")
    id = await queue.enqueue("punctual", {"n": 1}, delay=timedelta(seconds=0.8))
    async with working(app, dsn):
        await queue.wait(id, timeout=timedelta(seconds=5))
    row = await queue.show(id)
    assert 0 <= (row["started_at"] - row["run_at"]).total_seconds() < 0.15


async def test_what_falls_due_while_every_slot_is_taken_starts_when_one_is_free(
    dsn: str, queue: Queue
) -> None:
    app, seen = recording("a")
    async with working(app, dsn, concurrency=1):
        due = await queue.enqueue("a", {"n": "due"}, delay=timedelta(seconds=0.3))
        long = await queue.enqueue("a", {"n": "long", "seconds": 1})
        await queue.wait(long, timeout=timedelta(seconds=5))
        await queue.wait(due, timeout=timedelta(seconds=5))
    first, second = await queue.show(long), await queue.show(due)
    assert seen == ["long", "due"]
    assert (second["started_at"] - first["finished_at"]).total_seconds() < 0.15


async def test_a_worker_with_full_slots_does_not_spin(dsn: str, queue: Queue) -> None:
    app, _ = recording("a")
    async with working(app, dsn, concurrency=1):
        await queue.enqueue("a", {"n": 1}, delay=timedelta(seconds=0.3))  # falls due meanwhile
        id = await queue.enqueue("a", {"n": 2, "seconds": 2.5})
        await eventually(lambda: started(queue, id))
        before = resource.getrusage(resource.RUSAGE_SELF)
        await queue.wait(id, timeout=timedelta(seconds=10))
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 0.5


async def started(queue: Queue, id: Any) -> bool:
    return (await queue.show(id))["status"] != "queued"


@pytest.mark.parametrize("how", ["idle", "half busy", "busy"])
async def test_an_inserted_task_starts_at_once_unless_the_slots_are_full(
    dsn: str, queue: Queue, db: asyncpg.Connection, how: str
) -> None:
    app, seen = recording("a")
    async with working(app, dsn, concurrency=4):
        await asleep(db)
        for n in range({"idle": 0, "half busy": 2, "busy": 4}[how]):
            await queue.enqueue("a", {"n": f"long {n}", "seconds": 1.2})
        await eventually(lambda: len(seen) == {"idle": 0, "half busy": 2, "busy": 4}[how])
        began = time.monotonic()
        await db.execute("insert into taskq.tasks (role, payload) values ('a', '{\"n\": \"new\"}')")
        await eventually(lambda: "new" in seen, every=0.002)
        waited = time.monotonic() - began
    assert waited < 0.15 if how != "busy" else 0.5 < waited < 1.5


async def test_more_tasks_than_slots_are_never_claimed(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, seen = recording("a")
    most = 0
    async with working(app, dsn, concurrency=3):
        ids = await queue.enqueue_many(
            [{"role": "a", "payload": {"n": n, "seconds": 0.05}} for n in range(30)]
        )
        while len(seen) < 30:
            running = await db.fetchval("select count(*) from taskq.tasks where status = 'in_progress'")
            most = max(most, running)
        for id in ids:
            await queue.wait(id, timeout=timedelta(seconds=5))
    assert most == 3 and sorted(seen) == list(range(30))


async def test_a_task_from_behind_the_last_claim_is_found_at_once(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, seen = recording("a")
    async with working(app, dsn):
        await play(queue, "a", {"n": "new"})
        await asleep(db)
        began = time.monotonic()
        await queue.enqueue("a", {"n": "old"}, run_at=datetime.now(UTC) - timedelta(days=1))
        await eventually(lambda: "old" in seen, every=0.002)
        assert time.monotonic() - began < 0.15


ODD: dict[str, dict[str, Any]] = {
    "always due": {"run_at": "-infinity"},
    "due since Caesar": {"run_at": "0044-03-15 12:00 BC"},
    "due since the first instant": {"run_at": "4714-11-24 00:00 BC"},
    "for ages": {"timeout": "3000000 years"},
    "for ever": {"timeout": "178000000 years"},
    "for all eternity": {"timeout": "infinity"},
    "for months": {"timeout": "2 mons 3 days"},
    "often": {"max_attempts": 32767},
    "first": {"priority": 32767},
    "last": {"priority": -32768},
    "named": {"name": "n" * 100_000, "created_by": "c" * 100_000, "traceparent": "\u00fc\n\t'"},
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_values_run_or_are_refused_but_harm_nobody(
    dsn: str, queue: Queue, db: asyncpg.Connection, name: str
) -> None:
    app, seen = recording("a")
    async with working(app, dsn):
        try:
            id = await insert(db, **ODD[name])
        except asyncpg.PostgresError:
            id = None
        if id is not None:
            assert (await queue.wait(id, timeout=timedelta(seconds=5))).status == "completed"
        await play(queue, "a", {"n": 2})
    assert seen[-1] == 2


async def insert(db: asyncpg.Connection, **columns: Any) -> UUID:
    """A task by SQL, which takes what Python's types do not."""
    task = {"role": "a", "payload": {"n": 1}, **columns}
    return await db.fetchval("select (taskq.enqueue($1))[1]", [task])


async def test_a_task_that_is_never_due_keeps_nobody_awake(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, seen = recording("a")
    async with working(app, dsn):
        await insert(db, run_at="infinity")
        await asleep(db)
        await play(queue, "a", {"n": 2})
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.sleep(1.5)
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert seen == [2]
    assert after.ru_utime - before.ru_utime < 0.3
