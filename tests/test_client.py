"""The client: what it puts in, what it is told, what it waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from conftest import Connect
from fake_worker import FakeWorker
from support import eventually
from taskq import Queue, TaskFailed, embedded, schema
from taskq.client import Done
from taskq.errors import InvalidTask, NoSuchTask, NotAnArrow
from taskq.settings import Settings

SECONDS = timedelta(seconds=1)


@pytest.fixture
async def worker(connect: Connect) -> FakeWorker:
    """Plays the role `a`, step by step."""
    return await FakeWorker(await connect(), "a").register()


async def test_the_environment_names_the_queue(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_DATABASE_URL", dsn)
    async with Queue() as queue:
        assert queue.dsn == dsn
        assert (await queue.show(await queue.enqueue("a")))["status"] == "queued"


async def test_a_queue_in_an_empty_directory_brings_its_own_server(home: Path) -> None:
    async with Queue(settings=Settings(home=home)) as queue:
        assert (await queue.show(await queue.enqueue("a")))["status"] == "queued"


# in


async def test_a_task_needs_no_more_than_a_role(queue: Queue, db: asyncpg.Connection) -> None:
    id = await queue.enqueue("a")
    row = await queue.show(id)
    assert (row["role"], row["payload"], row["status"], row["max_attempts"]) == ("a", {}, "queued", 4)
    assert row["timeout"] == timedelta(minutes=30)


async def test_every_column_arrives(queue: Queue) -> None:
    parent, mission, id = await queue.enqueue("a"), await queue.enqueue("a"), uuid4()
    when = datetime(2050, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    columns: dict[str, Any] = {
        "id": id,
        "name": "a name",
        "priority": -7,
        "run_at": when,
        "depends_on": [parent],
        "on_dependency_failure": "wait",
        "requires_approval": True,
        "max_attempts": 9,
        "timeout": timedelta(hours=30, microseconds=1),
        "dedup_key": "one",
        "mission_id": mission,
        "parent_id": parent,
        "created_by": "somebody",
        "traceparent": "00-1-2-01",
    }
    assert await queue.enqueue("a", {"deep": [{"text": "ü"}]}, **columns) == id
    row = await queue.show(id)
    assert {name: row[name] for name in columns} == columns
    assert row["payload"] == {"deep": [{"text": "ü"}]} and row["status"] == "blocked"


@pytest.mark.parametrize("several", [list, tuple, set, frozenset, iter])
async def test_dependencies_come_in_any_iterable(queue: Queue, several: Any) -> None:
    parents = [await queue.enqueue("a") for _ in range(2)]
    row = await queue.show(await queue.enqueue("a", depends_on=several(parents)))
    assert set(row["depends_on"]) == set(parents) and row["waiting_on"] == 2


@pytest.mark.parametrize("delay", [timedelta(hours=2), timedelta(microseconds=1), timedelta(days=100_000)])
async def test_a_delay_is_counted_by_the_database(
    queue: Queue, db: asyncpg.Connection, delay: timedelta
) -> None:
    id = await queue.enqueue("a", delay=delay)
    assert await db.fetchval("select run_at - created_at from taskq.tasks where id = $1", id) == delay


async def test_a_graph_goes_in_at_once_in_any_order_with_its_ids(queue: Queue) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    ids = await queue.enqueue_many(
        [
            {"role": "a", "id": third, "depends_on": [second, first]},
            {"role": "a", "id": second, "depends_on": {first}},
            {"role": "a", "id": first, "payload": {"n": 1}},
            {"role": "a"},
        ]
    )
    assert ids[:3] == [third, second, first] and ids[3] not in ids[:3]
    assert [(await queue.show(id))["waiting_on"] for id in ids] == [2, 1, 0, 0]


async def test_nothing_goes_in_as_nothing(queue: Queue) -> None:
    assert await queue.enqueue_many([]) == []


async def test_ten_thousand_tasks_go_in_at_once(queue: Queue, db: asyncpg.Connection) -> None:
    ids = await queue.enqueue_many([{"role": "a", "payload": {"n": n}} for n in range(10_000)])
    assert len(set(ids)) == 10_000
    row = await db.fetchrow("select id, payload from taskq.tasks where payload ->> 'n' = '4321'")
    assert row["id"] == ids[4321]


async def test_the_same_dedup_key_gives_the_same_task_while_it_lives(
    queue: Queue, worker: FakeWorker, db: asyncpg.Connection
) -> None:
    first = await queue.enqueue("a", {"n": 1}, dedup_key="k")
    assert await queue.enqueue("a", {"n": 2}, dedup_key="k") == first
    assert (await queue.show(first))["payload"] == {"n": 1}
    await worker.drain()
    assert await queue.enqueue("a", {"n": 3}, dedup_key="k") != first
    assert await db.fetchval("select count(*) from taskq.tasks") == 2


async def test_many_clients_with_one_dedup_key_make_one_task(queue: Queue) -> None:
    ids = await asyncio.gather(*(queue.enqueue("a", dedup_key="k") for _ in range(20)))
    assert len(set(ids)) == 1


LOST = UUID(int=404)

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no role": ({"role": None}, "role"),
    "empty role": ({"role": ""}, "role is a name of at most 200 characters"),
    "long role": ({"role": "r" * 201}, "role is a name of at most 200 characters"),
    "payload": ({"payload": [1]}, "payload is an object"),
    "nul": ({"payload": {"text": "a\0b"}}, r"keeps no \\u0000"),
    "surrogate": ({"payload": {"text": "\ud800"}}, "this is no JSON"),
    "object": ({"payload": {"o": object()}}, "this is no JSON"),
    "unknown column": ({"colour": "red"}, 'unknown column "colour"'),
    "status": ({"status": "completed"}, 'unknown column "status"'),
    "priority": ({"priority": 40_000}, "out of range"),
    "priority as text": ({"priority": "high"}, "high"),
    "attempts": ({"max_attempts": 0}, "max attempts is positive"),
    "timeout": ({"timeout": timedelta(0)}, "timeout is positive"),
    "policy": ({"on_dependency_failure": "panic"}, "on dependency failure is fail run or wait"),
    "unknown dependency": ({"depends_on": [LOST]}, f"{LOST}, which does not exist"),
    "itself": ({"id": LOST, "depends_on": [LOST]}, "depends on itself"),
    "unknown parent": ({"parent_id": LOST}, "parent_id"),
    "concurrency": ({"concurrency_key": "k"}, "not supported yet"),
    "id": ({"id": "no uuid"}, "no uuid"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_task_says_why_and_nothing_is_written(
    queue: Queue, db: asyncpg.Connection, name: str
) -> None:
    task, says = REFUSED[name]
    with pytest.raises(InvalidTask, match=says):
        await queue.enqueue_many([{"role": "a"}, {"role": "a", **task}])
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_a_refusal_never_quotes_the_row(queue: Queue) -> None:
    for columns in ({"role": None}, {"max_attempts": 0}, {"parent_id": LOST}):
        with pytest.raises(InvalidTask) as refused:
            await queue.enqueue_many([{"role": "a", "payload": {"password": "swordfish"}, **columns}])
        assert "swordfish" not in str(refused.value) and "\n" not in str(refused.value)


async def test_an_existing_id_is_refused(queue: Queue) -> None:
    id = await queue.enqueue("a")
    with pytest.raises(InvalidTask, match=r"already exists|duplicate key"):
        await queue.enqueue("a", id=id)


async def test_a_cycle_is_refused(queue: Queue, db: asyncpg.Connection) -> None:
    one, two = uuid4(), uuid4()
    with pytest.raises(InvalidTask, match="cycle"):
        await queue.enqueue_many(
            [{"role": "a", "id": one, "depends_on": [two]}, {"role": "a", "id": two, "depends_on": [one]}]
        )
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


# out


async def test_the_end_of_a_task_is_told_at_once(queue: Queue, worker: FakeWorker) -> None:
    waits = []
    for n in range(10):
        id = await queue.enqueue("a")
        task = await worker.claim_one()
        waiting = asyncio.create_task(queue.wait(id, timeout=10 * SECONDS))
        await eventually(lambda i=id: is_awaited(worker, i))
        await worker.complete(task, result={"n": n})
        began = time.monotonic()
        assert (await waiting).result == {"n": n}
        waits.append(time.monotonic() - began)
    assert max(waits) < 0.1, waits


async def is_awaited(worker: FakeWorker, id: UUID) -> bool:
    return await worker.session.fetchval("select awaited from taskq.tasks where id = $1", id)


async def test_waiting_does_not_poll(
    queue: Queue, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[UUID] = []
    look = queue.look

    async def counted(id: UUID) -> Done | None:
        looks.append(id)
        return await look(id)

    monkeypatch.setattr(queue, "look", counted)
    id = await queue.enqueue("a")
    waiting = asyncio.create_task(queue.wait(id))
    await asyncio.sleep(1)
    assert looks == [id]
    await worker.drain()
    await waiting
    assert looks == [id, id]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_a_task_that_has_ended_is_known_at_once(queue: Queue, worker: FakeWorker, end: str) -> None:
    id = await queue.enqueue("a", {"n": 1})
    if end == "completed":
        await worker.drain()
    elif end == "failed":
        await worker.fail(await worker.claim_one(), "tool_error", "it broke", final=True)
    else:
        await queue.cancel(id, "not wanted")
    expected = {
        "completed": Done(id, "completed", None, None, None),
        "failed": Done(id, "failed", None, "tool_error", "it broke"),
        "cancelled": Done(id, "cancelled", None, "cancelled", "not wanted"),
    }[end]
    assert await queue.wait(id, timeout=SECONDS) == expected


async def test_result_gives_the_result_or_raises_how_it_ended(queue: Queue, worker: FakeWorker) -> None:
    good, bad, gone = [await queue.enqueue("a") for _ in range(3)]
    await queue.cancel(gone, "too expensive")
    await worker.complete(await worker.claim_one(), result=[1, {"two": None}])
    await worker.fail(await worker.claim_one(), "rate_limited", "slow down", final=True)
    assert await queue.result(good) == [1, {"two": None}]
    with pytest.raises(TaskFailed, match=f"task {bad} failed: rate_limited: slow down") as failed:
        await queue.result(bad)
    assert (failed.value.status, failed.value.kind, failed.value.message) == (
        "failed",
        "rate_limited",
        "slow down",
    )
    with pytest.raises(TaskFailed, match="cancelled: too expensive"):
        await queue.result(gone)


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=0.2)])
async def test_waiting_ends_with_its_timeout(queue: Queue, timeout: timedelta) -> None:
    id, began = await queue.enqueue("a"), time.monotonic()
    with pytest.raises(TimeoutError):
        await queue.wait(id, timeout=timeout)
    assert time.monotonic() - began < 1


async def test_nobody_can_wait_for_a_task_that_does_not_exist(queue: Queue) -> None:
    with pytest.raises(NoSuchTask, match=str(LOST)):
        await queue.wait(LOST, timeout=SECONDS)
    with pytest.raises(NoSuchTask, match=str(LOST)):
        await queue.show(LOST)


async def test_several_may_wait_for_one_task_and_one_may_stop_waiting(
    queue: Queue, worker: FakeWorker
) -> None:
    id = await queue.enqueue("a")
    waits = [asyncio.create_task(queue.wait(id, timeout=10 * SECONDS)) for _ in range(5)]
    await eventually(lambda: is_awaited(worker, id))
    waits.pop().cancel()
    await worker.drain()
    assert {(await done).status for done in waits} == {"completed"}


async def test_waiting_for_500_tasks_at_once_is_quick(queue: Queue, worker: FakeWorker) -> None:
    ids = await queue.enqueue_many([{"role": "a"} for _ in range(500)])
    waits = [asyncio.create_task(queue.wait(id, timeout=30 * SECONDS)) for id in ids]
    while not all(done.done() for done in waits):
        await worker.drain()
        await asyncio.sleep(0.01)
    assert {(await done).status for done in waits} == {"completed"}


async def test_a_wait_outlives_the_loss_of_its_session(
    queue: Queue, worker: FakeWorker, db: asyncpg.Connection
) -> None:
    id = await queue.enqueue("a")
    waiting = asyncio.create_task(queue.wait(id, timeout=10 * SECONDS))
    await eventually(lambda: is_awaited(worker, id))
    task = await worker.claim_one()
    assert await db.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity "
        "where datname = current_database() and application_name = 'taskq client'"
    )
    await worker.complete(task)  # while nobody listens, perhaps
    began = time.monotonic()
    assert (await waiting).status == "completed"
    assert time.monotonic() - began < 1.5


async def test_a_wait_outlives_a_restart_of_the_server(home: Path) -> None:
    async with await embedded.ensure(Settings(home=home), options={"fsync": "off"}) as server:
        await schema.migrate(server.dsn)
        async with Queue(server.dsn) as queue:
            ids = [await queue.enqueue("a") for _ in range(3)]
            waits = [asyncio.create_task(queue.wait(id, timeout=20 * SECONDS)) for id in ids]
            await eventually(lambda: len(queue._waiters) == 3)
            os.kill(server.postmaster_pid, signal.SIGKILL)
            async with Queue(server.dsn) as other:

                async def cancel_all() -> bool:
                    try:
                        return [await other.cancel(id) for id in ids] == ["cancelled"] * 3
                    except ConnectionError:
                        return False

                await eventually(cancel_all, timeout=15)
            assert [(await done).status for done in waits] == ["cancelled"] * 3


# acting


async def test_each_act_returns_the_status_that_it_led_to(queue: Queue, worker: FakeWorker) -> None:
    waiting = await queue.enqueue("a", requires_approval=True)
    assert await queue.approve(waiting, "a person", "go") == "queued"
    running = await worker.claim_one()
    assert await queue.requeue(waiting, "again", "a person") == "queued"
    assert await worker.complete(running) == [running["lease"]]
    assert await queue.complete(waiting, {"by": "hand"}, "a person") == "completed"
    again = await queue.rerun(waiting, "once more")
    assert (await queue.show(again))["rerun_of"] == waiting
    assert await queue.cancel(again, "no", "a person") == "cancelled"
    assert await queue.retry(again, "yes", "a person") == "awaiting_approval"
    assert await queue.reject(again, "a person", "no") == "cancelled"
    assert "cancelled" in await queue.explain(again)
    assert (await queue.tend())["reaped"] == 0


async def test_an_act_that_the_status_forbids_says_what_does_work(queue: Queue, worker: FakeWorker) -> None:
    id = await queue.enqueue("a")
    await worker.drain()
    with pytest.raises(NotAnArrow, match=r"cannot cancel task .* it is completed") as refused:
        await queue.cancel(id)
    assert "taskq.rerun" in str(refused.value)


async def test_a_person_may_fail_a_task_with_an_error(queue: Queue) -> None:
    id = await queue.enqueue("a person")
    assert await queue.complete(id, error="I could not", actor="a person") == "failed"
    with pytest.raises(TaskFailed, match="I could not"):
        await queue.result(id, timeout=SECONDS)
