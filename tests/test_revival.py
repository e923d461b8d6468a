"""What fell with its parent comes back with it, and nothing else does."""

from __future__ import annotations

from fake_worker import FakeWorker
from graphs import end, insert, insert_end, miscounted, retry, row, status, statuses


async def test_what_fell_comes_back_with_its_parent_at_any_depth(db, parents, worker):
    parent = await insert(db, "parent")
    chain = [parent]
    for _ in range(5):
        chain.append(await insert(db, depends_on=[chain[-1]]))
    await end(db, parents, parent, "failed")
    await retry(db, parent)
    assert await statuses(db, *chain) == ["queued"] + ["blocked"] * 5
    assert not await miscounted(db)
    await end(db, parents, parent, "completed")
    assert await worker.drain() == 5


async def test_what_fell_with_two_stays_down_until_both_are_retried(db, parents):
    first = await insert_end(db, parents, "failed")
    second = await insert_end(db, parents, "cancelled")
    child = await insert(db, depends_on=[first, second])
    grandchild = await insert(db, depends_on=[child])
    assert await status(db, child) == "failed"
    await retry(db, first)
    assert await statuses(db, first, child, grandchild) == ["queued", "failed", "failed"]
    await retry(db, second)
    assert await statuses(db, child, grandchild) == ["blocked", "blocked"]
    assert (await row(db, child))["waiting_on"] == 2
    for claim in await parents.claim(2):
        await parents.complete(claim)
    assert await status(db, child) == "queued"


async def test_a_diamond_comes_back_whole(db, parents, worker):
    top = await insert(db, "parent")
    left, right = await insert(db, depends_on=[top]), await insert(db, depends_on=[top])
    bottom = await insert(db, depends_on=[top, left, right])
    await end(db, parents, top, "failed")
    assert await statuses(db, left, right, bottom) == ["failed"] * 3
    await retry(db, top)
    assert await statuses(db, left, right, bottom) == ["blocked"] * 3
    assert (await row(db, bottom))["waiting_on"] == 3
    await end(db, parents, top, "completed")
    assert await worker.drain() == 3


async def test_a_run_dependent_that_still_waits_for_others_waits_for_the_retried_one_again(db, parents):
    first = await insert_end(db, parents, "failed")
    other = await insert(db, "other")
    child = await insert(db, depends_on=[first, other], on_dependency_failure="run")
    assert (await row(db, child))["waiting_on"] == 1
    await retry(db, first)
    assert (await row(db, child))["waiting_on"] == 2
    await end(db, parents, first, "failed")
    assert (await row(db, child))["waiting_on"] == 1
    others = FakeWorker(db, "other")
    await others.complete(await others.claim_one())
    assert await status(db, child) == "queued"


async def test_a_run_dependent_that_went_on_is_left_alone_by_a_retry(db, parents, worker):
    first = await insert_end(db, parents, "failed")
    child = await insert(db, depends_on=[first], on_dependency_failure="run")
    claim = await worker.claim_one()
    await retry(db, first)
    await end(db, parents, first, "completed")
    assert await status(db, child) == "in_progress"
    await worker.complete(claim)
    assert await status(db, child) == "completed"


async def test_a_run_dependent_of_a_revived_one_waits_for_it_again(db, parents):
    """top fails, middle falls with it, bottom runs all the same but waits for another task still."""
    top, other = await insert(db, "parent"), await insert(db, "other")
    middle = await insert(db, depends_on=[top])
    bottom = await insert(db, depends_on=[middle, other], on_dependency_failure="run")
    await end(db, parents, top, "failed")
    assert (await row(db, bottom))["waiting_on"] == 1
    await retry(db, top)
    assert (await row(db, bottom))["waiting_on"] == 2
    assert not await miscounted(db)


async def test_a_run_dependent_of_two_revived_ones_waits_for_both_again(db, parents):
    top, other = await insert(db, "parent"), await insert(db, "other")
    left, right = await insert(db, depends_on=[top]), await insert(db, depends_on=[top])
    bottom = await insert(db, depends_on=[left, right, other], on_dependency_failure="run")
    await end(db, parents, top, "failed")
    assert (await row(db, bottom))["waiting_on"] == 1
    await retry(db, top)
    assert (await row(db, bottom))["waiting_on"] == 3
    assert not await miscounted(db)


async def test_a_waiting_dependent_goes_on_when_its_parent_succeeds_in_the_end(db, parents):
    first = await insert_end(db, parents, "cancelled")
    child = await insert(db, depends_on=[first], on_dependency_failure="wait")
    assert (await row(db, child))["waiting_on"] == 1
    await retry(db, first)
    await end(db, parents, first, "completed")
    assert await status(db, child) == "queued"


async def test_what_an_operator_cancelled_is_not_revived_with_its_parent(db, parents):
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent])
    await db.execute("select taskq.cancel($1, 'no need', 'someone')", child)
    await end(db, parents, parent, "failed")
    await retry(db, parent)
    assert await status(db, child) == "cancelled"
    assert not await miscounted(db)


async def test_a_retried_dependent_of_a_failed_parent_waits_for_that_parents_retry(db, parents):
    parent = await insert_end(db, parents, "failed")
    child = await insert(db, depends_on=[parent])
    await retry(db, child)
    assert await status(db, child) == "blocked"
    await retry(db, parent)
    assert (await row(db, child))["waiting_on"] == 1
    await end(db, parents, parent, "completed")
    assert await status(db, child) == "queued"


async def test_a_retried_dependent_falls_again_with_its_parent(db, parents):
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent])
    for _ in range(3):
        await end(db, parents, parent, "failed")
        assert await status(db, child) == "failed"
        await retry(db, parent)
        assert await status(db, child) == "blocked"
    await end(db, parents, parent, "completed")
    assert await status(db, child) == "queued"


async def test_a_rejected_task_that_is_retried_awaits_approval_again(db):
    parent = await insert(db, requires_approval=True)
    child = await insert(db, depends_on=[parent])
    await db.execute("select taskq.reject($1, 'someone', 'no')", parent)
    await retry(db, parent)
    assert await statuses(db, parent, child) == ["awaiting_approval", "blocked"]
