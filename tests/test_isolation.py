"""Handlers in processes of their own: what they give back, and how they are made to end."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import apps
from support import eventually
from taskq import Queue
from worker_process import is_alive, pid_of, play, registered, worker_process, working


async def test_a_handler_in_a_process_gets_payload_parents_progress_and_log(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    async with working(apps.app, dsn):
        parent = await queue.enqueue("echo", {"deep": True})
        done = await play(queue, "measure", {"width": 6, "height": 7}, depends_on=[parent])
    assert done.result["area"] == 42 and done.result["parents"] == 1
    assert done.result["pid"] != os.getpid()
    row = await db.fetchrow("select progress, progress_note from taskq.tasks where id = $1", done.id)
    assert tuple(row) == (0.5, "measuring")
    assert await db.fetchval("select line from taskq.logs where task_id = $1", done.id) == "attempt 1"


async def test_a_payload_that_does_not_fit_starts_no_process(dsn: str, queue: Queue) -> None:
    async with working(apps.app, dsn):
        done = await play(queue, "measure", {"width": "wide", "height": 7})
    assert (done.status, done.error_kind) == ("failed", "validation_error")


async def test_a_megabyte_comes_back_from_a_process(dsn: str, queue: Queue) -> None:
    async with working(apps.app, dsn):
        assert (
            len((await play(queue, "isolated", {"how": "bytes", "more": "y" * 300_000})).result) == 1_000_000
        )


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("exit", "worker_lost", "code 3"),
        ("kill", "worker_lost", "code -9"),
        ("leave", "unknown", "SystemExit: that is enough"),
        ("interrupt", "unknown", "KeyboardInterrupt"),
        ("unpicklable error", "tool_error", "Picky: soup: too salty"),
        ("local error", "unknown", "nobody else knows this class"),
        ("connection error", "external_service", "the other side hung up"),
        ("unpicklable result", "unknown", "pickle"),
    ],
)
async def test_an_end_without_a_result_is_a_failed_attempt(
    dsn: str, queue: Queue, db: asyncpg.Connection, how: str, kind: str, says: str
) -> None:
    async with working(apps.app, dsn):
        done = await play(queue, "isolated", {"how": how}, max_attempts=1)
        assert (done.status, done.error_kind) == ("failed", kind)
        assert done.error is not None and says in done.error
        assert (await play(queue, "echo", {"still": "here"})).result == {"still": "here"}
    traceback = await db.fetchval("select traceback from taskq.attempts where task_id = $1", done.id)
    assert "Traceback" in traceback
    assert how in ("exit", "kill", "unpicklable result") or "in isolated\n" in traceback


async def test_a_process_may_ask_for_a_retry(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    async with working(apps.app, dsn):
        id = await queue.enqueue("isolated", {"how": "retry"})
        await eventually(lambda: db.fetchval("select exists (select from taskq.attempts)"))
        row = await queue.show(id)
    assert (row["status"], row["attempt"], row["error"]) == ("queued", 1, "later")
    assert timedelta(hours=1) < row["run_at"] - datetime.now(UTC) < timedelta(hours=2)


async def test_a_process_may_give_up_for_good(dsn: str, queue: Queue) -> None:
    async with working(apps.app, dsn):
        done = await play(queue, "isolated", {"how": "fail"})
    assert (done.status, done.error_kind, done.error) == ("failed", "rejected", "never")


async def test_a_process_may_snooze(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    async with working(apps.app, dsn):
        id = await queue.enqueue("isolated", {"how": "snooze"})
        await eventually(
            lambda: db.fetchval(
                "select run_at > now() + interval '2 hours' from taskq.tasks where id = $1", id
            )
        )
        assert (await queue.show(id))["attempt"] == 0


async def two_pids(file: Path) -> list[int]:
    """The process of `busy`, and its child."""
    await eventually(lambda: len(apps.remembered(file)) == 2)
    return [int(pid) for pid in apps.remembered(file)]


async def test_a_timeout_kills_the_process_and_what_it_started(
    dsn: str, queue: Queue, tmp_path: Path
) -> None:
    file = tmp_path / "pids"
    async with working(apps.app, dsn):
        id = await queue.enqueue("busy", {"file": str(file)}, timeout=timedelta(seconds=1.5), max_attempts=1)
        pids = await two_pids(file)
        done = await queue.wait(id, timeout=timedelta(seconds=10))
        assert (done.status, done.error_kind) == ("failed", "timeout")
        await eventually(lambda: not any(is_alive(pid) for pid in pids), timeout=2)
        await eventually(lambda: not Path(f"/proc/{pids[0]}").exists(), timeout=2)  # no zombie either


async def test_a_process_that_is_told_to_stop_while_it_starts_is_killed(dsn: str, queue: Queue) -> None:
    async with working(apps.app, dsn) as worker:
        id = await queue.enqueue(
            "busy", {"file": "/nowhere/at/all"}, timeout=timedelta(milliseconds=1), max_attempts=1
        )
        assert (await queue.wait(id, timeout=timedelta(seconds=10))).error_kind == "timeout"
        await eventually(lambda: not children_named(str(id)), timeout=5)
        await eventually(lambda: worker.free() == 10)


def children_named(name: str) -> list[str]:
    """The multiprocessing children of this process that play a task."""
    import multiprocessing

    return [child.name for child in multiprocessing.active_children() if name in child.name]


async def test_a_cancelled_task_has_its_process_killed(dsn: str, queue: Queue, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    async with working(apps.app, dsn):
        id = await queue.enqueue("busy", {"file": str(file)})
        pids = await two_pids(file)
        assert await queue.cancel(id, "enough", "a test") == "in_progress"
        done = await queue.wait(id, timeout=timedelta(seconds=5))
        assert (done.status, done.error) == ("cancelled", "enough")
        await eventually(lambda: not any(is_alive(pid) for pid in pids), timeout=2)


async def test_processes_end_with_a_worker_that_is_killed(
    dsn: str, queue: Queue, db: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "pids"
    async with worker_process(dsn) as process:
        (row,) = await registered(db, 1)
        await queue.enqueue("busy", {"file": str(file)})
        pids = await two_pids(file)
        assert pid_of(row) == process.pid
        process.send(signal.SIGKILL)
        await eventually(lambda: not any(is_alive(pid) for pid in pids), timeout=3)


async def test_several_processes_run_side_by_side(dsn: str, queue: Queue) -> None:
    async with working(apps.app, dsn):
        tasks: list[dict[str, Any]] = [
            {"role": "measure", "payload": {"width": n, "height": n}} for n in range(4)
        ]
        ids = await queue.enqueue_many(tasks)
        results = [await queue.result(id, timeout=timedelta(seconds=20)) for id in ids]
    assert [result["area"] for result in results] == [0, 1, 4, 9]
    assert len({result["pid"] for result in results}) == 4
