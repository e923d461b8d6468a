"""What waits for a task moves when the task ends, whatever its end and wherever it waits."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import asyncpg
import pytest

from graphs import end, ids, insert, insert_end, insert_graph, miscounted, retry, row, status, statuses

POLICIES = ["fail", "run", "wait"]
AFTER = {  # what becomes of the dependent, by its policy and the parent's end
    ("fail", "completed"): "queued",
    ("run", "completed"): "queued",
    ("wait", "completed"): "queued",
    ("fail", "failed"): "failed",
    ("run", "failed"): "queued",
    ("wait", "failed"): "blocked",
    ("fail", "cancelled"): "cancelled",
    ("run", "cancelled"): "queued",
    ("wait", "cancelled"): "blocked",
}


@pytest.mark.parametrize("policy,how", AFTER)
async def test_a_dependent_follows_its_policy_when_its_parent_ends(db, parents, policy, how):
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent], on_dependency_failure=policy)
    assert (await row(db, child))["waiting_on"] == 1
    await end(db, parents, parent, how)
    assert await status(db, child) == AFTER[policy, how]
    assert not await miscounted(db)


@pytest.mark.parametrize("policy,how", AFTER)
async def test_a_dependent_of_what_ended_long_ago_follows_its_policy_at_once(db, parents, policy, how):
    parent = await insert_end(db, parents, how)
    child = await insert(db, depends_on=[parent], on_dependency_failure=policy)
    assert await status(db, child) == AFTER[policy, how]
    assert not await miscounted(db)


async def test_a_dependent_of_a_running_task_waits_for_its_end(db, parents):
    parent = await insert(db, "parent")
    claim = await parents.claim_one()
    child = await insert(db, depends_on=[parent])
    assert await status(db, child) == "blocked"
    await parents.complete(claim)
    assert await status(db, child) == "queued"


async def test_a_dependent_that_falls_says_what_it_fell_with_and_leaves_an_event(db, parents):
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent])
    await end(db, parents, parent, "failed")
    fallen = await row(db, child)
    assert fallen["error_kind"] == "dependency_failed"
    assert str(parent) in fallen["error"]
    events = await db.fetch(
        'select verb, "from"::text, "to"::text, reason from taskq.events where task_id = $1', child
    )
    assert [tuple(event) for event in events] == [("cascade", "blocked", "failed", fallen["error"])]


async def test_run_dependents_of_what_falls_in_a_cascade_run(db, parents):
    parent = await insert(db, "parent")
    falls = await insert(db, depends_on=[parent])
    runs = await insert(db, depends_on=[falls], on_dependency_failure="run")
    waits = await insert(db, depends_on=[falls], on_dependency_failure="wait")
    await end(db, parents, parent, "failed")
    assert await statuses(db, falls, runs, waits) == ["failed", "queued", "blocked"]
    assert not await miscounted(db)


async def test_a_dependent_of_two_starts_after_the_second(db, parents):
    first, second = await insert(db, "parent"), await insert(db, "parent")
    child = await insert(db, depends_on=[first, second])
    one, two = await parents.claim(2)
    await parents.complete(one)
    assert ((await row(db, child))["waiting_on"], await status(db, child)) == (1, "blocked")
    await parents.complete(two)
    assert ((await row(db, child))["waiting_on"], await status(db, child)) == (0, "queued")


async def test_a_dependency_named_twice_counts_once(db, parents):
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent, parent])
    assert (await row(db, child))["waiting_on"] == 1
    await end(db, parents, parent, "completed")
    assert await status(db, child) == "queued"


async def test_the_results_of_the_parents_come_with_the_claim(db, parents, worker):
    done, failed = await insert_end(db, parents, "completed"), await insert_end(db, parents, "failed")
    await insert(db, depends_on=[done, failed], on_dependency_failure="run")
    claim = await worker.claim_one()
    assert claim["parents"] == {str(done): {"from": str(done)}}


async def test_what_was_unblocked_keeps_a_later_run_at(db, parents):
    parent = await insert(db, "parent")
    later = await db.fetchval("select now() + interval '1 h'")
    child = await insert(db, depends_on=[parent], run_at=later)
    await end(db, parents, parent, "completed")
    assert ((await row(db, child))["run_at"], await status(db, child)) == (later, "queued")


async def test_what_was_unblocked_queues_behind_what_was_ready_before_it(db, parents, worker):
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent])
    ready = await insert(db)
    await end(db, parents, parent, "completed")
    assert [task["id"] for task in await worker.claim(2)] == [ready, child]


async def test_approval_comes_after_the_dependencies(db, parents):
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent], requires_approval=True)
    assert await status(db, child) == "blocked"
    await end(db, parents, parent, "completed")
    assert await status(db, child) == "awaiting_approval"
    await db.execute("select taskq.approve($1, 'someone')", child)
    assert await status(db, child) == "queued"


async def test_a_dependent_of_what_is_rejected_is_cancelled(db):
    parent = await insert(db, requires_approval=True)
    child = await insert(db, depends_on=[parent])
    await db.execute("select taskq.reject($1, 'someone', 'no')", parent)
    assert await statuses(db, parent, child) == ["cancelled", "cancelled"]
    assert (await row(db, parent))["error_kind"] == "rejected"


async def test_a_person_who_completes_a_task_unblocks_its_dependents(db):
    parent = await insert(db, "a_person")
    child = await insert(db, depends_on=[parent])
    await db.execute("select taskq.complete($1, $2, 'someone')", parent, {"said": "yes"})
    assert await status(db, child) == "queued"


# graphs


async def test_a_diamond_ends_once_all_its_sides_have(db, worker):
    top, left, right, bottom = ids(4)
    await insert_graph(db, [(bottom, [left, right]), (right, [top]), (left, [top]), (top, [])])
    assert await statuses(db, top, left, right, bottom) == ["queued", "blocked", "blocked", "blocked"]
    await worker.complete(await worker.claim_one())
    assert await statuses(db, left, right, bottom) == ["queued", "queued", "blocked"]
    assert await worker.drain() == 3
    assert set(await statuses(db, top, left, right, bottom)) == {"completed"}


@pytest.mark.parametrize("order", ["parents first", "dependents first"])
async def test_a_graph_may_be_inserted_in_any_order(db, worker, order):
    chain = ids(20)
    edges = [(task, chain[max(n - 1, 0) : n]) for n, task in enumerate(chain)]
    await insert_graph(db, edges if order == "parents first" else edges[::-1])
    assert await statuses(db, *chain) == ["queued"] + ["blocked"] * 19
    assert await worker.drain() == 20


async def test_a_chain_of_2000_falls_in_one_statement(db, worker):
    chain = ids(2000)
    await insert_graph(db, [(task, chain[max(n - 1, 0) : n]) for n, task in enumerate(chain)])
    started = time.monotonic()
    await worker.fail(await worker.claim_one(), final=True)
    assert time.monotonic() - started < 5
    assert set(await statuses(db, *chain)) == {"failed"}
    assert await db.fetchval("select count(*) from taskq.events where verb = 'cascade'") == 1999


async def test_5000_dependents_fall_with_their_parent_and_come_back_with_it(db, parents):
    parent = await insert(db, "parent")
    children = ids(5000)
    await insert_graph(db, [(child, [parent]) for child in children])
    started = time.monotonic()
    await end(db, parents, parent, "failed")
    assert set(await statuses(db, *children)) == {"failed"}
    await retry(db, parent)
    assert set(await statuses(db, *children)) == {"blocked"}
    await end(db, parents, parent, "completed")
    assert set(await statuses(db, *children)) == {"queued"}
    assert time.monotonic() - started < 10


async def test_10000_to_1_and_1_to_10000_take_seconds(db, worker):
    first, last, many = uuid4(), uuid4(), ids(10_000)
    started = time.monotonic()
    await insert_graph(db, [(last, many), (first, []), *((task, [first]) for task in many)])
    while tasks := await worker.claim(500):
        await worker.complete(*tasks)
    assert await status(db, last) == "completed"
    assert time.monotonic() - started < 20


# what is refused


async def refused(db: asyncpg.Connection, edges: list[tuple[UUID, list[UUID]]]) -> str:
    """The message of the refusal, which wrote nothing."""
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await insert_graph(db, edges)
    assert refusal.value.sqlstate == "TQ001"
    assert refusal.value.hint
    assert await db.fetchval("select count(*) from taskq.tasks") == 0
    assert await db.fetchval("select count(*) from taskq.dependencies") == 0
    return str(refusal.value)


async def test_an_unknown_dependency_is_refused_by_name_and_nothing_is_written(db):
    good, bad, unknown = ids(3)
    message = await refused(db, [(good, []), (bad, [good, unknown])])
    assert f"task {bad} depends on {unknown}, which does not exist" in message


async def test_a_null_dependency_is_refused(db):
    with pytest.raises(asyncpg.PostgresError, match="depends on null") as refusal:
        await db.execute("insert into taskq.tasks (role, depends_on) values ('work', array[null::uuid])")
    assert refusal.value.sqlstate == "TQ001"


async def test_a_task_that_depends_on_itself_is_refused(db):
    good, bad = ids(2)
    assert f"task {bad} depends on itself" in await refused(db, [(good, []), (bad, [good, bad])])


async def test_a_cycle_is_refused_and_its_tasks_are_named(db):
    start, one, two, three = ids(4)
    message = await refused(db, [(start, []), (one, [start, three]), (two, [one]), (three, [two])])
    assert "cycle" in message
    assert {str(task) in message for task in (one, two, three)} == {True}
    assert str(start) not in message


async def test_a_cycle_among_10000_tasks_is_found_fast(db):
    tasks = ids(10_000)
    edges = [(task, tasks[max(n - 3, 0) : n]) for n, task in enumerate(tasks)]
    edges[5000][1].append(tasks[5010])
    started = time.monotonic()
    assert "cycle" in await refused(db, edges)
    assert time.monotonic() - started < 5


async def test_a_graph_with_more_paths_than_atoms_in_the_universe_is_taken_fast(db):
    """Layers, each task depending on all of the layer before: 10^300 paths."""
    layers = [ids(10) for _ in range(300)]
    edges = [(task, layers[n - 1] if n else []) for n, layer in enumerate(layers) for task in layer]
    started = time.monotonic()
    await insert_graph(db, edges)
    assert time.monotonic() - started < 10
    assert not await miscounted(db)
