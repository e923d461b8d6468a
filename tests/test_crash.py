"""Workers that die, hang or come back from the dead: real processes, real signals."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

import apps
from support import eventually
from taskq import App, Queue, Task
from taskq.worker import heart
from worker_process import pid_of, registered, worker_process, working


async def running_on(db: asyncpg.Connection, worker: UUID) -> int:
    return await db.fetchval(
        "select count(*) from taskq.tasks where status = 'in_progress' and worker_id = $1", worker
    )


async def test_all_20_tasks_of_a_killed_worker_run_on_the_other_within_3_seconds(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with worker_process(dsn, concurrency=20) as first:
        (dying,) = await registered(db, 1)
        await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 60}} for _ in range(20)])
        await eventually(lambda: all_run_on(db, dying["id"], 20))
        async with worker_process(dsn, concurrency=20):
            _, other = await registered(db, 2)
            killed = time.monotonic()
            first.send(signal.SIGKILL)
            await eventually(lambda: all_run_on(db, other["id"], 20), timeout=3)
            assert time.monotonic() - killed < 3
            assert await db.fetchval("select count(*) from taskq.attempts where kind = 'worker_lost'") == 20
            assert await db.fetchval("select count(*) from taskq.workers") == 1


async def all_run_on(db: asyncpg.Connection, worker: UUID, count: int) -> bool:
    return await running_on(db, worker) == count


async def test_a_long_idle_worker_notices_the_death_of_one_that_a_timer_woke(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    """No bell rings when a task falls due, and the other worker has long stopped to watch."""
    async with worker_process(dsn, roles="hold") as one, worker_process(dsn, roles="hold") as two:
        await registered(db, 2)
        id = await queue.enqueue("hold", {"seconds": 60}, delay=timedelta(seconds=7))
        await eventually(
            lambda: db.fetchval("select worker_id from taskq.tasks where id = $1", id), timeout=10
        )
        holder = await holder_of(db, id)
        process = one if pid_of(holder) == one.pid else two
        process.send(signal.SIGKILL)

        async def runs_elsewhere() -> bool:
            now = await db.fetchrow("select status, worker_id from taskq.tasks where id = $1", id)
            return now["status"] == "in_progress" and now["worker_id"] != holder["id"]

        await eventually(runs_elsewhere, timeout=3)


async def holder_of(db: asyncpg.Connection, id: UUID) -> asyncpg.Record:
    """The worker that runs a task."""
    return await db.fetchrow(
        "select w.* from taskq.tasks t join taskq.workers w on w.id = t.worker_id where t.id = $1", id
    )


async def test_an_idle_worker_notices_another_that_dies_as_soon_as_it_has_started(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with working(App(), dsn):  # plays nothing, but reaps
        await asyncio.sleep(heart.WATCH_ON + 1)  # it no longer keeps an eye on anybody
        id = await queue.enqueue("crash")
        async with worker_process(dsn) as victim:
            assert await victim.ends() == -signal.SIGKILL
            await eventually(lambda: lost(db, id, 1), timeout=5)


async def test_a_task_under_which_three_workers_died_fails_as_worker_lost(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with working(App(), dsn):  # plays nothing, but reaps
        id = await queue.enqueue("crash", max_attempts=10)
        deaths = 0
        while (await queue.show(id))["status"] != "failed":
            async with worker_process(dsn) as victim:
                assert await victim.ends() == -signal.SIGKILL
                deaths += 1
                await eventually(lambda times=deaths: lost(db, id, times), timeout=30)
    done = await queue.wait(id)
    assert (done.status, done.error_kind, deaths) == ("failed", "worker_lost", 3)
    assert await db.fetchval("select count(*) from taskq.attempts where kind = 'worker_lost'") == 3


async def lost(db: asyncpg.Connection, id: UUID, times: int) -> bool:
    return times == await db.fetchval("select count(*) from taskq.attempts where task_id = $1", id)


async def everything(db: asyncpg.Connection) -> list[list[asyncpg.Record]]:
    """All rows that a zombie could spoil."""
    return [
        await db.fetch("select * from taskq.tasks order by id"),
        await db.fetch("select * from taskq.attempts order by lease"),
        await db.fetch("select * from taskq.events order by id"),
        await db.fetch("select * from taskq.logs order by id"),
    ]


async def test_a_zombie_changes_no_row(
    dsn: str, queue: Queue, db: asyncpg.Connection, tmp_path: Path
) -> None:
    """Stopped past its lease, it wakes up with finished, failing, logging and running tasks at hand."""
    times = {"lease": 1.5, "heartbeat": 0.3}
    async with worker_process(dsn, concurrency=30, **times) as process:
        (zombie,) = await registered(db, 1)
        tasks = [
            {"role": "linger", "payload": {"seconds": 1, "then": then}}
            for then in apps.ENDS
            for _ in range(4)
        ]
        ids = await queue.enqueue_many(tasks)
        await eventually(lambda: all_run_on(db, zombie["id"], len(ids)), every=0.005)
        process.send(signal.SIGSTOP)

        app = App()

        @app.role("linger")
        async def linger(task: Task) -> str:
            return "by another"

        async with working(app, dsn, concurrency=30, **times):
            for id in ids:
                assert await queue.result(id, timeout=timedelta(seconds=10)) == "by another"
        before = await everything(db)
        process.send(signal.SIGCONT)

        async def has_seen_it_all() -> bool:
            """It is back, its handlers are over, and it plays again."""
            (row,) = await db.fetch("select running from taskq.workers")
            return row["running"] == 0

        await eventually(lambda: db.fetchval("select count(*) = 1 from taskq.workers"))
        await eventually(has_seen_it_all)
        extra = await queue.enqueue("echo", {"are you": "there"})
        await queue.wait(extra, timeout=timedelta(seconds=10))
        await asyncio.sleep(1.5)  # whatever it still wants to say
        await db.execute("delete from taskq.tasks where id = $1", extra)
        assert await everything(db) == before


async def test_a_handler_that_blocks_the_loop_loses_no_lease_and_is_reported(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with worker_process(dsn, lease=1, heartbeat=0.25), working(App(), dsn, lease=1, heartbeat=0.25):
        await registered(db, 2)
        beside = await queue.enqueue("hold", {"seconds": 0.5})
        blocking = await queue.enqueue("block", {"seconds": 7})
        trouble = await eventually(
            lambda: db.fetchval("select trouble from taskq.workers where trouble is not null"), timeout=9
        )
        assert trouble.startswith("a handler has blocked the event loop for ")
        for id in (blocking, beside):
            assert (await queue.wait(id, timeout=timedelta(seconds=10))).status == "completed"
        assert await db.fetchval("select count(*) from taskq.attempts") == 0
        await eventually(lambda: db.fetchval("select bool_and(trouble is null) from taskq.workers"))


async def test_a_loop_that_hangs_for_too_long_is_given_up_and_its_tasks_run_elsewhere(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with worker_process(dsn, lease=2, heartbeat=0.25, hung_limit=1) as hung:
        await registered(db, 1)
        id = await queue.enqueue("hang once", {"seconds": 60})
        beside = await queue.enqueue("hold", {"seconds": 0.1})
        async with worker_process(dsn, lease=2, heartbeat=0.25):
            assert await hung.ends(within=15) == 75
            assert await queue.result(id, timeout=timedelta(seconds=10)) == "second attempt"
            assert (await queue.wait(beside, timeout=timedelta(seconds=10))).status == "completed"
    kinds = await db.fetch("select distinct kind from taskq.attempts")
    assert [row["kind"] for row in kinds] == ["worker_lost"]


async def test_a_worker_that_lost_its_sessions_is_not_taken_for_dead(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with worker_process(dsn), working(App(), dsn):
        await registered(db, 2)
        ids = await queue.enqueue_many([{"role": "hold", "payload": {"seconds": 4}} for _ in range(8)])
        for _ in range(3):
            await eventually(lambda: db.fetchval(
                "select count(*) = 8 from taskq.tasks where status = 'in_progress'"))  # fmt: skip
            await db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
                "and application_name in ('taskq worker', 'taskq heart')"
            )
            await registered(db, 2)
            await eventually(lambda: both_have_sessions(db))
        for id in ids:
            assert await queue.result(id, timeout=timedelta(seconds=10)) == "held"
        assert await db.fetchval("select count(*) from taskq.attempts") == 0
        assert await db.fetchval("select bool_and(attempt = 1) from taskq.tasks")


async def both_have_sessions(db: asyncpg.Connection) -> bool:
    return await db.fetchval(
        "select count(*) = 2 from taskq.workers w join pg_stat_activity a on a.pid = w.backend_pid "
        "and a.backend_start = w.backend_start"
    )
