"""Idle workers: what they cost, what wakes them, and that no wake-up is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from conftest import Connect
from fake_worker import FakeWorker
from support import eventually
from taskq import App, Queue, Task
from taskq.database import Connection
from taskq.settings import Settings
from taskq.worker import heart
from taskq.worker.sleep import STRAGGLERS_EVERY, Sleep
from worker_process import LONG, play, sleepers, working


def echoing(*roles: str) -> App:
    app = App()
    for role in roles or ("echo",):

        @app.role(role)
        async def echo(task: Task) -> Any:
            return task.payload

    return app


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what goes through taskq's connections; each statement there is a transaction."""
    counter: Counter[str] = Counter()

    def count(method: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(self: Connection, query: str, *args: Any) -> Any:
            counter[query] += 1
            return await method(self, query, *args)

        return counted

    def count_prepared(method: Callable[..., Any]) -> Callable[..., Any]:
        async def prepare(self: Connection, query: str) -> Any:
            send = await method(self, query)

            async def counted(*args: Any) -> Any:
                counter[query] += 1
                return await send(*args)

            return counted

        return prepare

    for name in ("fetch", "fetch_one", "fetch_value"):
        monkeypatch.setattr(Connection, name, count(getattr(Connection, name)))
    monkeypatch.setattr(Connection, "prepare", count_prepared(Connection.prepare))
    return counter


async def asleep(db: asyncpg.Connection, count: int = 1) -> None:
    async def all_sleep() -> bool:
        return await sleepers(db) == count

    await eventually(all_sleep, every=0.005)


async def test_an_idle_worker_costs_at_most_one_transaction_in_five_seconds(
    dsn: str, queue: Queue, db: asyncpg.Connection, statements: Counter[str]
) -> None:
    async with working(echoing(), dsn, sweep=30):
        await play(queue, "echo", {})
        await asyncio.sleep(heart.WATCH_ON + 1)  # for so long it keeps an eye on the others
        statements.clear()
        await asyncio.sleep(15)
        # one heartbeat, and perhaps a sweep and a look for leases that ran out
        assert statements.total() <= 3, statements
        statements.clear()
        assert (await play(queue, "echo", {"still": "there"})).result == {"still": "there"}


async def test_a_worker_that_just_started_is_soon_silent(
    dsn: str, db: asyncpg.Connection, statements: Counter[str]
) -> None:
    async with working(echoing("a", "b", "c"), dsn):
        await asleep(db)
        await asyncio.sleep(0.5)
        assert statements["exchange"] <= 5  # a look, the mark, the last claim
        statements.clear()
        await asyncio.sleep(1)
        assert statements["exchange"] == 0


async def test_a_plain_insert_wakes_a_sleeping_worker(dsn: str, db: asyncpg.Connection) -> None:
    waits = []
    async with working(echoing(), dsn):
        for _ in range(20):
            await asleep(db)
            id = await db.fetchval("insert into taskq.tasks (role) values ('echo') returning id")
            await eventually(lambda i=id: is_final(db, i), every=0.002)
            waits.append(
                await db.fetchval(
                    "select date_part('epoch', started_at - created_at) from taskq.tasks where id = $1", id
                )
            )
    assert sorted(waits)[10] < 0.05, waits


async def test_behind_a_transaction_pooler_a_worker_listens_on_the_direct_connection(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app = echoing()

    @app.role("walk")
    async def walk(task: Task) -> str:
        await task.progress(0.5, "half way")
        await task.log("still walking")
        return "there"

    async with working(app, dsn, pooled=True):
        await asleep(db)
        assert (await play(queue, "walk")).result == "there"
        await asleep(db)
        ids = await queue.enqueue_many([{"role": "echo"} for _ in range(100)])
        for id in ids:
            await queue.wait(id, timeout=timedelta(seconds=5))
    settings = Settings(database_url=dsn, listen_url=dsn)
    async with working(app, dsn), Queue(settings=settings) as pooled:
        assert (await play(pooled, "echo", {"by": "pooler"})).result == {"by": "pooler"}


async def is_final(db: asyncpg.Connection, id: Any) -> bool:
    return await db.fetchval("select finished_at is not null from taskq.tasks where id = $1", id)


async def test_the_bell_for_a_role_wakes_whoever_plays_it_whichever_roles_it_plays_besides(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app = echoing("a", "b", "c")
    async with working(app, dsn, roles=["a", "b"]) as one, working(app, dsn, roles=["b", "c"]) as other:
        await asleep(db, 2)
        for role, players in (("a", {one.id}), ("b", {one.id, other.id}), ("c", {other.id})):
            id = await queue.enqueue(role)
            await queue.wait(id, timeout=timedelta(seconds=2))
            assert (await queue.show(id))["worker_id"] in players


@pytest.mark.parametrize("arrow", ["unblock", "approve", "release", "retry", "revive", "requeue"])
async def test_whatever_makes_a_row_runnable_wakes_a_sleeper(
    dsn: str, queue: Queue, db: asyncpg.Connection, connect: Connect, arrow: str
) -> None:
    """Somebody else makes it runnable; the sleeper starts it although its sweep never comes."""
    fake = FakeWorker(await connect(), "other" if arrow == "unblock" else "echo")
    await fake.register()
    parent = await queue.enqueue("other") if arrow == "unblock" else None
    id = await queue.enqueue(
        "echo", depends_on=[parent] if parent else [], requires_approval=arrow == "approve"
    )
    task = None if arrow == "approve" else await fake.claim_one()
    if arrow == "revive":
        await fake.fail(task, final=True)
    async with working(echoing(), dsn):
        await asleep(db)
        match arrow:
            case "unblock":
                await fake.complete(task)
            case "approve":
                await queue.approve(id)
            case "release":
                await fake.release(task)
            case "retry":
                await fake.fail(task)
            case "revive":
                await queue.retry(id)
            case "requeue":
                await queue.requeue(id)
        assert (await queue.wait(id, timeout=timedelta(seconds=2))).status == "completed"


async def test_a_transaction_that_stays_open_after_its_insert_keeps_nobody_busy(
    dsn: str, db: asyncpg.Connection, connect: Connect, statements: Counter[str]
) -> None:
    """The worker cannot sleep before it has seen what that transaction inserts, which missed its mark."""
    other = await connect()
    async with other.transaction():
        id = await other.fetchval("insert into taskq.tasks (role) values ('echo') returning id")
        async with working(echoing(), dsn):
            await asyncio.sleep(1.5)
            statements.clear()
            await asyncio.sleep(2)
            assert statements["exchange"] + statements["doze"] < 20, statements
            quick = await db.fetchval("insert into taskq.tasks (role) values ('echo') returning id")
            await eventually(lambda: is_final(db, quick), timeout=0.5)
            await other.execute("commit")
            await eventually(lambda: is_final(db, id), timeout=1.5)
            await other.execute("begin")
            await asleep(db)


async def kill_sessions(db: asyncpg.Connection, name: str) -> int:
    """End the sessions of this application_name; returns how many there were."""
    return await db.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity "
        "where application_name = $1 and datname = current_database()",
        name,
    )


async def test_the_sweep_finds_what_no_bell_told_of(
    dsn: str, queue: Queue, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_: Any) -> None:
        return None

    monkeypatch.setattr(Connection, "listen", deaf)  # as behind a transaction pooler: taken, never delivered
    async with working(echoing(), dsn, sweep=1):
        await asleep(db)
        began = time.monotonic()
        id = await db.fetchval("insert into taskq.tasks (role) values ('echo') returning id")
        await eventually(lambda: is_final(db, id), timeout=3)
        assert time.monotonic() - began < 1.5


async def test_a_bell_that_rings_while_nobody_listens_is_made_up_for(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with working(echoing(), dsn):
        for _ in range(5):
            await asleep(db)
            assert await kill_sessions(db, "taskq heart") == 1
            id = await db.fetchval("insert into taskq.tasks (role) values ('echo') returning id")
            await eventually(lambda i=id: is_final(db, i), timeout=2)


async def test_a_worker_that_was_taken_for_dead_hears_the_bell_again(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with working(echoing(), dsn, heartbeat=0.2) as worker:
        await asleep(db)
        await db.execute("delete from taskq.workers where id = $1", worker.id)  # as a reaper does
        assert await sleepers(db) == 0
        await asleep(db)
        id = await db.fetchval("insert into taskq.tasks (role) values ('echo') returning id")
        await eventually(lambda: is_final(db, id), timeout=1)


async def test_a_worker_that_was_taken_for_dead_while_it_lost_its_session_hears_the_bell_again(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with working(echoing(), dsn) as worker:
        await asleep(db)
        await db.execute("delete from taskq.workers where id = $1", worker.id)
        await kill_sessions(db, "taskq heart")
        await asleep(db)
        id = await db.fetchval("insert into taskq.tasks (role) values ('echo') returning id")
        await eventually(lambda: is_final(db, id), timeout=1)


async def test_no_wake_up_is_lost_in_a_storm_of_single_inserts(
    dsn: str, db: asyncpg.Connection, connect: Connect
) -> None:
    """Three workers fall asleep and wake all the time; whoever inserts does so at the worst moments."""
    app, dice, began = echoing(), random.Random(7), time.monotonic()

    async def insert_rows(session: asyncpg.Connection) -> int:
        count = 0
        while time.monotonic() - began < 5:
            await session.execute("insert into taskq.tasks (role) values ('echo')")
            count += 1
            await asyncio.sleep(dice.choice((0, 0.001, 0.004, 0.02, 0.1)) * dice.random())
        return count

    async def all_final() -> bool:
        return await db.fetchval("select not exists (select from taskq.tasks where finished_at is null)")

    sessions = [await connect() for _ in range(8)]
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(working(app, dsn, concurrency=3, sweep=LONG))
        inserted = sum(await asyncio.gather(*map(insert_rows, sessions)))
        await eventually(all_final, timeout=1)
    assert await db.fetchval("select count(*) from taskq.tasks where status = 'completed'") == inserted > 300


def test_a_slow_look_from_the_beginning_is_followed_by_a_rest_in_which_the_floors_do() -> None:
    sleep = Sleep()
    first = sleep.plan(10, now=100.0)
    assert first.everything
    sleep.learn(first, want=10, got=0, now=100.0, took=1.0)
    sleep.due_in(3.0, now=100.0)
    for now in (101.1, 102.0):
        plan = sleep.plan(10, now)
        assert not plan.everything
        sleep.learn(plan, want=10, got=0, now=now, took=0.001)
        assert sleep.until(60.0, now) == now + STRAGGLERS_EVERY
        assert not sleep.oversleep(now + STRAGGLERS_EVERY)
    assert sleep.until(60.0, now=102.9) == pytest.approx(103.0, abs=0.01)  # what is due is not forgotten
    assert sleep.plan(10, now=104.0).everything


def test_stragglers_are_looked_for_in_a_twentieth_of_the_time_while_there_is_work() -> None:
    sleep = Sleep()
    sleep.learn(sleep.plan(10, now=100.0), want=10, got=10, now=100.0, took=1.0)
    assert not sleep.plan(10, now=119.0).everything
    assert sleep.plan(10, now=120.0).everything
    sleep.learn(sleep.plan(10, now=120.0), want=10, got=10, now=120.0, took=0.001)
    assert not sleep.plan(10, now=120.9).everything
    assert sleep.plan(10, now=121.0).everything
