"""What handlers are given, and what becomes of what they return."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from support import eventually
from taskq import App, Queue, SyncTask, Task
from taskq.errors import InvalidTask
from worker_process import play, working


@dataclass
class Order:
    flour: float
    water: float = 0.6


class Trip(msgspec.Struct):
    leaves: datetime
    stops: list[str]


async def test_an_async_handler_gets_the_whole_task(dsn: str, queue: Queue) -> None:
    app, seen = App(), []

    @app.role("look")
    async def look(task: Task) -> None:
        seen.append(task)

    parent = await queue.enqueue("root", {})
    async with working(app, dsn):
        await play(
            queue, "look", {"a": [1, {"b": None}]}, name="a look", max_attempts=7,
            timeout=timedelta(minutes=3), parent_id=parent, created_by="a test",
            traceparent="00-1-2-01", priority=5,
        )  # fmt: skip
    (task,) = seen
    assert isinstance(task, Task)
    assert (task.role, task.name, task.payload, task.attempt) == (
        "look",
        "a look",
        {"a": [1, {"b": None}]},
        1,
    )
    assert (task.max_attempts, task.timeout) == (7, timedelta(minutes=3))
    assert (task.mission_id, task.parent_id) == (parent, parent)
    assert (task.created_by, task.traceparent) == ("a test", "00-1-2-01")
    assert task.parents == {} and task.run_at < datetime.now(UTC)


async def test_sync_handlers_run_in_threads_side_by_side(dsn: str, queue: Queue) -> None:
    app, together = App(), threading.Barrier(3)

    @app.role("meet")
    def meet(task: SyncTask) -> str:
        assert isinstance(task, SyncTask)
        together.wait(10)
        return threading.current_thread().name

    async with working(app, dsn):
        ids = [await queue.enqueue("meet") for _ in range(3)]
        names = [await queue.result(id, timeout=timedelta(seconds=10)) for id in ids]
    assert len(set(names)) == 3 and str(ids[0]) in names[0]


async def test_a_payload_is_checked_into_a_dataclass(dsn: str, queue: Queue) -> None:
    app = App()

    @app.role("bake")
    async def bake(task: Task, order: Order) -> float:
        return order.flour * order.water

    async with working(app, dsn):
        assert (await play(queue, "bake", {"flour": 500})).result == 300


async def test_a_payload_is_checked_into_a_struct_for_a_thread(dsn: str, queue: Queue) -> None:
    app = App()

    @app.role("travel")
    def travel(task: SyncTask, trip: Trip) -> list[Any]:
        return [trip.leaves.year, *trip.stops]

    async with working(app, dsn):
        done = await play(queue, "travel", {"leaves": "2031-05-01T08:00:00Z", "stops": ["Ulm", "Wien"]})
    assert done.result == [2031, "Ulm", "Wien"]


@pytest.mark.parametrize("payload", [{}, {"flour": "much"}, {"flour": 1, "water": []}])
async def test_a_payload_that_does_not_fit_fails_for_good(
    dsn: str, queue: Queue, db: asyncpg.Connection, payload: dict[str, Any]
) -> None:
    app = App()

    @app.role("bake")
    async def bake(task: Task, order: Order) -> None:
        raise AssertionError("it must not be called")

    async with working(app, dsn):
        done = await play(queue, "bake", payload)
    assert (done.status, done.error_kind) == ("failed", "validation_error")
    assert done.error is not None and done.error.startswith("the payload does not fit Order: ")
    assert await db.fetchval("select count(*) from taskq.attempts where task_id = $1", done.id) == 1


@pytest.mark.parametrize(
    "payload", ['{"n": %s}' % ("7" * 5000), '{"n": %s}' % ("[" * 2000 + "]" * 2000)], ids=["number", "depth"]
)
async def test_a_payload_that_python_cannot_hold_fails_its_task_and_harms_no_other(
    dsn: str, queue: Queue, db: asyncpg.Connection, payload: str
) -> None:
    app = App()

    @app.role("look")
    async def look(task: Task) -> str:
        return "seen"

    id = await db.fetchval(
        "insert into taskq.tasks (role, payload) values ('look', $1::text::jsonb) returning id", payload
    )
    async with working(app, dsn):
        done = await queue.wait(id, timeout=timedelta(seconds=10))
        assert (done.status, done.error_kind) == ("failed", "validation_error")
        assert (await play(queue, "look")).result == "seen"


RESULTS: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "false": (False, False),
    "list": ([1, 2.5, "x", None], [1, 2.5, "x", None]),
    "text": ("grüße, 你好 🙂", "grüße, 你好 🙂"),
    "an escape that is text": ("a pattern: \\u0000 and \\\\u0000", "a pattern: \\u0000 and \\\\u0000"),
    "large number": (2**80, 2**80),
    "not a number": ([float("nan"), float("inf")], [None, None]),  # as in JavaScript
    "dataclass": (Order(1), {"flour": 1, "water": 0.6}),
    "instant": (datetime(2031, 5, 1, tzinfo=UTC), "2031-05-01T00:00:00Z"),
    "id": (UUID(int=7), str(UUID(int=7))),
    "set": ({4}, [4]),
    "a megabyte": ("x" * 1_000_000, "x" * 1_000_000),
}


@pytest.mark.parametrize("name", RESULTS)
async def test_a_result_is_kept(dsn: str, queue: Queue, db: asyncpg.Connection, name: str) -> None:
    app, (returned, kept) = App(), RESULTS[name]

    @app.role("give")
    async def give(task: Task) -> Any:
        return returned

    async with working(app, dsn):
        done = await play(queue, "give")
    assert (done.status, done.result) == ("completed", kept)
    assert await db.fetchval("select result from taskq.tasks where id = $1", done.id) == kept


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "result",
    [
        {"text": "a\0b"},
        {"text": "\\\0"},
        {"a\0": 1},
        "\ud800",
        object(),
        CIRCLE,
        {(1, 2): 3},
        msgspec.Raw(b"{ nonsense"),
        msgspec.Raw(b'"\\ud800"'),
        msgspec.Raw(b"1e200000"),
    ],
    ids=["nul", "nul after a backslash", "nul in a key", "surrogate", "object", "circle", "key", "no json",
         "escaped surrogate", "number"],
)  # fmt: skip
async def test_a_result_that_cannot_be_kept_fails_its_task_and_harms_no_other(
    dsn: str, queue: Queue, db: asyncpg.Connection, result: Any
) -> None:
    app = App()

    @app.role("give")
    async def give(task: Task) -> Any:
        return "fine" if task.payload["n"] else result

    ids = await queue.enqueue_many([{"role": "give", "payload": {"n": n}} for n in (1, 0, 2)])
    async with working(app, dsn):
        first, bad, last = [await queue.wait(id, timeout=timedelta(seconds=10)) for id in ids]
        assert (bad.status, bad.error_kind) == ("failed", "validation_error")
        assert bad.error is not None and "cannot be kept" in bad.error
        assert first.result == last.result == "fine"
        assert await db.fetchval("select array_agg(attempt) from taskq.attempts") == [1]
    assert await db.fetchval("select count(*) from taskq.tasks where status = 'in_progress'") == 0


async def test_progress_and_log_of_an_async_handler_are_seen_while_it_runs(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    app, go_on = App(), asyncio.Event()

    @app.role("walk")
    async def walk(task: Task) -> None:
        await task.progress(0.25, "a quarter")
        await task.progress(note="still a quarter")
        await task.progress(0.5)
        await task.log("half way\0\ud800")
        await go_on.wait()

    async with working(app, dsn):
        id = await queue.enqueue("walk")
        await eventually(lambda: db.fetchval("select exists (select from taskq.logs)"))
        row = await db.fetchrow("select progress, progress_note, status from taskq.tasks where id = $1", id)
        assert tuple(row) == (0.5, "still a quarter", "in_progress")
        assert await db.fetchval("select line from taskq.logs where task_id = $1", id) == "half way\ufffd?"
        go_on.set()
        await queue.result(id)


async def test_progress_and_log_of_a_thread_are_kept(dsn: str, queue: Queue, db: asyncpg.Connection) -> None:
    app = App()

    @app.role("walk")
    def walk(task: SyncTask) -> None:
        task.progress(0.75, "nearly")
        task.log("there")

    async with working(app, dsn):
        done = await play(queue, "walk")
    assert await db.fetchval("select progress from taskq.tasks where id = $1", done.id) == 0.75
    assert await db.fetchval("select line from taskq.logs where task_id = $1", done.id) == "there"


async def test_a_fraction_above_one_is_refused_to_the_handler(dsn: str, queue: Queue) -> None:
    app = App()

    @app.role("walk")
    async def walk(task: Task) -> str:
        with pytest.raises(InvalidTask, match="progress is a fraction"):
            await task.progress(1.5)
        return "told"

    async with working(app, dsn):
        assert (await play(queue, "walk")).result == "told"


async def test_a_handler_gets_the_results_of_its_parents_by_id(dsn: str, queue: Queue) -> None:
    app = App()
    one, two, lost = uuid4(), uuid4(), uuid4()

    @app.role("number")
    async def number(task: Task) -> Any:
        if task.id == lost:
            raise ValueError("no number")
        return {"n": 1} if task.id == one else None

    @app.role("sum")
    async def total(task: Task) -> Any:
        return {str(id): result for id, result in task.parents.items()}

    async with working(app, dsn):
        *_, last = await queue.enqueue_many(
            [
                {"role": "number", "id": one},
                {"role": "number", "id": two},
                {"role": "number", "id": lost, "max_attempts": 1},
                {"role": "sum", "depends_on": [one, two, lost], "on_dependency_failure": "run"},
            ]
        )
        assert await queue.result(last, timeout=timedelta(seconds=10)) == {str(one): {"n": 1}, str(two): None}
