"""taskq.explain: one line that says why a task is where it is, and what would move it."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, insert_graph, row


@pytest.fixture
async def worker(db):
    return await FakeWorker(db, ROLE).register(name="host:1")


async def explain(db: asyncpg.Connection, task: UUID) -> str:
    line = await db.fetchval("select taskq.explain($1)", task)
    assert line
    assert "\n" not in line
    return line


# queued


async def test_no_live_worker_plays_the_role(db):
    line = await explain(db, await insert(db))
    assert f"no live worker plays role {ROLE}" in line
    assert "taskq worker" in line


async def test_the_only_worker_of_the_role_is_draining(db, worker):
    await worker.heartbeat(draining=True)
    line = await explain(db, await insert(db))
    assert f"no live worker plays role {ROLE} (1 draining)" in line


async def test_a_worker_without_a_heartbeat_for_a_lease_does_not_count(db, worker):
    await db.execute("update taskq.workers set heartbeat_at = now() - interval '1 h'")
    assert "no live worker" in await explain(db, await insert(db))


async def test_a_worker_that_plays_another_role_does_not_count(db, worker):
    assert "no live worker plays role other" in await explain(db, await insert(db, "other"))


async def test_scheduled_for_later(db, worker):
    later = await db.fetchval("select now() + interval '90 s'")
    task = await insert(db, run_at=later)
    line = await explain(db, task)
    assert "queued, not before" in line
    assert "in 90 s" in line or "in 89 s" in line
    assert f"select taskq.retry('{task}')" in line


async def test_waiting_for_the_next_attempt_says_what_was_wrong_with_the_last(db, worker):
    task = await insert(db)
    await worker.fail(await worker.claim_one(), "tool_error", "no such file", after=None)
    line = await explain(db, task)
    assert "attempt 1 of 4 ended with tool_error: no such file" in line
    assert "not before" in line


async def test_all_slots_are_taken(db, connect):
    worker = await FakeWorker(await connect(), ROLE).register(concurrency=2)
    await insert_graph(db, [(task, []) for task in ids(2)])
    await worker.claim(2)
    await insert(db, priority=1)
    line = await explain(db, await insert(db))
    assert "can run now" in line
    assert "2 slots, of which 2 are taken" in line
    assert "1 before it in the line" in line


async def test_able_to_run_with_slots_free(db, worker):
    line = await explain(db, await insert(db))
    assert "10 slots, of which 0 are taken; 0 before it in the line" in line


# the other statuses


async def test_blocked_names_what_it_waits_for(db):
    parent = await insert(db, "parent")
    task = await insert(db, depends_on=[parent])
    assert await explain(db, task) == (
        f"blocked: waits for 1 of its dependencies: parent {parent} (queued); "
        "it moves by itself when they end"
    )


async def test_blocked_by_many_names_three(db):
    parents = ids(5)
    await insert_graph(db, [(parent, []) for parent in parents], role="parent")
    line = await explain(db, await insert(db, depends_on=parents))
    assert "waits for 5 of its dependencies" in line
    assert line.count("(queued)") == 3


async def test_blocked_by_what_is_down_names_the_retry_that_would_move_it(db):
    parent, other = await insert(db, "parent"), await insert(db, "other")
    task = await insert(db, depends_on=[parent, other], on_dependency_failure="wait")
    await db.execute("select taskq.cancel($1)", parent)
    line = await explain(db, task)
    assert f"parent {parent} (cancelled), other {other} (queued)" in line
    assert f"select taskq.retry('{parent}')" in line


async def test_awaiting_approval_names_both_answers(db):
    task = await insert(db, requires_approval=True)
    line = await explain(db, task)
    assert f"taskq.approve('{task}'" in line
    assert f"taskq.reject('{task}'" in line


async def test_in_progress_names_the_worker_and_how_far_it_is(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    await db.execute("select taskq.progress($1, $2, $3, 0.4, 'reading')", worker.id, task, claim["lease"])
    line = await explain(db, task)
    assert "on worker host:1: attempt 1 of 4, 40 %, reading" in line
    assert "lease for " in line


async def test_in_progress_on_a_worker_that_is_gone(db, worker):
    task = await insert(db)
    await worker.claim_one()
    await db.execute("delete from taskq.workers")
    await db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s'")
    line = await explain(db, task)
    assert f"worker {worker.id}, which is gone" in line
    assert "its lease has run out: the next tend requeues it" in line


async def test_in_progress_but_asked_to_stop(db, worker):
    task = await insert(db)
    await worker.claim_one()
    await db.execute("select taskq.cancel($1)", task)
    assert "asked to stop" in await explain(db, task)


async def test_completed_is_final_and_names_the_rerun(db, worker):
    task = await insert(db)
    await worker.complete(await worker.claim_one())
    line = await explain(db, task)
    assert "completed" in line
    assert "in attempt 1" in line
    assert f"taskq.rerun('{task}')" in line


async def test_completed_by_a_person_claims_no_attempt(db):
    task = await insert(db)
    await db.execute("select taskq.complete($1)", task)
    assert "attempt" not in await explain(db, task)


async def test_failed_says_why_and_names_the_retry(db, worker):
    task = await insert(db)
    await worker.fail(await worker.claim_one(), "timeout", "no end after 30 min", final=True)
    line = await explain(db, task)
    assert "after attempt 1 of 4: timeout: no end after 30 min" in line
    assert f"taskq.retry('{task}')" in line


async def test_fallen_with_a_dependency_names_the_one_to_retry(db):
    """A retry of the fallen one alone would leave it blocked."""
    parent = await insert(db, "parent")
    middle = await insert(db, depends_on=[parent])
    last = await insert(db, depends_on=[middle])
    await db.execute("select taskq.cancel($1)", parent)
    line = await explain(db, last)
    assert "dependency_failed" in line
    assert f"taskq.retry('{parent}')" in line


async def test_a_message_of_many_lines_is_one_line(db, worker):
    task = await insert(db)
    await worker.fail(await worker.claim_one(), "unknown", "first\nsecond\nthird", final=True)
    await explain(db, task)


async def test_explain_changes_nothing_and_waits_for_nobody(db, connect):
    task = await insert(db)
    before = await row(db, task)
    other = await connect()
    async with other.transaction():
        await other.execute("select from taskq.tasks for update")
        await db.execute("set lock_timeout = '1 s'")
        await explain(db, task)
    assert await row(db, task) == before
