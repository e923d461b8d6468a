"""taskq.wait: a running task waits for others, and holds nothing meanwhile."""

from __future__ import annotations

import asyncpg
import pytest

from graphs import end, insert, insert_end, miscounted, row, status, statuses


async def test_a_task_that_waits_for_others_runs_again_when_they_end_in_whatever_way(db, parents, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    first, second = await insert(db, "parent"), await insert(db, "parent")
    assert await worker.wait(claim, first, second) == "blocked"
    waiting = await row(db, task)
    assert (waiting["waiting_on"], waiting["lease"], waiting["attempt"]) == (2, None, 0)
    one, two = await parents.claim(2)
    await parents.complete(one)
    await parents.fail(two, final=True)
    again = await worker.claim_one()
    assert (again["id"], again["attempt"]) == (task, 1)


async def test_a_task_that_waited_gets_the_results_of_what_it_waited_for(db, parents, worker):
    await insert(db)
    claim = await worker.claim_one()
    child = await insert(db, "parent")
    await worker.wait(claim, child)
    await end(db, parents, child, "completed")
    assert (await worker.claim_one())["parents"] == {str(child): {"from": str(child)}}


async def test_a_task_that_waits_for_what_has_ended_is_queued_at_once(db, parents, worker):
    await insert(db)
    claim = await worker.claim_one()
    assert await worker.wait(claim, await insert_end(db, parents, "failed")) == "queued"
    await worker.claim_one()


async def test_a_task_may_wait_again_and_again(db, parents, worker):
    task = await insert(db, depends_on=[await insert_end(db, parents, "completed")])
    for _ in range(3):
        claim = await worker.claim_one()
        child = await insert(db, "parent")
        await worker.wait(claim, child)
        assert (await row(db, task))["waiting_on"] == 1
        assert not await miscounted(db)
        await end(db, parents, child, "completed")
    assert await status(db, task) == "queued"


async def test_a_task_cannot_wait_for_one_that_waits_for_it(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    child = await insert(db, "child", depends_on=[task])
    grandchild = await insert(db, "child", depends_on=[child])
    before = await row(db, task)
    with pytest.raises(asyncpg.PostgresError, match="waits for it") as refusal:
        await worker.wait(claim, grandchild)
    assert refusal.value.sqlstate == "TQ001"
    assert await row(db, task) == before


async def test_a_task_that_was_asked_to_stop_stops_instead_of_waiting(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    child = await insert(db, "child")
    await db.execute("select taskq.cancel($1, 'no need', 'someone')", task)
    assert await worker.wait(claim, child) == "cancelled"
    assert await status(db, task) == "cancelled"


async def test_a_task_that_waits_for_an_approval_runs_after_it(db, worker):
    task = await insert(db)
    assert await worker.wait(await worker.claim_one()) == "awaiting_approval"
    await db.execute("select taskq.approve($1, 'someone')", task)
    assert (await worker.claim_one())["id"] == task


async def test_the_cascade_passes_a_task_that_waits_as_a_run_dependent(db, parents, worker):
    """A task that waits for its child is not taken down by the child's failure."""
    task = await insert(db)
    dependent = await insert(db, "later", depends_on=[task])
    claim = await worker.claim_one()
    child = await insert(db, "parent")
    await worker.wait(claim, child)
    await db.execute("select taskq.cancel($1)", child)
    assert await statuses(db, task, dependent) == ["queued", "blocked"]
