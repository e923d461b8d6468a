"""How attempts end badly, and what comes of it: kinds, retries, backoff, the rows of taskq.attempts."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from support import eventually
from taskq import App, Fail, Queue, Retry, Snooze, SyncTask, Task
from taskq.database import Pool
from worker_process import play, working

NOW = [timedelta(0)]


class RateLimited(Exception):
    kind = "rate_limited"


class Odd(Exception):
    kind = "no kind that anybody knows"


class Mute(Exception):
    """Cannot even say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("not today")


def read_nonsense() -> None:
    msgspec.json.decode(b"[1]", type=dict)


ERRORS: dict[str, tuple[BaseException | type[BaseException], str, str]] = {
    "plain": (ValueError("no"), "unknown", "no"),
    "wordless": (ValueError(), "unknown", "ValueError"),
    "by attribute": (RateLimited("slow down"), "rate_limited", "slow down"),
    "by an unknown attribute": (Odd("hm"), "unknown", "hm"),
    "connection": (ConnectionRefusedError("nobody there"), "external_service", "nobody there"),
    "its own timeout": (TimeoutError("too slow"), "external_service", "too slow"),
    "validation": (msgspec.ValidationError("wrong"), "validation_error", "wrong"),
    "mute": (Mute(), "unknown", "Mute"),
    "cancelled by itself": (asyncio.CancelledError("me"), "unknown", "me"),
    "exit": (SystemExit(3), "unknown", "3"),
    "odd text": (ValueError("nul \0 and \ud800"), "unknown", "nul \ufffd and ?"),
    "retry after no timedelta": (Retry("later", after=5), "unknown", "takes a timedelta, not 5"),  # type: ignore[arg-type]
    "snooze for no timedelta": (Snooze(5), "unknown", "takes a timedelta, not 5"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("sync", [False, True], ids=["async", "thread"])
@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_is_classified_by_its_type_and_harms_nobody_else(
    dsn: str, queue: Queue, db: asyncpg.Connection, name: str, sync: bool
) -> None:
    app, (error, kind, says) = App(), ERRORS[name]

    @app.role("break")
    async def break_(task: Task) -> None:
        raise error

    @app.role("break in a thread")
    def break_in_a_thread(task: SyncTask) -> None:
        raise error

    @app.role("calm")
    async def calm(task: Task) -> str:
        return "calm"

    async with working(app, dsn) as worker:
        done = await play(queue, "break in a thread" if sync else "break", max_attempts=1)
        assert (done.status, done.error_kind) == ("failed", kind)
        assert done.error is not None and says in done.error
        assert (await play(queue, "calm")).result == "calm"
        await eventually(lambda: worker.free() == 10)
    assert await db.fetchval("select count(*) from taskq.attempts where kind = $1", kind) == 1


async def test_an_attempt_keeps_its_traceback_its_worker_and_its_times(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app = App()

    @app.role("read", backoff=NOW)
    async def read(task: Task) -> str:
        if task.attempt == 1:
            read_nonsense()
        return "read"

    async with working(app, dsn) as worker:
        done = await play(queue, "read")
    assert done.result == "read"
    row = await db.fetchrow("select * from taskq.attempts where task_id = $1", done.id)
    assert (row["attempt"], row["kind"], row["worker_id"]) == (1, "validation_error", worker.id)
    assert "in read_nonsense" in row["traceback"] and row["traceback"].startswith("Traceback")
    assert row["started_at"] <= row["finished_at"]
    task = await queue.show(done.id)
    assert (task["attempt"], task["error"], task["error_kind"]) == (2, None, None)


async def test_a_message_is_cut_at_8_kilobytes(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    app = App()

    @app.role("shout")
    async def shout(task: Task) -> None:
        raise Fail("a" * 100_000)

    async with working(app, dsn):
        done = await play(queue, "shout")
    assert done.error == "a" * 8192
    assert await db.fetchval("select length(message) from taskq.attempts") == 8192


@pytest.mark.parametrize("sync", [False, True], ids=["async", "thread"])
async def test_retry_waits_as_long_as_it_says_and_spends_an_attempt(
    dsn: str, queue: Queue, db: asyncpg.Connection, sync: bool
) -> None:
    app = App()

    @app.role("later")
    async def later(task: Task) -> None:
        raise Retry("not yet", after=timedelta(hours=5))

    @app.role("later in a thread")
    def later_in_a_thread(task: SyncTask) -> None:
        raise Retry("not yet", after=timedelta(hours=5))

    async with working(app, dsn):
        id = await queue.enqueue("later in a thread" if sync else "later")
        await eventually(lambda: db.fetchval("select exists (select from taskq.attempts)"))
        task = await queue.show(id)
    assert (task["status"], task["attempt"], task["error"]) == ("queued", 1, "not yet")
    assert timedelta(hours=4.9) < task["run_at"] - datetime.now(UTC) <= timedelta(hours=5)


async def test_retry_without_a_time_follows_the_role(dsn: str, queue: Queue) -> None:
    app = App()

    @app.role("again", backoff=NOW)
    async def again(task: Task) -> int:
        if task.attempt < 3:
            raise Retry()
        return task.attempt

    async with working(app, dsn):
        assert (await play(queue, "again")).result == 3


async def test_fail_is_final_and_names_its_kind(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    app = App()

    @app.role("refuse")
    async def refuse(task: Task) -> None:
        raise Fail("never", kind="budget_exceeded")

    async with working(app, dsn):
        done = await play(queue, "refuse")
    assert (done.status, done.error_kind, done.error) == ("failed", "budget_exceeded", "never")
    assert await db.fetchval("select count(*) from taskq.attempts") == 1


@pytest.mark.parametrize("sync", [False, True], ids=["async", "thread"])
async def test_snooze_spends_no_attempt(dsn: str, queue: Queue, db: asyncpg.Connection, sync: bool) -> None:
    app, runs = App(), []

    def body(attempt: int) -> str:
        runs.append(attempt)
        if len(runs) < 4:
            raise Snooze(timedelta(milliseconds=20))
        return "awake"

    @app.role("doze")
    async def doze(task: Task) -> str:
        return body(task.attempt)

    @app.role("doze in a thread")
    def doze_in_a_thread(task: SyncTask) -> str:
        return body(task.attempt)

    async with working(app, dsn):
        done = await play(queue, "doze in a thread" if sync else "doze", max_attempts=1)
    assert done.result == "awake" and runs == [1, 1, 1, 1]
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


async def test_a_role_that_says_nothing_retries_after_30_s_2_min_and_10_min(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app = App()

    @app.role("break")
    async def break_(task: Task) -> None:
        raise ValueError("again")

    waits = []
    async with working(app, dsn):
        id = await queue.enqueue("break")
        for attempt in (1, 2, 3):
            await eventually(lambda n=attempt: has_ended(db, id, n))
            waits.append((await queue.show(id))["run_at"] - datetime.now(UTC))
            await queue.retry(id)  # now, not in ten minutes
        assert (await queue.wait(id, timeout=timedelta(seconds=5))).status == "failed"
    for wait, step in zip(waits, (30, 120, 600), strict=True):
        assert timedelta(seconds=step - 5) < wait < timedelta(seconds=step * 1.25)


async def has_ended(db: asyncpg.Connection, id: Any, attempts: int) -> bool:
    """Whether the task waits, after so many attempts."""
    return await db.fetchval(
        "select status = 'queued' and attempt = $2 from taskq.tasks where id = $1", id, attempts
    )


async def test_a_role_has_its_own_backoff_and_its_own_number_of_attempts(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app = App()

    @app.role("break", backoff=[timedelta(0), timedelta(hours=1)], max_attempts=3)
    async def break_(task: Task) -> None:
        raise ValueError("again")

    async with working(app, dsn):
        id = await queue.enqueue("break")
        await eventually(lambda: has_ended(db, id, 2))
        task = await queue.show(id)
        assert timedelta(minutes=59) < task["run_at"] - datetime.now(UTC) < timedelta(minutes=75)
        await queue.retry(id)
        assert (await queue.wait(id, timeout=timedelta(seconds=5))).status == "failed"
    assert await db.fetch("select attempt from taskq.attempts order by lease") == [(1,), (2,), (3,)]


async def test_the_last_attempt_fails_the_task(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    app = App()

    @app.role("break", backoff=NOW)
    async def break_(task: Task) -> None:
        raise ValueError(f"attempt {task.attempt} of {task.max_attempts}")

    async with working(app, dsn):
        done = await play(queue, "break", max_attempts=3)
    assert (done.status, done.error) == ("failed", "attempt 3 of 3")
    assert await db.fetchval("select count(*) from taskq.attempts") == 3
    verbs = await db.fetch("select verb from taskq.events order by id")
    assert [row["verb"] for row in verbs] == ["retry", "retry", "fail"]


async def test_success_writes_no_event(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    app = App()

    @app.role("calm")
    async def calm(task: Task) -> None:
        return None

    async with working(app, dsn):
        await play(queue, "calm")
    assert await db.fetchval("select count(*) from taskq.events") == 0


# timeouts


async def test_an_async_handler_is_cancelled_at_its_timeout(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, ends = App(), []

    @app.role("dawdle")
    async def dawdle(task: Task) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ends.append(sys.exc_info()[0])

    async with working(app, dsn):
        done = await play(queue, "dawdle", timeout=timedelta(seconds=0.2), max_attempts=1)
    assert (done.status, done.error_kind) == ("failed", "timeout")
    assert done.error == "the attempt took longer than 0:00:00.200000"
    assert ends == [asyncio.CancelledError]
    assert await db.fetchval("select kind from taskq.attempts") == "timeout"


async def test_a_timeout_is_retried_and_its_clock_starts_anew(dsn: str, queue: Queue) -> None:
    app = App()

    @app.role("dawdle", timeout=timedelta(seconds=0.3), backoff=NOW)
    async def dawdle(task: Task) -> int:
        await asyncio.sleep(60 if task.attempt == 1 else 0.1)
        return task.attempt

    async with working(app, dsn):
        assert (await play(queue, "dawdle")).result == 2


async def test_each_of_many_running_tasks_has_its_own_timeout(dsn: str, queue: Queue) -> None:
    app = App()

    @app.role("dawdle")
    async def dawdle(task: Task) -> None:
        await asyncio.sleep(60)

    limits = [0.6, 0.2, 0.4, 0.3]
    async with working(app, dsn):
        ids = [
            await queue.enqueue("dawdle", timeout=timedelta(seconds=limit), max_attempts=1)
            for limit in limits
        ]
        for id in ids:
            assert (await queue.wait(id, timeout=timedelta(seconds=5))).error_kind == "timeout"
        rows = [await queue.show(id) for id in ids]
    for limit, row in zip(limits, rows, strict=True):
        assert limit <= (row["finished_at"] - row["started_at"]).total_seconds() < limit + 0.5


async def test_a_handler_that_swallows_its_cancellation_and_returns_has_timed_out_all_the_same(
    dsn: str, queue: Queue
) -> None:
    app = App()

    @app.role("dawdle")
    async def dawdle(task: Task) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "too late"

    async with working(app, dsn):
        done = await play(queue, "dawdle", timeout=timedelta(seconds=0.1), max_attempts=1)
    assert (done.status, done.error_kind, done.result) == ("failed", "timeout", None)


async def test_a_handler_that_will_not_stop_is_abandoned_after_the_grace_and_its_slot_is_for_others(
    dsn: str, queue: Queue
) -> None:
    app, released = App(), asyncio.Event()

    @app.role("cling")
    async def cling(task: Task) -> str:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    async with working(app, dsn, concurrency=1, grace=0.3) as worker:
        clinging = await queue.enqueue("cling", timeout=timedelta(seconds=0.1), max_attempts=1)
        done = await queue.wait(clinging, timeout=timedelta(seconds=5))
        assert (done.status, done.error_kind) == ("failed", "timeout")
        await eventually(lambda: worker.free() == 1)
        released.set()
    assert (await queue.show(clinging))["status"] == "failed"


async def test_a_thread_cannot_be_stopped_but_its_task_times_out_and_its_writes_are_refused(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, go_on, heard = App(), threading.Event(), []

    @app.role("dawdle")
    def dawdle(task: SyncTask) -> str:
        go_on.wait(20)
        try:
            task.log("still here")
        except Exception as error:
            heard.append(type(error).__name__)
        return "too late"

    async with working(app, dsn):
        done = await play(queue, "dawdle", timeout=timedelta(seconds=0.2), max_attempts=1)
        assert (done.status, done.error_kind) == ("failed", "timeout")
        go_on.set()
        await eventually(lambda: heard == ["LeaseLost"])
    assert await db.fetchval("select count(*) from taskq.logs") == 0


async def test_an_attempt_that_has_ended_does_not_time_out_while_its_end_waits_to_be_written(
    dsn: str, queue: Queue, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, back, fetch_value, writes = App(), asyncio.Event(), Pool.fetch_value, []

    @app.role("break")
    async def break_(task: Task) -> None:
        raise ValueError("broken")

    async def away(self: Pool, query: str, *args: Any) -> Any:
        if query == "fail":
            writes.append(args)
            await back.wait()
        return await fetch_value(self, query, *args)

    monkeypatch.setattr(Pool, "fetch_value", away)
    async with working(app, dsn, grace=0.2):
        id = await queue.enqueue("break", timeout=timedelta(seconds=0.2), max_attempts=1)
        await eventually(lambda: writes)
        await asyncio.sleep(0.8)  # its timeout and its grace are long over
        back.set()
        assert (await queue.wait(id, timeout=timedelta(seconds=5))).error == "broken"
    assert len(writes) == 1
