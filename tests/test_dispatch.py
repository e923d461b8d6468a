"""Dispatch says of each role what can run and what cannot, and wakes sleepers; a dry run leaves no trace."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, status, statuses
from support import eventually


@pytest.fixture
async def heard(connect):
    """The roles for which the bell rang."""
    said: list[str] = []
    ear = await connect()
    await ear.add_listener("taskq", lambda _c, _p, _n, role: said.append(role))
    return said


async def dispatch(db: asyncpg.Connection) -> dict[str, Any]:
    return {row["role"]: dict(row) for row in await db.fetch("select * from taskq.dispatch()")}


async def check(db: asyncpg.Connection, *tasks: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = await db.fetch("select role, status::text, note from taskq.check_tasks($1)", list(tasks))
    return [tuple(row) for row in rows]


# dispatch


async def test_dispatch_wakes_who_sleeps_where_something_can_run(db, worker, heard):
    await insert(db)
    assert await worker.sleep()
    idle = await FakeWorker(db, "idle").register()
    assert await idle.sleep()
    found = await dispatch(db)
    assert (found[ROLE]["rung"], found["idle"]["rung"]) == (True, False)
    assert found[ROLE]["why"] == "1 can run now: 1 worker, 10 slots"
    assert found["idle"]["why"] == "nothing waits"
    await eventually(lambda: heard == [ROLE])


async def test_dispatch_rings_nobody_when_nobody_sleeps(db, worker):
    await insert(db)
    assert (await dispatch(db))[ROLE]["rung"] is False


async def test_dispatch_says_what_cannot_run_and_why(db, worker):
    parent = await insert(db)
    for _ in range(2):
        await insert(db, depends_on=[parent])
    await insert(db, requires_approval=True)
    await insert(db, run_at=await db.fetchval("select now() + interval '1 h'"))
    found = (await dispatch(db))[ROLE]
    assert (found["ready"], found["scheduled"], found["blocked"], found["awaiting_approval"]) == (1, 1, 2, 1)
    assert found["why"] == (
        "1 can run now: 1 worker, 10 slots; 1 waits for its time; 2 wait for tasks; 1 awaits a person"
    )


async def test_dispatch_names_the_worker_that_is_missing(db):
    await insert(db)
    found = (await dispatch(db))[ROLE]
    assert (found["workers"], found["slots"]) == (0, 0)
    assert found["why"] == "1 could run, but no live worker plays it; start one: taskq worker --roles work"


async def test_dispatch_wakes_nobody_for_a_paused_role_and_says_who_paused_it(db, worker):
    await insert(db)
    await db.execute("select taskq.pause_role($1, 'a bad deploy', 'ada')", ROLE)
    assert await worker.sleep()
    found = (await dispatch(db))[ROLE]
    assert (found["paused"], found["rung"]) == (True, False)
    assert found["why"].startswith("paused by ada since ")
    assert ": a bad deploy; to resume it: select taskq.resume_role('work'); 1 could" in found["why"]


# dry run


async def test_a_dry_run_says_what_would_become_of_a_graph(db, worker):
    one, two, three = map(str, ids(3))
    assert await check(
        db,
        {"id": two, "role": ROLE, "depends_on": [one]},
        {"id": one, "role": ROLE},
        {"id": three, "role": ROLE, "requires_approval": True},
    ) == [(ROLE, "blocked", None), (ROLE, "queued", None), (ROLE, "awaiting_approval", None)]


async def test_a_dry_run_keeps_the_ids_that_were_given(db):
    (task,) = ids(1)
    given = [{"role": ROLE}, {"id": str(task), "role": ROLE}]
    rows = await db.fetch("select id from taskq.check_tasks($1)", given)
    assert rows[0]["id"].version == 7
    assert rows[1]["id"] == task


async def test_a_dry_run_leaves_no_trace_and_wakes_nobody(db, worker, heard, connect):
    assert await worker.sleep()
    async with db.transaction():
        await check(db, {"role": ROLE}, {"role": ROLE, "dedup_key": "k"})
        locks = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
        assert await db.fetchval(locks) == 0
    assert await db.fetchval("select count(*) from taskq.tasks") == 0
    await db.execute("select pg_notify('taskq', 'the end')")
    await eventually(lambda: heard == ["the end"])


async def test_a_dry_run_says_why_a_task_would_not_run_soon(db):
    await db.execute("select taskq.pause_role($1, null, 'ada')", ROLE)
    ((_, found, note),) = await check(db, {"role": ROLE})
    assert found == "queued"
    assert note.startswith("role work is paused by ada since ")
    assert note.endswith("; no live worker plays role work")


async def test_a_dry_run_names_the_live_task_that_has_the_dedup_key(db, worker):
    live = await insert(db, dedup_key="k", requires_approval=True)
    rows = await db.fetch("select * from taskq.check_tasks($1)", [{"role": ROLE, "dedup_key": "k"}])
    assert [(row["id"], row["note"]) for row in rows] == [
        (live, f"would return live task {live}, which has this dedup_key")
    ]


async def test_a_dry_run_shows_what_would_end_at_once(db, worker):
    parent = await insert(db)
    await db.execute("select taskq.cancel($1)", parent)
    ((_, found, note),) = await check(db, {"role": ROLE, "depends_on": [str(parent)]})
    assert found == "cancelled"
    assert note.startswith("would end at once: ")
    assert await db.fetchval("select count(*) from taskq.events where verb = 'cascade'") == 0


async def test_a_dry_run_of_nothing_is_nothing(db):
    assert await check(db) == []


ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "tasks",
    [
        [{"role": ROLE, "colour": "red"}],
        [{"role": ""}],
        [{"role": None}],
        [{"role": ROLE, "payload": []}],
        [{"role": ROLE, "depends_on": [NOBODY]}],
        [{"role": ROLE, "parent_id": NOBODY}],
        [{"role": ROLE, "id": NOBODY, "depends_on": [NOBODY]}],
        [{"role": ROLE, "delay": "soon"}],
        [{"role": ROLE, "dedup_key": "k"}, {"role": ROLE, "dedup_key": "k"}],
    ],
    ids=str,
)
async def test_a_dry_run_refuses_what_enqueue_refuses_in_the_same_words(db, tasks):
    words = []
    for function in ("check_tasks", "enqueue"):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await db.execute(f"select taskq.{function}($1)", tasks)
        words.append((refusal.value.sqlstate, ID.sub("ID", refusal.value.args[0])))
    assert words[0] == words[1]


# amend


async def amend(db, task, payload, reason="a typo", actor="ada"):
    return await db.fetchval("select taskq.amend($1, $2, $3, $4)::text", task, payload, reason, actor)


async def test_a_task_that_has_not_begun_runs_with_the_payload_that_a_person_gave_it(db, worker):
    task = await insert(db, payload={"x": 1})
    assert await amend(db, task, {"x": 2}) == "queued"
    assert (await worker.claim_one())["payload"] == {"x": 2}
    event = await db.fetchrow('select verb, "from"::text, "to"::text, actor, reason from taskq.events')
    assert tuple(event) == ("amend", "queued", "queued", "ada", "a typo")


async def test_what_waits_for_others_or_for_a_person_can_be_amended(db):
    parent = await insert(db, requires_approval=True)
    child = await insert(db, depends_on=[parent])
    assert [await amend(db, task, {"y": 1}) for task in (parent, child)] == ["awaiting_approval", "blocked"]


async def test_a_worker_whose_last_claim_skipped_the_amended_task_is_rung(db, connect, heard):
    worker = await FakeWorker(await connect(), ROLE).register()
    task = await insert(db)
    await worker.exchange(asleep=True)
    transaction = db.transaction()
    await transaction.start()
    await db.execute("select from taskq.tasks where id = $1 for no key update", task)
    assert await worker.claim(1) == []
    await amend(db, task, {})
    await transaction.commit()
    await eventually(lambda: heard == [ROLE])


@pytest.mark.parametrize("begun", ["runs", "was released", "will be retried", "completed"])
async def test_what_has_begun_is_not_amended(db, worker, begun):
    task = await insert(db)
    claim = await worker.claim_one()
    match begun:
        case "was released":
            await worker.release(claim)
        case "will be retried":
            await worker.fail(claim)
        case "completed":
            await worker.complete(claim)
    with pytest.raises(asyncpg.PostgresError, match="cannot amend task") as refusal:
        await amend(db, task, {"x": 2})
    assert refusal.value.sqlstate == "TQ004"
    assert ("taskq.rerun" if begun == "completed" else "taskq.steer") in refusal.value.hint
    assert await db.fetchval("select payload from taskq.tasks") == {}


async def test_a_payload_that_is_no_object_is_refused(db):
    task = await insert(db)
    with pytest.raises(asyncpg.PostgresError, match="must be a JSON object") as refusal:
        await amend(db, task, [1])
    assert refusal.value.sqlstate == "TQ001"
    assert await status(db, task) == "queued"


async def test_a_task_that_was_cancelled_before_it_began_and_retried_can_be_amended(db):
    task = await insert(db)
    await db.execute("select taskq.cancel($1)", task)
    await db.execute("select taskq.retry($1)", task)
    assert await amend(db, task, {"x": 2}) == "queued"
    assert await statuses(db, task) == ["queued"]
