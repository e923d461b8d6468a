"""Children: spawned once, waited for without a slot, cancelled and retried with their parent."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from cli_runner import Taskq
from durable_stage import pool as pool
from durable_task import durable_task
from fake_worker import FakeWorker, Row
from graphs import ROLE, insert, miscounted, row, status, statuses
from locks import behind
from support import eventually
from taskq import App, Done, Fail, Task
from taskq.database import Pool
from taskq.errors import InvalidTask, Suspended
from worker_process import play, working

HOUR = timedelta(hours=1)
CHILD = {"role": "child"}


class Family:
    """A parent's worker and its children's, step by step."""

    def __init__(self, db: asyncpg.Connection, pool: Pool) -> None:
        self.db, self.pool = db, pool
        self.parents, self.children = FakeWorker(db, ROLE), FakeWorker(db, "child")

    async def attempt(self) -> Task:
        return durable_task(self.pool, self.parents, await self.parents.claim_one())[0]

    async def suspend(self, *tasks: dict[str, Any]) -> tuple[UUID, list[UUID]]:
        """A parent that waits for these children: its id and theirs, in order."""
        task = await self.attempt()
        with pytest.raises(Suspended):
            await task.spawn(list(tasks))
        return task.id, await self.of(task.id)

    async def of(self, parent: UUID) -> list[UUID]:
        rows = await self.db.fetch("select id from taskq.tasks where parent_id = $1 order by id", parent)
        return [child[0] for child in rows]

    async def children_end(self, result: Any = None) -> None:
        while claims := await self.children.claim(100):
            await self.children.complete(*claims, result=result)

    async def call(self, claim: Row, key: str = "k", tasks: Any = (CHILD, CHILD)) -> Row:
        return await self.db.fetchrow(
            "select * from taskq.spawn($1, $2, $3, $4, $5)",
            self.parents.id, claim["id"], claim["lease"], key, list(tasks),
        )  # fmt: skip


@pytest.fixture
async def family(db, pool) -> Family:
    await insert(db)
    family = Family(db, pool)
    await family.parents.register()
    await family.children.register()
    return family


# children


async def test_a_parent_waits_without_a_slot_and_gets_its_childrens_results_in_order(family, db):
    parent, children = await family.suspend(
        *({**CHILD, "name": str(n), "payload": {"n": n}, "delay": timedelta(0)} for n in range(3))
    )
    at = await row(db, parent)
    assert (at["status"], at["waiting_on"], at["attempt"], at["lease"]) == ("blocked", 3, 0, None)
    for child in children:
        told = await row(db, child)
        assert (told["parent_id"], told["mission_id"], told["created_by"]) == (parent, parent, ROLE)
    while claims := await family.children.claim(1):
        await family.children.complete(*claims, result=claims[0]["name"])
    task = await family.attempt()
    assert await task.spawn([CHILD] * 3) == [
        Done(child, "completed", str(n), None, None) for n, child in enumerate(children)
    ]
    assert await family.of(parent) == children


async def test_how_children_ended_badly_is_an_outcome_too(family, queue):
    _, (one, two, three) = await family.suspend(CHILD, CHILD, CHILD)
    await queue.complete(one, {"x": 1})
    await queue.complete(two, error="no")
    await queue.cancel(three, "no need")
    outcomes = await (await family.attempt()).spawn([])
    assert [(o.status, o.result, o.error_kind, o.error) for o in outcomes] == [
        ("completed", {"x": 1}, None, None),
        ("failed", None, "unknown", "no"),
        ("cancelled", None, "cancelled", "no need"),
    ]


async def test_the_same_key_in_a_later_lease_is_the_same_children(family, db):
    first = await family.call(await family.parents.claim_one())
    assert first["waits"] and len(first["children"]) == 2
    await family.children_end()
    claim = await family.parents.claim_one()
    assert tuple(await family.call(claim)) == (first["children"], False)
    assert tuple(await family.call(claim)) == (first["children"], False)
    assert await db.fetchval("select count(*) from taskq.tasks where role = 'child'") == 2
    done = await db.fetchrow("select kind, done_at from taskq.steps")
    assert done["kind"] == "spawn" and done["done_at"]


async def test_another_key_is_more_children(family, db):
    task = await family.attempt()
    with pytest.raises(Suspended):
        await task.spawn([CHILD], key="one")
    await family.children_end()
    task = await family.attempt()
    assert len(await task.spawn([CHILD], key="one")) == 1
    with pytest.raises(Suspended):
        await task.spawn([CHILD, CHILD], key="two")
    assert (await row(db, task.id))["waiting_on"] == 2
    assert not await miscounted(db)


async def test_children_may_depend_on_each_other(family, db):
    first, second = uuid4(), uuid4()
    parent, _ = await family.suspend({**CHILD, "id": second, "depends_on": [first]}, {**CHILD, "id": first})
    assert await statuses(db, first, second, parent) == ["queued", "blocked", "blocked"]
    await family.children.fail(await family.children.claim_one(), final=True)
    outcomes = await (await family.attempt()).spawn([])
    assert [(o.id, o.error_kind) for o in outcomes] == [(second, "dependency_failed"), (first, "unknown")]


async def test_no_children_are_nothing_to_wait_for(family, db):
    assert await (await family.attempt()).spawn([]) == []
    assert await db.fetchval("select count(*) from taskq.tasks") == 1


async def test_a_child_cannot_wait_for_its_parent(family, db):
    task = await family.attempt()
    with pytest.raises(InvalidTask, match="cannot wait for a task that waits for it"):
        await task.spawn([{**CHILD, "depends_on": [task.id]}])
    assert await db.fetchval("select count(*) from taskq.tasks") == 1
    assert await db.fetchval("select count(*) from taskq.steps") == 0


async def test_at_most_a_hundred_children(family, db):
    task = await family.attempt()
    with pytest.raises(InvalidTask, match="would have 101 children: the cap is 100"):
        await task.spawn([CHILD] * 101)
    with pytest.raises(Suspended):
        await task.spawn([CHILD] * 60, key="sixty")
    await family.children_end()
    with pytest.raises(InvalidTask, match="would have 101 children"):
        await (await family.attempt()).spawn([CHILD] * 41)


async def test_at_most_eight_levels(family, db):
    task = await family.attempt()
    for _ in range(8):
        with pytest.raises(Suspended):
            await task.spawn([{"role": ROLE}])
        task = await family.attempt()
    with pytest.raises(InvalidTask, match="is 8 levels below its root"):
        await task.spawn([{"role": ROLE}])
    assert await db.fetchval("select count(distinct mission_id) from taskq.tasks") == 1


async def test_what_is_no_task_is_refused_with_nothing_written(family, db):
    task = await family.attempt()
    for wrong, error in [
        ([{"name": "nobody"}], InvalidTask),
        ([{**CHILD, "colour": "red"}], InvalidTask),
        ([{**CHILD, "payload": {"x": "\0"}}], InvalidTask),
        ([{**CHILD, "payload": {"x": object()}}], Fail),
    ]:
        with pytest.raises(error):
            await task.spawn(wrong, key=uuid4().hex)
    assert await db.fetchval("select count(*) from taskq.steps") == 0


async def test_one_worker_with_one_slot_finishes_a_three_level_tree(dsn, queue, db):
    app = App()

    @app.role("tree")
    async def tree(task: Task) -> int:
        depth = task.payload["depth"]
        if depth == 0:
            return 1
        grown = await task.spawn([{"role": "tree", "payload": {"depth": depth - 1}}] * 3)
        return sum(child.result for child in grown)

    async with working(app, dsn, concurrency=1):
        assert (await play(queue, "tree", {"depth": 3})).result == 27
    assert await db.fetchval("select count(*) from taskq.tasks where status = 'completed'") == 40
    assert await db.fetchval("select max(attempt) from taskq.tasks") == 1


async def test_a_worker_that_dies_as_it_spawns_leaves_one_set_of_children(family, db):
    """The answer to the first call never came: the worker is reaped, and the next attempt asks again."""
    claim = await family.parents.claim_one()
    lost = await family.call(claim)
    assert await family.parents.complete(claim) == [claim["lease"]]
    await db.execute("select taskq.tend()")
    await family.children_end()
    assert tuple(await family.call(await family.parents.claim_one())) == (lost["children"], False)
    assert await db.fetchval("select count(*) from taskq.tasks where role = 'child'") == 2


# cancel and retry


async def test_cancel_takes_children_of_any_depth_with_it(family, db, queue):
    parent, (waiting, running) = await family.suspend(CHILD, CHILD)
    claims = await family.children.claim(2)
    child, _ = durable_task(family.pool, family.children, claims[0])
    with pytest.raises(Suspended):
        await child.spawn([{"role": "grandchild"}, {"role": "grandchild"}])
    grandchildren = await family.of(child.id)
    await queue.complete(grandchildren[0], 1)
    assert await queue.cancel(parent, "enough", "ann") == "cancelled"
    assert await statuses(db, parent, waiting, running, *grandchildren) == [
        "cancelled", "cancelled", "in_progress", "completed", "cancelled",
    ]  # fmt: skip
    assert await family.children.heartbeat(claims[1]) == {claims[1]["lease"]: "cancel"}
    assert await family.children.stop(claims[1]) == "cancelled"
    errors = await db.fetch("select error from taskq.tasks where id = any($1)", [waiting, running])
    assert {error[0] for error in errors} == {f"its parent {parent} was cancelled"}
    assert await db.fetchval("select actor from taskq.events where task_id = $1", grandchildren[1]) == "ann"
    assert not await miscounted(db)


async def test_a_preview_shows_the_children_too(family, dsn, db, queue):
    parent, (done, child) = await family.suspend(CHILD, CHILD)
    await queue.complete(done)
    behind_it = await insert(db, "behind", depends_on=[child])
    (fact,) = await Taskq(dsn).json("cancel", parent, "--preview")
    assert {task["id"] for task in fact["takes_with"]} == {str(child), str(behind_it)}
    await queue.cancel(parent)
    assert await statuses(db, parent, done, child, behind_it) == [
        "cancelled", "completed", "cancelled", "cancelled",
    ]  # fmt: skip


async def test_what_only_names_it_as_its_parent_is_not_cancelled(family, db, queue):
    parent, (child,) = await family.suspend(CHILD)
    inserted = await insert(db, "other", parent_id=parent)
    await queue.cancel(parent)
    assert await statuses(db, child, inserted) == ["cancelled", "queued"]


async def test_a_retried_parent_gets_the_children_back_that_fell_with_it(family, db, queue):
    first, second, third = sorted(uuid4() for _ in range(3))
    parent, _ = await family.suspend(
        {**CHILD, "id": first},
        {**CHILD, "id": second, "depends_on": [first], "on_dependency_failure": "run"},
        {**CHILD, "id": third, "depends_on": [first]},
        {"role": "other", "name": "not wanted"},
    )
    unwanted = await db.fetchval("select id from taskq.tasks where role = 'other'")
    await queue.cancel(unwanted)
    child, _ = durable_task(family.pool, family.children, await family.children.claim_one())
    with pytest.raises(Suspended):
        await child.spawn([{"role": "grandchild"}])
    (grandchild,) = await family.of(child.id)
    await queue.cancel(parent)
    everybody = parent, first, second, third, grandchild, unwanted
    assert await statuses(db, *everybody) == ["cancelled"] * 6
    assert await queue.retry(parent) == "blocked"
    assert await statuses(db, *everybody) == ["blocked"] * 4 + ["queued", "cancelled"]
    assert not await miscounted(db)
    await queue.complete(grandchild)
    await family.children_end()
    outcomes = await (await family.attempt()).spawn([])
    assert [o.status for o in outcomes] == ["completed"] * 3 + ["cancelled"]


async def test_a_child_that_is_retried_is_waited_for_again(family, db, queue):
    """A parent that failed for its child's failure, retried after the child was: it gets the new outcome."""
    parent, (child,) = await family.suspend(CHILD)
    await queue.complete(child, error="no")
    await family.parents.fail(await family.parents.claim_one(), final=True)
    await queue.retry(child)
    assert await queue.retry(parent) == "blocked"
    assert not await miscounted(db)
    await family.children_end(result=5)
    assert [o.result for o in await (await family.attempt()).spawn([CHILD])] == [5]


async def test_a_rerun_parent_spawns_children_of_its_own(family, db, queue):
    await queue.cancel(await db.fetchval("select id from taskq.tasks"))
    parent = await insert(db, on_dependency_failure="run")
    assert (await family.suspend(CHILD))[0] == parent
    await family.children_end()
    await family.parents.complete(await family.parents.claim_one())
    again = await queue.rerun(parent)
    assert (await row(db, again))["depends_on"] == []
    assert (await family.suspend(CHILD))[0] == again
    assert len(await family.of(again)) == 1


async def test_a_fork_after_the_children_takes_their_outcomes_over(family, db, queue):
    parent, (child,) = await family.suspend(CHILD)
    await family.children_end(result=5)
    task = await family.attempt()
    await task.spawn([CHILD])
    await task.step("after", lambda: 1)
    fork = await queue.fork(parent, "after")
    assert (await row(db, fork))["depends_on"] == []
    task = await family.attempt()
    assert task.id == fork
    assert [(o.id, o.result) for o in await task.spawn([CHILD])] == [(child, 5)]
    assert await family.of(fork) == []


async def test_explain_names_the_children(family, queue):
    parent, (child,) = await family.suspend(CHILD)
    assert f"waits for 1 of its dependencies: child {child} (queued)" in await queue.explain(parent)


# at the same moment


async def test_a_cancel_and_the_end_of_a_child_do_not_meet_in_a_deadlock(family, db, connect):
    one, two = await connect(), await connect()
    parent, (child,) = await family.suspend(CHILD)
    worker = FakeWorker(two, "child")
    claim = await worker.claim_one()
    async with two.transaction():
        await two.execute("select from taskq.tasks where id = $1 for no key update", child)
        cancelling = await behind(db, one, one.fetchval("select taskq.cancel($1)::text", parent))
        await worker.complete(claim)
    assert await cancelling == "cancelled"
    assert await statuses(db, parent, child) == ["cancelled", "completed"]


async def test_children_that_end_while_others_cancel_their_parents(dsn, queue, db, connect):
    """Many at once: whatever comes first, nothing is stuck and nothing is left."""
    app = App()

    @app.role("parent")
    async def parent(task: Task) -> int:
        return len(await task.spawn([{"role": "leaf"}] * 3))

    @app.role("leaf")
    async def leaf(task: Task) -> None:
        await asyncio.sleep(0.01)

    sessions = [await connect() for _ in range(4)]
    async with working(app, dsn, concurrency=8):
        ids = [await queue.enqueue("parent") for _ in range(40)]

        async def cancel(session: asyncpg.Connection, mine: list[UUID]) -> None:
            for id in mine:
                await eventually(lambda id=id: has_begun(session, id))
                if await status(session, id) != "completed":
                    try:
                        await session.execute("select taskq.cancel($1)", id)
                    except asyncpg.PostgresError as error:
                        assert error.sqlstate == "TQ004", error

        await asyncio.gather(*(cancel(session, ids[n::8]) for n, session in enumerate(sessions)))
        await eventually(lambda: all_ended(db), timeout=20)
    assert not await miscounted(db)
    assert {(await row(db, id))["status"] for id in ids} <= {"completed", "cancelled"}


async def has_begun(session: asyncpg.Connection, id: UUID) -> bool:
    return await session.fetchval("select started_at is not null from taskq.tasks where id = $1", id)


async def all_ended(db: asyncpg.Connection) -> bool:
    return not await db.fetchval("select count(*) from taskq.tasks where finished_at is null")
