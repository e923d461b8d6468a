"""Two sessions at the same rows at the same moment: nothing is lost, and nothing happens twice."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fake_worker import FakeWorker, Row
from graphs import ROLE, ids, insert, insert_graph, miscounted, row, status, statuses
from locks import behind
from support import eventually


async def running(
    db: asyncpg.Connection, session: asyncpg.Connection, **columns: Any
) -> tuple[FakeWorker, Row]:
    """A worker on a session, and its one running task."""
    await insert(db, **columns)
    worker = await FakeWorker(session, ROLE).register()
    return worker, await worker.claim_one()


# dependents and the ends of their parents


@pytest.mark.parametrize("ends,becomes", [("completed", "queued"), ("failed", "failed")])
async def test_a_child_inserted_before_its_parents_end_commits_hears_of_it(db, one, two, ends, becomes):
    worker, parent = await running(db, two)
    async with one.transaction():
        child = await insert(one, "child", depends_on=[parent["id"]])
        end = worker.complete(parent) if ends == "completed" else worker.fail(parent, final=True)
        ending = await behind(db, two, end)
    await ending
    assert await statuses(db, parent["id"], child) == [ends, becomes]


@pytest.mark.parametrize("ends,becomes", [("completed", "queued"), ("failed", "failed")])
async def test_a_child_inserted_while_its_parents_end_is_not_committed_sees_it_after(
    db, one, two, ends, becomes
):
    worker, parent = await running(db, two)
    async with two.transaction():
        await (worker.complete(parent) if ends == "completed" else worker.fail(parent, final=True))
        inserting = await behind(db, one, insert(one, "child", depends_on=[parent["id"]]))
    assert await status(db, await inserting) == becomes


async def test_a_child_waits_on_when_its_parents_end_is_rolled_back(db, one, two):
    worker, parent = await running(db, two)
    rollback = two.transaction()
    await rollback.start()
    await worker.complete(parent)
    inserting = await behind(db, one, insert(one, "child", depends_on=[parent["id"]]))
    await rollback.rollback()
    child = await inserting
    assert await status(db, child) == "blocked"
    await worker.complete(parent)
    assert await status(db, child) == "queued"


async def test_two_parents_that_end_at_the_same_time_wake_their_child(db, one, two):
    first, mine = await running(db, one)
    second, yours = await running(db, two)
    child = await insert(db, "child", depends_on=[mine["id"], yours["id"]])
    async with one.transaction():
        await first.complete(mine)
        ending = await behind(db, two, second.complete(yours))
    await ending
    assert await status(db, child) == "queued"


async def test_a_parent_that_completes_and_one_that_fails_at_the_same_time_take_their_child_down(
    db, one, two
):
    first, mine = await running(db, one)
    second, yours = await running(db, two)
    child = await insert(db, "child", depends_on=[mine["id"], yours["id"]])
    async with one.transaction():
        await first.complete(mine)
        ending = await behind(db, two, second.fail(yours, final=True))
    await ending
    assert await status(db, child) == "failed"
    assert not await miscounted(db)


async def test_forty_parents_that_end_on_eight_sessions_wake_their_child_once(db, connect):
    parents = ids(40)
    await insert_graph(db, [(parent, []) for parent in parents])
    child = await insert(db, "child", depends_on=parents)
    workers = [FakeWorker(await connect(), ROLE) for _ in range(8)]
    claims = [await worker.claim(5) for worker in workers]

    async def complete_one_by_one(worker: FakeWorker, tasks: list[Row]) -> None:
        for task in tasks:
            assert not await worker.complete(task)

    await asyncio.gather(*map(complete_one_by_one, workers, claims))
    after = await row(db, child)
    assert (str(after["status"]), after["waiting_on"]) == ("queued", 0)


async def test_children_inserted_while_their_parents_complete_all_run(db, connect):
    """Both as fast as they can: no child is left behind."""
    parents = ids(200)
    await insert_graph(db, [(parent, []) for parent in parents])
    worker, client = FakeWorker(await connect(), ROLE), await connect()

    async def complete_all() -> None:
        while tasks := await worker.claim(3):
            await worker.complete(*tasks)

    async def insert_children() -> list[UUID]:
        return [await insert(client, "child", depends_on=[parent]) for parent in parents]

    _, children = await asyncio.gather(complete_all(), insert_children())
    assert set(await statuses(db, *children)) == {"queued"}


async def test_a_grandchild_inserted_while_a_cascade_waits_falls_too(db, one, two):
    worker, parent = await running(db, two)
    child = await insert(db, "child", depends_on=[parent["id"]])
    async with one.transaction():
        grandchild = await insert(one, "child", depends_on=[child])
        failing = await behind(db, two, worker.fail(parent, final=True))
    await failing
    assert await statuses(db, child, grandchild) == ["failed", "failed"]
    assert not await miscounted(db)


async def test_a_grandchild_inserted_behind_a_cascade_falls_at_once(db, one, two):
    worker, parent = await running(db, two)
    child = await insert(db, "child", depends_on=[parent["id"]])
    async with two.transaction():
        await worker.fail(parent, final=True)
        inserting = await behind(db, one, insert(one, "child", depends_on=[child]))
    assert await status(db, await inserting) == "failed"


async def test_a_retry_of_the_parent_and_a_retry_of_the_child_at_the_same_time_count_right(db, one, two):
    worker, parent = await running(db, two)
    child = await insert(db, "child", depends_on=[parent["id"]])
    await worker.fail(parent, final=True)
    async with one.transaction():
        await one.execute("select taskq.retry($1)", child)
        retrying = await behind(db, two, two.execute("select taskq.retry($1)", parent["id"]))
    await retrying
    assert await statuses(db, parent["id"], child) == ["queued", "blocked"]
    assert not await miscounted(db)


async def test_a_child_retried_while_its_parent_completes_goes_on(db, one, two):
    worker, parent = await running(db, two)
    child = await insert(db, "child", depends_on=[parent["id"]])
    await db.execute("select taskq.cancel($1)", child)
    async with one.transaction():
        await one.execute("select taskq.retry($1)", child)
        ending = await behind(db, two, worker.complete(parent))
    await ending
    assert await status(db, child) == "queued"


async def test_a_child_retried_behind_its_completing_parent_goes_on(db, one, two):
    worker, parent = await running(db, two)
    child = await insert(db, "child", depends_on=[parent["id"]])
    await db.execute("select taskq.cancel($1)", child)
    async with two.transaction():
        await worker.complete(parent)
        retrying = await behind(db, one, one.execute("select taskq.retry($1)", child))
    await retrying
    assert await status(db, child) == "queued"


async def test_two_tasks_that_wait_for_each_others_dependents_do_not_both_wait(db, one, two):
    first, mine = await running(db, one)
    second, yours = await running(db, two)
    behind_mine = await insert(db, "child", depends_on=[mine["id"]])
    behind_yours = await insert(db, "child", depends_on=[yours["id"]])
    async with one.transaction():
        await first.wait(mine, behind_yours)
        waiting = asyncio.ensure_future(second.wait(yours, behind_mine))
        await asyncio.wait([waiting], timeout=0.3)
    with pytest.raises(asyncpg.PostgresError, match="waits for it"):
        await waiting


# claims


async def test_workers_that_claim_at_the_same_time_never_get_the_same_task(db, connect):
    await db.execute("insert into taskq.tasks (role) select $1 from generate_series(1, 1000)", ROLE)
    workers = [FakeWorker(await connect(), ROLE) for _ in range(4)]

    async def claim_all(worker: FakeWorker) -> list[UUID]:
        got: list[UUID] = []
        while tasks := await worker.claim(7):
            got += [task["id"] for task in tasks]
        return got

    claimed = [task for got in await asyncio.gather(*map(claim_all, workers)) for task in got]
    assert len(claimed) == len(set(claimed)) == 1000
    assert await db.fetchval("select count(distinct lease) from taskq.tasks") == 1000


async def test_a_cancel_behind_a_claim_asks_the_running_task_to_stop(db, one, two):
    task = await insert(db)
    worker = FakeWorker(one, ROLE)
    async with one.transaction():
        claim = await worker.claim_one()
        cancelling = await behind(db, two, two.fetchval("select taskq.cancel($1)::text", task))
    assert await cancelling == "in_progress"
    assert await worker.heartbeat(claim) == {None: "unregistered"}
    assert (await row(db, task))["cancel_requested_at"] is not None


async def test_a_claim_passes_over_a_task_that_is_being_cancelled(db, one, two):
    cancelled, other = await insert(db), await insert(db)
    async with one.transaction():
        await one.execute("select taskq.cancel($1)", cancelled)
        assert [task["id"] for task in await FakeWorker(two, ROLE).claim(5)] == [other]
    assert await status(db, cancelled) == "cancelled"


async def test_of_two_approvals_one_is_refused(db, one, two):
    task = await insert(db, requires_approval=True)
    async with one.transaction():
        await one.execute("select taskq.approve($1, 'the first')", task)
        second = await behind(db, two, two.execute("select taskq.approve($1, 'the second')", task))
    with pytest.raises(asyncpg.PostgresError, match="it is queued"):
        await second
    assert (await row(db, task))["approved_by"] == "the first"


async def test_a_cancel_behind_a_retry_has_the_last_word(db, one, two):
    task = await insert(db)
    await db.execute("select taskq.cancel($1)", task)
    async with one.transaction():
        await one.execute("select taskq.retry($1)", task)
        cancelling = await behind(db, two, two.execute("select taskq.cancel($1)", task))
    await cancelling
    assert await status(db, task) == "cancelled"


async def test_a_retry_behind_a_cancel_has_the_last_word(db, one, two):
    task = await insert(db)
    async with one.transaction():
        await one.execute("select taskq.cancel($1)", task)
        retrying = await behind(db, two, two.execute("select taskq.retry($1)", task))
    await retrying
    assert await status(db, task) == "queued"


async def test_a_result_behind_a_reap_is_lost(db, one, two):
    worker, task = await running(db, two)
    await db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s'")
    async with one.transaction():
        assert await one.fetchval("select taskq.reap()") == 1
        completing = await behind(db, two, worker.complete(task, result={"late": True}))
    assert await completing == [task["lease"]]
    assert (await row(db, task["id"]))["result"] is None


async def test_a_reap_passes_over_a_task_that_is_being_completed(db, one, two):
    worker, task = await running(db, two)
    await db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s'")
    async with two.transaction():
        await worker.complete(task)
        assert await one.fetchval("select taskq.reap()") == 0
    assert await status(db, task["id"]) == "completed"


async def test_a_heartbeat_does_not_wait_for_a_row_that_somebody_keeps_locked(db, one, two):
    worker, task = await running(db, two)
    async with one.transaction():
        await one.execute("select from taskq.tasks where id = $1 for update", task["id"])
        assert await asyncio.wait_for(worker.heartbeat(task), 2) == {}


# deduplication


async def insert_with_key(session: asyncpg.Connection) -> UUID:
    return await insert(session, dedup_key="k")


async def enqueue_with_key(session: asyncpg.Connection) -> UUID:
    (task,) = await session.fetchval("select taskq.enqueue($1)", [{"role": ROLE, "dedup_key": "k"}])
    return task


async def test_of_two_inserts_with_a_dedup_key_one_is_refused(db, one, two):
    async with one.transaction():
        await insert_with_key(one)
        second = await behind(db, two, insert_with_key(two))
    with pytest.raises(asyncpg.UniqueViolationError, match="one_live_task_per_dedup_key"):
        await second


async def test_the_second_insert_with_a_dedup_key_stands_when_the_first_is_rolled_back(db, one, two):
    first = one.transaction()
    await first.start()
    await insert_with_key(one)
    second = await behind(db, two, insert_with_key(two))
    await first.rollback()
    assert await status(db, await second) == "queued"


async def test_enqueue_returns_the_task_that_another_session_just_inserted(db, one, two):
    async with one.transaction():
        first = await enqueue_with_key(one)
        second = await behind(db, two, enqueue_with_key(two))
    assert await second == first
    assert await db.fetchval("select count(*) from taskq.tasks") == 1


async def test_enqueue_inserts_when_the_other_sessions_insert_is_rolled_back(db, one, two):
    first = one.transaction()
    await first.start()
    gone = await enqueue_with_key(one)
    second = await behind(db, two, enqueue_with_key(two))
    await first.rollback()
    assert await second != gone
    assert await status(db, await second) == "queued"


async def test_enqueue_always_returns_a_task_while_the_first_ones_keep_ending(db, connect):
    """The live task with the key may end between any two statements of enqueue."""
    worker = FakeWorker(await connect(), ROLE)
    clients = [await connect() for _ in range(3)]
    stop = asyncio.Event()

    async def end_all() -> None:
        while not stop.is_set():
            await worker.drain()

    async def enqueue_many(client: asyncpg.Connection) -> list[UUID]:
        return [await enqueue_with_key(client) for _ in range(150)]

    ending = asyncio.ensure_future(end_all())
    returned = await asyncio.gather(*map(enqueue_many, clients))
    stop.set()
    await ending
    assert None not in [task for tasks in returned for task in tasks]


# awaiting a task


async def final_news(session: asyncpg.Connection) -> list[str]:
    """The ids that channel taskq_final names from now on."""
    heard: list[str] = []
    await session.add_listener("taskq_final", lambda _c, _p, _n, payload: heard.append(payload))
    return heard


async def await_task(session: asyncpg.Connection, task: UUID) -> str:
    return await session.fetchval("select status::text from taskq.await($1)", task)


async def test_a_client_that_awaits_before_the_end_commits_is_told(db, one, two, connect):
    heard = await final_news(await connect())
    worker, task = await running(db, two)
    async with one.transaction():
        assert await await_task(one, task["id"]) == "in_progress"
        ending = await behind(db, two, worker.complete(task))
    await ending
    await eventually(lambda: heard == [str(task["id"])])


async def test_a_client_that_awaits_behind_the_end_sees_it(db, one, two):
    worker, task = await running(db, two)
    async with two.transaction():
        await worker.complete(task)
        awaiting = await behind(db, one, await_task(one, task["id"]))
    assert await awaiting == "completed"


@pytest.mark.parametrize("ends", ["completed", "failed", "cancelled", "fallen"])
async def test_whoever_awaits_is_told_of_every_end_and_only_of_what_is_awaited(db, connect, ends):
    heard = await final_news(await connect())
    parent = await insert(db)
    task = await insert(db, "child", depends_on=[parent]) if ends == "fallen" else parent
    await await_task(db, task)
    worker = FakeWorker(db, ROLE)
    if ends == "cancelled":
        await db.execute("select taskq.cancel($1)", task)
    elif ends == "completed":
        await worker.complete(await worker.claim_one())
    else:
        await worker.fail(await worker.claim_one(), final=True)
    await eventually(lambda: heard)
    assert heard == [str(task)]
