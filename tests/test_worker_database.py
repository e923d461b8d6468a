"""The database goes away under a running worker, and comes back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import apps
from support import eventually
from taskq import App, Queue, SyncTask, Task
from taskq.embedded import Server
from taskq.worker import Worker
from taskq.worker.pauses import LONGEST, pause
from worker_process import is_alive, pid_of, play, registered, settings_for, worker_process, working


async def cut(db: asyncpg.Connection) -> int:
    """End every session of taskq on this database; returns how many there were."""
    return await db.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
    )


async def test_tasks_that_run_while_every_session_is_cut_are_completed_once(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, runs = App(), Counter[Any]()

    @app.role("async")
    async def on_the_loop(task: Task) -> str:
        runs[task.id] += 1
        await asyncio.sleep(task.payload["seconds"])
        return "done"

    @app.role("thread")
    def in_a_thread(task: SyncTask) -> str:
        runs[task.id] += 1
        time.sleep(task.payload["seconds"])
        return "done"

    async with working(app, dsn, concurrency=40):
        ids = await queue.enqueue_many(
            [
                {"role": role, "payload": {"seconds": n / 15}}
                for n in range(20)
                for role in ("async", "thread")
            ]
        )
        await eventually(lambda: len(runs) == 40)
        for _ in range(6):
            await cut(db)
            await asyncio.sleep(0.2)
        for id in ids:
            assert await queue.result(id, timeout=timedelta(seconds=10)) == "done"
    assert set(runs.values()) == {1}
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


async def test_progress_and_log_wait_for_the_database_instead_of_failing_the_attempt(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app = App()

    @app.role("chatter")
    async def chatter(task: Task) -> str:
        for n in range(40):
            await task.log(f"line {n}")
            await task.progress(n / 40)
        return "said"

    async with working(app, dsn):
        ids = await queue.enqueue_many([{"role": "chatter"} for _ in range(8)])
        await eventually(lambda: db.fetchval("select count(*) > 5 from taskq.logs"), every=0.001)
        for _ in range(4):
            await cut(db)
            await asyncio.sleep(0.02)
        for id in ids:
            assert await queue.result(id, timeout=timedelta(seconds=10)) == "said"
    assert await db.fetchval("select count(*) from taskq.attempts") == 0
    assert await db.fetchval("select count(distinct (task_id, line)) from taskq.logs") == 320


async def test_failures_and_snoozes_are_written_when_the_database_is_back(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, go_on = App(), threading.Event()

    @app.role("break")
    def break_(task: SyncTask) -> None:
        go_on.wait(10)
        raise ValueError("broken")

    async with working(app, dsn, concurrency=20):
        ids = await queue.enqueue_many([{"role": "break", "max_attempts": 1} for _ in range(20)])
        await eventually(
            lambda: db.fetchval("select count(*) = 20 from taskq.tasks where status = 'in_progress'")
        )
        go_on.set()
        for _ in range(5):
            await cut(db)
            await asyncio.sleep(0.01)
        for id in ids:
            assert (await queue.wait(id, timeout=timedelta(seconds=10))).error == "broken"
    assert await db.fetchval("select count(*) from taskq.attempts") == 20


@pytest.mark.parametrize(("slots", "tasks"), [(20, 6_000), (300, 20_000)], ids=["one hand", "two hands"])
async def test_a_storm_of_cuts_under_a_stream_of_tasks_loses_none_and_runs_none_after_its_commit(
    dsn: str, queue: Queue, db: asyncpg.Connection, slots: int, tasks: int
) -> None:
    app, runs = App(), Counter[Any]()

    @app.role("note")
    async def note(task: Task) -> None:
        assert task.id not in completed
        runs[task.id] += 1
        await asyncio.sleep(0.002)

    completed: set[Any] = set()
    dice = random.Random(11)
    ids = await queue.enqueue_many([{"role": "note"} for _ in range(tasks)])
    async with working(app, dsn, concurrency=slots), working(app, dsn, concurrency=slots):
        cuts = 0
        while len(completed) < tasks:
            rows = await db.fetch("select id from taskq.tasks where status = 'completed'")
            if len(rows) > len(completed) and cuts < 12:
                await cut(db)
                cuts += 1
            completed.update(row["id"] for row in rows)
            await asyncio.sleep(0.1 * dice.random())
    assert cuts > 5
    assert set(runs) == set(ids)
    # sessions that are cut so often look like dead workers now and then
    assert await db.fetchval("select count(*) from taskq.attempts where kind <> 'worker_lost'") == 0


@pytest.mark.parametrize("sessions", ["the old session", "a new session"])
async def test_functions_that_are_missing_for_a_while_cost_no_result(
    dsn: str, queue: Queue, db: asyncpg.Connection, sessions: str
) -> None:
    """As under a migration that goes wrong: the database refuses, but no result is to blame."""
    app, go_on = App(), asyncio.Event()

    @app.role("wait")
    async def wait(task: Task) -> str:
        await go_on.wait()
        return "kept"

    async with working(app, dsn):
        id = await queue.enqueue("wait")
        await eventually(lambda: db.fetchval("select status = 'in_progress' from taskq.tasks"))
        await db.execute("alter schema taskq rename to elsewhere")
        if sessions == "a new session":
            await cut(db)
        go_on.set()
        await asyncio.sleep(0.5)
        await db.execute("alter schema elsewhere rename to taskq")
        assert await queue.result(id, timeout=timedelta(seconds=10)) == "kept"
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


def test_patience_with_the_database_grows_to_five_seconds_and_has_no_end() -> None:
    assert pause(1) <= 0.1
    assert all(LONGEST / 2 <= pause(failures) <= LONGEST for failures in (10, 1_000, 100_000))


# the server itself is killed


async def in_patience(call: Any) -> Any:
    """What an async function returns, when it stops raising connection errors."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return await call()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            assert time.monotonic() < deadline, "the server does not come back"
            await asyncio.sleep(0.05)


async def query(dsn: str, sql: str, *args: Any) -> Any:
    """One value, on a session of its own, as soon as there is a server."""

    async def once() -> Any:
        session = await asyncpg.connect(dsn)
        try:
            return await session.fetchval(sql, *args)
        finally:
            await session.close()

    return await in_patience(once)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_50_tasks_outlive_the_postmaster_under_one_and_the_same_worker(
    server: Server, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    session = await asyncpg.connect(server.dsn)
    async with worker_process(server.dsn, concurrency=50) as process, Queue(server.dsn) as queue:
        (worker,) = await registered(session, 1)
        ids = await queue.enqueue_many(
            [{"role": "hold", "payload": {"seconds": 0.5 + n / 12, "file": str(starts)}} for n in range(50)]
        )
        await eventually(lambda: len(apps.remembered(starts)) == 50)
        before, postmaster = cpu_seconds(process.pid), server.postmaster_pid
        os.kill(postmaster, signal.SIGKILL)
        waits = [asyncio.create_task(queue.result(id, timeout=timedelta(seconds=20))) for id in ids]
        assert await asyncio.gather(*waits) == ["held"] * 50
        assert server.postmaster_pid != postmaster
        assert not process.has_ended and pid_of(worker) == process.pid
        assert cpu_seconds(process.pid) - before < 2.5
        assert await query(server.dsn, "select count(*) from taskq.workers where id = $1", worker["id"]) == 1
        assert await query(server.dsn, "select count(*) from taskq.attempts") == 0
        assert await query(server.dsn, "select bool_and(attempt = 1) from taskq.tasks")
        assert sorted(apps.remembered(starts)) == sorted(map(str, ids))  # each was started once
        assert (await play(queue, "echo", {"and": "on"})).result == {"and": "on"}
    session.terminate()


async def test_a_server_that_stays_away_costs_no_processor_time_and_two_signals_end_the_worker(
    server: Server, tmp_path: Path
) -> None:
    """The supervisor is stopped, so that nobody starts the killed postmaster again."""
    starts = tmp_path / "starts"
    session = await asyncpg.connect(server.dsn)
    async with worker_process(server.dsn, concurrency=20, grace=60) as process:
        await registered(session, 1)
        async with Queue(server.dsn) as queue:
            await queue.enqueue_many(
                [{"role": "hold", "payload": {"seconds": 0.3, "file": str(starts)}} for _ in range(20)]
            )
            await eventually(lambda: len(apps.remembered(starts)) == 20)
        supervisor = server.supervisor_pid
        os.kill(supervisor, signal.SIGSTOP)
        try:
            os.kill(server.postmaster_pid, signal.SIGKILL)
            before = cpu_seconds(process.pid)
            await asyncio.sleep(4)
            assert cpu_seconds(process.pid) - before < 0.6
            assert is_alive(process.pid)
            process.send(signal.SIGTERM)
            await asyncio.sleep(0.5)
            assert not process.has_ended  # it has results to hand in
            process.send(signal.SIGTERM)
            assert await process.ends(within=14) == 0
        finally:
            os.kill(supervisor, signal.SIGCONT)
    session.terminate()


async def test_a_worker_can_be_drained_while_the_server_is_away_and_gives_back_all_when_it_returns(
    server: Server,
) -> None:
    app, runs = App(), Counter[Any]()

    @app.role("long")
    async def long(task: Task) -> None:
        runs[task.id] += 1
        await asyncio.sleep(60)

    worker = Worker(app, dsn=server.dsn, settings=settings_for(server.dsn, grace=0.5))
    running = asyncio.create_task(worker.run())
    async with Queue(server.dsn) as queue:
        ids = await queue.enqueue_many([{"role": "long"} for _ in range(5)])
        await eventually(lambda: len(runs) == 5)
        os.kill(server.postmaster_pid, signal.SIGKILL)
        worker.drain()
        await asyncio.wait_for(running, 15)
        rows = [await in_patience(lambda id=id: queue.show(id)) for id in ids]
    assert [(row["status"], row["attempt"]) for row in rows] == [("queued", 0)] * 5
