"""What people look at."""

from __future__ import annotations

import pytest

from fake_worker import FakeWorker
from graphs import ROLE, insert


@pytest.fixture
async def worker(db):
    return await FakeWorker(db, ROLE).register(name="host:1")


async def names(db, view):
    return [task["name"] for task in await db.fetch(f"select name from taskq.{view} order by name")]  # noqa: S608


async def test_overview_counts_each_role(db, worker):
    later = await db.fetchval("select now() + interval '1 h'")
    parent = await insert(db)
    await insert(db)
    await insert(db, run_at=later)
    await insert(db, requires_approval=True)
    await insert(db, "other", depends_on=[parent])
    failed = await insert(db, priority=2)
    assert (await worker.claim_one())["id"] == failed
    claim = await db.fetchrow("select id, lease from taskq.tasks where id = $1", failed)
    await worker.fail(claim, final=True)
    await worker.claim_one()
    found = {row["role"]: dict(row) for row in await db.fetch("select * from taskq.overview")}
    oldest = found[ROLE].pop("oldest_ready")
    assert 0 <= oldest.total_seconds() < 60
    assert found[ROLE] == {
        "role": ROLE, "ready": 1, "scheduled": 1, "in_progress": 1, "blocked": 0, "awaiting_approval": 1,
        "failed_24h": 1, "workers": 1, "slots": 10, "paused": False,
    }  # fmt: skip
    assert (found["other"]["blocked"], found["other"]["workers"], found["other"]["oldest_ready"]) == (
        1,
        0,
        None,
    )


async def test_overview_shows_a_role_that_is_only_played(db, worker):
    (only,) = await db.fetch("select * from taskq.overview")
    assert (only["role"], only["workers"], only["ready"]) == (ROLE, 1, 0)


async def test_running_shows_what_runs_and_where(db, worker):
    await insert(db, name="one")
    await insert(db, name="two", requires_approval=True)
    await worker.claim_one()
    (task,) = await db.fetch("select * from taskq.running")
    assert (task["name"], task["worker"], task["attempt"], task["worker_id"]) == (
        "one",
        "host:1",
        1,
        worker.id,
    )


async def test_stuck_is_empty_while_all_is_well_and_says_why_when_not(db, worker):
    for name in ("fine", "lapsed", "overdue", "deaf"):
        await insert(db, name=name)
    await worker.claim(4)
    assert await names(db, "stuck") == []
    await db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s' where name = 'lapsed'")
    await db.execute(
        "update taskq.tasks set started_at = now() - timeout - interval '2 min' where name = 'overdue'"
    )
    await db.execute(
        "update taskq.tasks set cancel_requested_at = now() - interval '2 min' where name = 'deaf'"
    )
    assert {task["name"]: task["why"] for task in await db.fetch("select * from taskq.stuck")} == {
        "lapsed": "its lease ran out",
        "overdue": "it runs past its timeout",
        "deaf": "asked to stop, and did not",
    }


async def test_stale_shows_what_could_run_and_has_not(db):
    old, later = [
        await db.fetchval(f"select now() {when}") for when in ("- interval '6 min'", "+ interval '6 min'")
    ]
    await insert(db, name="old", run_at=old)
    await insert(db, name="new")
    await insert(db, name="later", run_at=later)
    (task,) = await db.fetch("select * from taskq.stale")
    assert task["name"] == "old"
    assert "no live worker plays role" in task["why"]


async def test_waiting_shows_what_waits_for_others_or_for_a_person(db, worker):
    parent = await insert(db, name="parent")
    await insert(db, name="blocked", depends_on=[parent])
    await insert(db, name="unapproved", requires_approval=True)
    for name in ("running", "completed", "cancelled"):
        await insert(db, name=name, priority=1)
    one, two, _ = await worker.claim(3)
    await worker.complete(one)
    await worker.fail(two, final=True)
    found = {task["name"]: (task["status"], task["waiting_on"]) for task in await db.fetch(
        "select name, status::text, waiting_on from taskq.waiting")}  # fmt: skip
    assert found == {"blocked": ("blocked", 1), "unapproved": ("awaiting_approval", 0)}


async def test_orphaned_shows_what_nobody_plays_and_what_lost_its_worker(db, worker):
    await insert(db, "nobody", name="unplayed")
    await insert(db, name="played")
    await insert(db, name="lost", priority=1)
    await worker.claim_one()
    assert await names(db, "orphaned") == ["unplayed"]
    await db.execute("delete from taskq.workers")
    assert await names(db, "orphaned") == ["lost", "played", "unplayed"]


async def test_workers_live_leaves_out_the_silent_and_the_missing(db, connect, worker):
    for name in ("silent", "missing"):
        await FakeWorker(await connect(), ROLE).register(name=name)
    await db.execute("update taskq.workers set heartbeat_at = now() - interval '2 min' where name = 'silent'")
    await db.execute("update taskq.workers set missing_since = now() where name = 'missing'")
    assert await names(db, "workers_live") == ["host:1"]


async def test_the_timeline_tells_the_story_of_a_task_in_order(db, worker):
    task = await insert(db)
    await worker.fail(await worker.claim_one(), "tool_error", "it broke")
    claim = await worker.claim_one()
    await db.execute("select taskq.log($1, $2, $3, 'a line')", worker.id, task, claim["lease"])
    await worker.complete(claim)
    story = await db.fetch("select what from taskq.timeline where task_id = $1 order by at", task)
    assert [moment["what"] for moment in story] == [
        "created",
        "started",
        "retry",
        "started",
        "log",
        "completed",
    ]


async def test_the_timeline_of_a_mission_holds_its_children(db):
    root = await insert(db)
    child = await insert(db, parent_id=root)
    told = await db.fetch("select task_id from taskq.timeline where mission_id = $1", root)
    assert {moment["task_id"] for moment in told} == {root, child}
