"""With 200,000 tasks in the table a call reads what it needs and no more, whatever the planner believes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

import backend
from conftest import hang_up, open_plain
from fake_worker import FakeWorker
from graphs import ids, insert, insert_graph
from plans import Explained

ROLES = [f"role_{n}" for n in range(10)]
FILL = """
    alter table taskq.tasks disable trigger user;

    insert into taskq.tasks (id, mission_id, role, status, run_at, max_attempts, timeout, started_at,
                             finished_at, error_kind, lease, lease_expires_at, worker_id, waiting_on)
    select id, id, 'role_' || n % 10, status, now() + starts + n * interval '1 ms', 4, '30 min',
           case when status in ('completed', 'failed', 'in_progress') then now() end,
           case status when 'completed' then now() - interval '1 day' + n * interval '785 ms'
                       when 'failed' then now() end,
           case when status = 'failed' then 'unknown' end,
           case when status = 'in_progress' then nextval('taskq.lease_numbers') end,
           case when status = 'in_progress' then now() + interval '1 day' end,
           case when status = 'in_progress' then '00000000-0000-0000-0000-000000000000'::uuid end,
           case when status = 'blocked' then 1 else 0 end
    from (values ('completed'::taskq.status, 110000, interval '-1 day'), ('failed', 3000, '-1 day'),
                 ('queued', 30000, '-1 h'), ('queued', 50000, '1 day'), ('blocked', 5000, '0'),
                 ('awaiting_approval', 1700, '0'), ('in_progress', 300, '0')) kinds (status, count, starts),
         generate_series(1, count) n, lateral (select taskq.uuid7() as id where n > 0) u;

    insert into taskq.dependencies (task_id, depends_on, on_failure)
    select b.id, p.id, 'fail'
    from (select id, row_number() over () as n from taskq.tasks where status = 'blocked') b
    join (select id, row_number() over () as n from taskq.tasks
          where status = 'queued' and run_at > now()) p using (n);
    update taskq.tasks set has_dependents = true where id in (select depends_on from taskq.dependencies);

    update taskq.tasks
    set mission_id = (select id from taskq.tasks where status = 'failed' order by id limit 1)
    where id in (select id from taskq.tasks where status = 'completed' order by id desc limit 100);

    alter table taskq.tasks enable trigger user;
"""


@pytest.fixture(scope="module")
def big(databases):
    """The address of a database with 200,000 tasks: made once for all processes of this run."""
    name = f"{databases.template}_big"

    async def fill() -> None:
        await databases.execute(f'create database "{name}" template "{databases.template}"')
        session = await open_plain(databases.dsn(name))
        await session.execute(FILL)
        await session.execute("vacuum analyze")
        await hang_up(session)

    with backend.alone("fill"):
        done = backend.run_directory() / "big"
        if not done.exists():
            asyncio.run(fill())
            done.touch()
    return databases.dsn(name)


@pytest.fixture
async def explained(big):
    """A session that tells its plans; what it does is rolled back."""
    with backend.alone("plans"):
        session = await open_plain(big)
        explained = Explained(session)
        await explained.start()
        undo = session.transaction()
        await undo.start()
        yield explained
        await undo.rollback()
        await hang_up(session)


class Stage:
    """What the calls below need: a session, a worker of all roles, and tasks by status."""

    def __init__(self, db: asyncpg.Connection) -> None:
        self.db = db
        self.worker = FakeWorker(db, *ROLES)

    async def some(self, status: str, count: int = 1, also: str = "true") -> list[UUID]:
        """Tasks of this status."""
        query = f"select id from taskq.tasks where status = $1::text::taskq.status and {also} limit $2"  # noqa: S608
        return [row["id"] for row in await self.db.fetch(query, status, count)]

    async def call(self, function: str, *args: object) -> Callable[[], Awaitable[object]]:
        marks = ", ".join(f"${n}" for n in range(1, len(args) + 1))
        return lambda: self.db.execute(f"select from taskq.{function}({marks})", *args)


# Each prepares what it needs and returns the call whose plans are looked at.

Act = Callable[[], Awaitable[object]]


async def claim(stage: Stage) -> Act:
    return lambda: stage.worker.claim(20)


async def claim_from_floors(stage: Stage) -> Act:
    last = (await stage.worker.claim(20))[-1]
    floors = [(role, 0, last["run_at"]) for role in ROLES]
    return lambda: stage.worker.exchange(want=20, floors=floors)


async def look_for_what_is_due(stage: Stage) -> Act:
    stage.worker.roles = ["nobody", "plays", "these"]
    return lambda: stage.worker.exchange(want=20, asleep=True)


async def claim_beside_a_paused_role(stage: Stage) -> Act:
    await stage.db.execute("select taskq.pause_role('role_1')")
    return lambda: stage.worker.claim(20)


async def look_for_what_is_due_beside_a_paused_role(stage: Stage) -> Act:
    await stage.db.execute("select taskq.pause_role('these')")
    return await look_for_what_is_due(stage)


async def complete(stage: Stage) -> Act:
    tasks = await stage.worker.claim(50)
    return lambda: stage.worker.complete(*tasks, result={"n": 1})


async def complete_what_others_wait_for(stage: Stage) -> Act:
    parent, *children = ids(101)
    await insert_graph(stage.db, [(parent, []), *((child, [parent]) for child in children)], role="fan")
    parents = FakeWorker(stage.db, "fan")
    task = await parents.claim_one()
    return lambda: parents.exchange([(task, None)], want=10)


async def complete_what_one_waits_for(stage: Stage) -> Act:
    child, *parents = ids(101)
    await insert_graph(stage.db, [(child, parents), *((parent, []) for parent in parents)], role="fan")
    worker = FakeWorker(stage.db, "fan")
    tasks = await worker.claim(50)
    return lambda: worker.complete(*tasks)


async def fail_for_another_attempt(stage: Stage) -> Act:
    (task,) = await stage.worker.claim(1)
    return lambda: stage.worker.fail(task)


async def fail_with_a_cascade(stage: Stage) -> Act:
    chain = ids(100)
    await insert_graph(
        stage.db, [(task, chain[max(n - 1, 0) : n]) for n, task in enumerate(chain)], role="chain"
    )
    worker = FakeWorker(stage.db, "chain")
    task = await worker.claim_one()
    return lambda: worker.fail(task, final=True)


async def release(stage: Stage) -> Act:
    tasks = await stage.worker.claim(50)
    return lambda: stage.worker.release(*tasks)


async def wait(stage: Stage) -> Act:
    (task,) = await stage.worker.claim(1)
    others = await stage.some("queued", 5)
    return lambda: stage.worker.wait(task, *others)


async def heartbeat(stage: Stage) -> Act:
    await stage.worker.register()
    tasks = await stage.worker.claim(50)
    return lambda: stage.worker.heartbeat(*tasks)


async def reap_nothing(stage: Stage) -> Act:
    await stage.worker.register()
    return await stage.call("reap")


async def reap_what_lapsed(stage: Stage) -> Act:
    tasks = await stage.worker.claim(20)
    await stage.db.execute(
        "update taskq.tasks set lease_expires_at = now() - interval '1 s' where id = any($1)",
        [task["id"] for task in tasks],
    )
    return await stage.call("reap")


async def watch(stage: Stage) -> Act:
    await stage.worker.register()
    return await stage.call("watch", stage.worker.id)


async def insert_one(stage: Stage) -> Act:
    return lambda: insert(stage.db, "role_1")


async def insert_a_child_of_many(stage: Stage) -> Act:
    parents = await stage.some("queued", 20) + await stage.some("completed", 20)
    return lambda: insert(stage.db, "role_1", depends_on=parents)


async def insert_a_child_of_what_failed(stage: Stage) -> Act:
    parents = await stage.some("failed", 1)
    return lambda: insert(stage.db, "role_1", depends_on=parents)


async def insert_a_graph(stage: Stage) -> Act:
    tasks = ids(100)
    edges = [(task, tasks[max(n - 3, 0) : n]) for n, task in enumerate(tasks)]
    return lambda: insert_graph(stage.db, edges, role="graph")


async def insert_into_a_mission(stage: Stage) -> Act:
    (parent,) = await stage.some("completed", 1)
    return lambda: insert(stage.db, "role_1", parent_id=parent)


async def enqueue_with_a_dedup_key(stage: Stage) -> Act:
    return await stage.call("enqueue", [{"role": "role_1", "dedup_key": "k"}, {"role": "role_2"}])


async def cancel(stage: Stage) -> Act:
    return await stage.call("cancel", *await stage.some("queued", 1, "has_dependents"))


async def retry(stage: Stage) -> Act:
    (parent,) = await stage.some("queued", 1, "has_dependents")
    await stage.db.execute("select taskq.cancel($1)", parent)
    return await stage.call("retry", parent)


async def approve(stage: Stage) -> Act:
    return await stage.call("approve", *await stage.some("awaiting_approval"))


async def requeue(stage: Stage) -> Act:
    return await stage.call("requeue", *await stage.some("in_progress"))


async def complete_by_hand(stage: Stage) -> Act:
    return await stage.call("complete", *await stage.some("queued", 1, "has_dependents"))


async def rerun(stage: Stage) -> Act:
    return await stage.call("rerun", *await stage.some("failed"))


async def await_one(stage: Stage) -> Act:
    return await stage.call("await", *await stage.some("queued"))


def explain(status: str) -> Callable[[Stage], Awaitable[Act]]:
    async def explain_one(stage: Stage) -> Act:
        await stage.worker.register()
        return await stage.call("explain", *await stage.some(status))

    explain_one.__name__ = f"explain_{status}"
    return explain_one


async def find_by_mission(stage: Stage) -> Act:
    (mission,) = await stage.db.fetchrow("select mission_id from taskq.tasks where mission_id <> id limit 1")
    find = (
        "select id from taskq.tasks where id = any(array("
        "select m.id from taskq.tasks m where m.mission_id = $1 and m.mission_id <> m.id) || $1)"
    )
    return lambda: stage.db.fetch(find, mission)


async def find_what_finished_lately(stage: Stage) -> Act:
    find = "select id from taskq.tasks where finished_at > now() - interval '5 min'"
    return lambda: stage.db.fetch(find)


def look_at(view: str) -> Callable[[Stage], Awaitable[Act]]:
    async def look(stage: Stage) -> Act:
        return lambda: stage.db.fetch(f"select * from taskq.{view} limit 20")  # noqa: S608

    look.__name__ = f"look_at_{view}"
    return look


CALLS: list[tuple[Callable[[Stage], Awaitable[Act]], int]] = [  # and how many pages each may touch
    (claim, 600), (claim_from_floors, 600), (look_for_what_is_due, 50),
    (claim_beside_a_paused_role, 600), (look_for_what_is_due_beside_a_paused_role, 50), (complete, 1500),
    (complete_what_others_wait_for, 5000), (complete_what_one_waits_for, 1700),
    (fail_for_another_attempt, 150), (fail_with_a_cascade, 12000), (release, 3000),
    (wait, 800), (heartbeat, 3000), (reap_nothing, 60),
    (reap_what_lapsed, 3500), (watch, 30), (insert_one, 30), (insert_a_child_of_many, 1000),
    (insert_a_child_of_what_failed, 120), (insert_a_graph, 5000), (insert_into_a_mission, 60),
    (enqueue_with_a_dedup_key, 100), (cancel, 300), (retry, 1000), (approve, 100), (requeue, 100),
    (complete_by_hand, 200), (rerun, 100), (await_one, 60), (explain("queued"), 600),
    (explain("blocked"), 300), (explain("in_progress"), 30), (explain("failed"), 30),
    (find_by_mission, 600), (find_what_finished_lately, 600), (look_at("running"), 60),
    (look_at("stuck"), 60),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("prepare,pages", CALLS, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_call_reads_by_index(explained, prepare, pages, mode):
    """Neither the plan for any arguments nor the one for these reads the table from end to end."""
    act = await prepare(Stage(explained.session))
    await explained.session.execute(f"set local plan_cache_mode = {mode}")
    plans = await explained.plans_of(act)
    assert plans.scans == []
    assert plans.pages <= pages


async def test_a_claim_walks_the_ready_index_and_locks_no_more_than_it_takes(explained):
    worker = FakeWorker(explained.session, "role_1")
    plans = await explained.plans_of(lambda: worker.claim(10))
    (update,) = [text for text in plans.texts if "set status = 'in_progress'" in text]
    assert "Index Scan using tasks_pkey on tasks t" in update
    assert "using ready on tasks q" in update
    assert re.search(r"LockRows .*actual rows=10(\.00)? ", update)


async def test_a_batch_is_completed_by_primary_key(explained):
    """Not from an index of running rows, which is quadratic."""
    worker = FakeWorker(explained.session, *ROLES)
    tasks = await worker.claim(200)
    plans = await explained.plans_of(lambda: worker.complete(*tasks))
    (update,) = [text for text in plans.texts if "set status = 'completed'" in text]
    assert "Index Scan using tasks_pkey on tasks t" in update
    assert "a_lease_is_held_once" not in update


async def test_claims_from_a_floor_do_not_pay_for_the_dead_entries_before_it(db, connect):
    """A held snapshot keeps all claimed entries in the ready index; the floor jumps over them."""
    await db.execute(
        "insert into taskq.tasks (role, run_at) select 'work', now() - interval '1 h' + n * interval '1 ms' "
        "from generate_series(1, 4000) n order by random()"
    )
    await db.execute("vacuum analyze taskq.tasks")
    holder, explained = await connect(), Explained(db)
    await explained.start()
    await holder.execute("begin isolation level repeatable read")
    await holder.execute("select count(*) from taskq.laid")
    worker = FakeWorker(db, "work")
    claims = await worker.claim(3000)
    await worker.complete(*claims)
    floors = [("work", 0, max(task["run_at"] for task in claims))]
    from_the_floor = await explained.plans_of(lambda: worker.claim(10, floors=floors))
    from_the_beginning = await explained.plans_of(lambda: worker.claim(10))
    assert from_the_floor.pages < 500
    assert from_the_floor.pages * 5 < from_the_beginning.pages
