"""A worker exchanges with two hands: the second one helps with much, and with what a batch cannot hand in."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from support import eventually
from taskq import App, Queue, Task
from worker_process import play, working

HANDS = """
select count(*) from pg_stat_activity where datname = current_database() and application_name = 'taskq worker'
"""
CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'taskq worker'
"""
LOCK = "select from taskq.tasks where id = $1 for update"
CHILD = "insert into taskq.tasks (role, depends_on) values ('instant', array[$1::uuid]) returning id"
WITHIN = timedelta(seconds=15)


def instant() -> tuple[App, Counter[Any], asyncio.Event]:
    """An app with a role that does nothing, and one that waits for the event; how often each task ran."""
    app, runs, go_on = App(), Counter[Any](), asyncio.Event()

    @app.role("instant")
    async def at_once(task: Task) -> None:
        runs[task.id] += 1

    @app.role("held")
    async def held(task: Task) -> str:
        runs[task.id] += 1
        await go_on.wait()
        return "kept"

    return app, runs, go_on


@asynccontextmanager
async def meanwhile(dsn: str, sql: str, *args: Any) -> AsyncIterator[list[Any]]:
    """What a query of another session returned, whose transaction is open until the block ends."""
    session = await asyncpg.connect(dsn)
    try:
        async with session.transaction():
            yield await session.fetch(sql, *args)
    finally:
        await session.close()


async def is_completed(db: asyncpg.Connection, *ids: Any) -> bool:
    return await db.fetchval(
        "select count(*) = $2 from taskq.tasks where id = any($1) and status = 'completed'", ids, len(ids)
    )


async def has_hands(db: asyncpg.Connection, number: int) -> bool:
    return await db.fetchval(HANDS) == number


@pytest.mark.parametrize(("slots", "hands"), [(10, 1), (300, 2)])  # hands that have a session
async def test_with_many_slots_two_hands_exchange(
    dsn: str, queue: Queue, db: asyncpg.Connection, slots: int, hands: int
) -> None:
    app, runs, _ = instant()
    async with working(app, dsn, concurrency=slots):
        ids = await queue.enqueue_many([{"role": "instant"} for _ in range(3_000)])
        await eventually(lambda: is_completed(db, *ids))
        await eventually(lambda: has_hands(db, hands))
    assert runs == dict.fromkeys(ids, 1)


async def test_a_row_that_somebody_keeps_locked_holds_up_no_other(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, runs, go_on = instant()
    async with working(app, dsn, heartbeat=0.1):
        locked, *others = await queue.enqueue_many([{"role": "held"} for _ in range(5)])
        await eventually(lambda: len(runs) == 5)
        async with meanwhile(dsn, LOCK, locked):
            go_on.set()
            await eventually(lambda: is_completed(db, *others))
            await play(queue, "instant")
            assert await db.fetchval("select status from taskq.tasks where id = $1", locked) == "in_progress"
            await eventually(
                lambda: db.fetchval("select trouble like '%keeps their rows%' from taskq.workers")
            )
        assert await queue.result(locked, timeout=WITHIN) == "kept"
        await eventually(lambda: db.fetchval("select trouble is null from taskq.workers"))
    assert set(runs.values()) == {1}
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


async def test_of_a_big_batch_only_what_is_locked_waits(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, runs, go_on = instant()
    async with working(app, dsn, concurrency=60):
        ids = await queue.enqueue_many([{"role": "held"} for _ in range(60)])
        await eventually(lambda: len(runs) == 60)
        async with meanwhile(dsn, "select id from taskq.tasks limit 2 for update") as locked:
            go_on.set()
            others = set(ids) - {row["id"] for row in locked}
            await eventually(lambda: is_completed(db, *others))
        await eventually(lambda: is_completed(db, *ids))
    assert runs == dict.fromkeys(ids, 1)


async def test_a_child_that_is_not_committed_yet_holds_up_only_its_parent(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, runs, go_on = instant()
    async with working(app, dsn):
        parent = await queue.enqueue("held")
        await eventually(lambda: len(runs) == 1)
        async with meanwhile(dsn, CHILD, parent) as [child]:
            go_on.set()
            for _ in range(3):
                await play(queue, "instant")
            assert not await is_completed(db, parent)
        for id in (parent, child["id"]):
            assert (await queue.wait(id, timeout=WITHIN)).status == "completed"
    assert set(runs.values()) == {1}


async def test_a_drain_waits_for_a_result_whose_row_is_locked(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, runs, go_on = instant()
    async with working(app, dsn, heartbeat=0.1) as worker:
        id = await queue.enqueue("held")
        await eventually(lambda: len(runs) == 1)
        async with meanwhile(dsn, LOCK, id):
            go_on.set()
            await eventually(lambda: worker.free() == 10)
            worker.drain()
            await eventually(lambda: db.fetchval("select draining and trouble <> '' from taskq.workers"))
    assert await queue.result(id, timeout=WITHIN) == "kept"


async def test_without_a_connection_left_the_first_hand_works_alone(
    dsn: str, queue: Queue, db: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    app, runs, _ = instant()
    name = f"few_{secrets.token_hex(4)}"
    await db.execute(
        f"create role {name} login password 'few'; grant usage on schema taskq to {name}; "
        f"grant all on all tables in schema taskq to {name}; "
        f"grant all on all sequences in schema taskq to {name}; "
        f"grant execute on all functions in schema taskq to {name}"
    )
    try:
        async with working(app, with_user(dsn, name, "few"), concurrency=300):
            await eventually(lambda: has_hands(db, 2))
            await db.execute(CUT)
            await play(queue, "instant")  # brings the first hand back, and it alone
            open_now = await db.fetchval("select count(*) from pg_stat_activity where usename = $1", name)
            await db.execute(f"alter role {name} connection limit {open_now}")
            with caplog.at_level(logging.WARNING, "taskq.worker"):
                ids = await queue.enqueue_many([{"role": "instant"} for _ in range(3_000)])
                await eventually(lambda: is_completed(db, *ids))
            assert "too many connections" in caplog.text
        assert set(runs.values()) == {1}
    finally:
        await db.execute(f"drop owned by {name}; drop role {name}")


def with_user(dsn: str, user: str, password: str) -> str:
    """The same database, as another user."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{place}"))
