"""Workers come, live and go; what the dead held runs elsewhere."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, insert_graph, row, status, statuses
from support import eventually


async def lapse(db, *tasks):
    await db.execute(
        "update taskq.tasks set lease_expires_at = clock_timestamp() - interval '1 ms' "
        "where lease is not null and (id = any($1) or $1 = '{}')",
        list(tasks),
    )


async def reap(db):
    return await db.fetchval("select taskq.reap()")


# leases that ran out


async def test_a_lapsed_lease_is_reaped_and_a_live_one_is_not(db, worker):
    lapsed, live = await insert(db), await insert(db)
    await worker.claim(2)
    await lapse(db, lapsed)
    assert await reap(db) == 1
    assert await statuses(db, lapsed, live) == ["queued", "in_progress"]


async def test_a_reaped_task_keeps_its_attempt_its_place_and_a_record(db, worker):
    task = await insert(db)
    before = await row(db, task)
    claim = await worker.claim_one()
    await lapse(db)
    await reap(db)
    after = await row(db, task)
    assert (after["attempt"], after["crashes"], after["run_at"]) == (1, 1, before["run_at"])
    assert after["error_kind"] == "worker_lost"
    (attempt,) = await db.fetch("select * from taskq.attempts")
    assert (attempt["task_id"], attempt["lease"], attempt["kind"]) == (task, claim["lease"], "worker_lost")
    assert attempt["started_at"] is not None
    (event,) = await db.fetch('select verb, "from"::text, "to"::text, actor from taskq.events')
    assert tuple(event) == ("reap", "in_progress", "queued", "reaper")


async def test_the_third_worker_that_dies_under_a_task_makes_it_fail(db, worker):
    task = await insert(db, max_attempts=10)
    child = await insert(db, "later", depends_on=[task])
    for expected in ("queued", "queued", "failed"):
        await worker.claim_one()
        await lapse(db)
        assert await reap(db) == 1
        assert await status(db, task) == expected
    assert (await row(db, task))["error_kind"] == "worker_lost"
    assert await status(db, child) == "failed"
    assert await db.fetchval("select count(*) from taskq.attempts") == 3


async def test_a_task_without_attempts_left_fails_when_its_worker_dies(db, worker):
    task = await insert(db, max_attempts=1)
    await worker.claim_one()
    await lapse(db)
    await reap(db)
    assert await status(db, task) == "failed"


async def test_a_task_that_was_asked_to_stop_is_cancelled_when_its_worker_dies(db, worker):
    task = await insert(db)
    await worker.claim_one()
    await db.execute("select taskq.cancel($1, 'no need', 'someone')", task)
    await lapse(db)
    await reap(db)
    after = await row(db, task)
    assert (str(after["status"]), after["error_kind"], after["error"]) == (
        "cancelled",
        "cancelled",
        "no need",
    )
    assert await db.fetchval("select actor from taskq.events where verb = 'cancel'") == "someone"


async def test_a_retry_forgets_the_crashes(db, worker):
    task = await insert(db)
    await db.execute("update taskq.tasks set crashes = 2")
    await worker.claim_one()
    await lapse(db)
    await reap(db)
    await db.execute("select taskq.retry($1)", task)
    assert (await row(db, task))["crashes"] == 0


async def test_tend_says_what_it_did(db, worker):
    await insert(db)
    await worker.claim_one()
    assert await db.fetchval("select taskq.tend()") == {"reaped": 0}
    await lapse(db)
    assert await db.fetchval("select taskq.tend()") == {"reaped": 1}


async def test_of_two_reapers_one_does_the_work(db, connect, worker):
    await insert(db)
    await worker.claim_one()
    await lapse(db)
    one, two = await connect(), await connect()
    async with one.transaction():
        assert await reap(one) == 1
        assert await asyncio.wait_for(reap(two), 2) == 0


# workers whose session has ended


async def dead_worker(connect, tasks=1):
    """A worker whose process is gone: its session ended while it held tasks."""
    session = await connect()
    worker = await FakeWorker(session, ROLE).register()
    claims = await worker.claim(tasks)
    await session.close()
    return worker, claims


async def test_a_worker_whose_session_ended_is_found_dead_at_the_second_look(db, connect, worker):
    await insert_graph(db, [(task, []) for task in ids(20)])
    dead, claims = await dead_worker(connect, 20)
    assert len(claims) == 20
    gone = "select missing_since is not null from taskq.workers where id = $1"
    assert await eventually(lambda: look(db, gone, dead)), "the first look only marks it"
    assert await db.fetchval("select count(*) from taskq.tasks where lease is not null") == 20
    await eventually(lambda: no_worker(db, dead), timeout=3)
    assert len(await worker.claim(50)) == 20


async def look(db, query, worker):
    await db.fetchval("select taskq.watch($1)", worker.id.__class__(bytes=bytes(16)))
    return await db.fetchval(query, worker.id)


async def no_worker(db, worker):
    await reap(db)
    return not await db.fetchval("select exists (select from taskq.workers where id = $1)", worker.id)


async def test_a_worker_that_registers_its_next_session_in_time_loses_nothing(db, connect):
    task = await insert(db)
    session = await connect()
    worker = await FakeWorker(session, ROLE).register()
    claim = await worker.claim_one()
    await session.close()
    gone = "select missing_since is not null from taskq.workers where id = $1"
    await eventually(lambda: look(db, gone, worker))
    worker.session = await connect()
    await worker.register()
    await asyncio.sleep(0.6)  # longer than a missing worker is given
    assert await reap(db) == 0
    assert await worker.heartbeat(claim) == {}
    assert await status(db, task) == "in_progress"


async def test_a_heartbeat_from_elsewhere_proves_that_a_worker_lives(db, connect):
    """Its first session is gone, but its heart, which has one of its own, beats."""
    await insert(db)
    worker, (claim,) = await dead_worker(connect)
    gone = "select missing_since is not null from taskq.workers where id = $1"
    await eventually(lambda: look(db, gone, worker))
    worker.session = db
    assert await worker.heartbeat(claim) == {}
    assert not await db.fetchval(gone, worker.id)


async def test_a_worker_behind_a_pooler_is_believed_for_as_long_as_its_lease(db, connect):
    await insert(db)
    session = await connect()
    worker = await FakeWorker(session, ROLE, lease=timedelta(seconds=1)).register(direct=False)
    await worker.claim_one()
    await session.close()
    assert await reap(db) == 0
    await eventually(lambda: no_worker(db, worker), timeout=5)
    assert await db.fetchval("select count(*) from taskq.tasks where status = 'queued'") == 1


async def test_a_live_worker_is_never_found_missing(db, worker):
    await insert(db)
    await worker.claim_one()
    for _ in range(3):
        assert await reap(db) == 0
    assert await db.fetchval("select missing_since is null from taskq.workers")


async def test_the_death_of_a_worker_takes_its_mark_off(db, connect):
    session = await connect()
    worker = await FakeWorker(session, ROLE).register()
    assert await worker.sleep()
    await session.close()
    await eventually(lambda: no_worker(db, worker))
    assert await db.fetchval("select count(*) from taskq.sleepers") == 0


# heartbeats


async def test_a_heartbeat_moves_the_leases_on(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    before = await row(db, task)
    assert await worker.heartbeat(claim) == {}
    after = await row(db, task)
    assert after["lease_expires_at"] > before["lease_expires_at"]
    assert after["heartbeat_at"] > before["heartbeat_at"]


async def test_a_heartbeat_extends_nothing_that_it_does_not_name(db, worker):
    await insert(db)
    await insert(db)
    one, two = await worker.claim(2)
    before = await row(db, two["id"])
    await worker.heartbeat(one)
    assert await row(db, two["id"]) == before


async def test_a_heartbeat_says_what_is_lost_and_what_is_asked_to_stop(db, worker):
    await insert_graph(db, [(task, []) for task in ids(4)])
    fine, lost, stop, done = await worker.claim(4)
    await db.execute("select taskq.requeue($1)", lost["id"])
    await db.execute("select taskq.cancel($1)", stop["id"])
    await worker.complete(done)
    verdicts = await worker.heartbeat(fine, lost, stop, done)
    assert verdicts == {lost["lease"]: "lost", stop["lease"]: "cancel", done["lease"]: "lost"}


async def test_a_heartbeat_of_a_worker_that_was_reaped_says_so(db, worker):
    await db.execute("delete from taskq.workers")
    assert await worker.heartbeat() == {None: "unregistered"}


async def test_a_heartbeat_tells_how_the_worker_is(db, worker):
    await insert(db)
    claim = await worker.claim_one()
    await worker.heartbeat(claim, draining=True, trouble="its event loop is blocked")
    live = await db.fetchrow("select * from taskq.workers_live")
    assert (live["draining"], live["trouble"]) == (True, "its event loop is blocked")
    assert live["running"] == 1


async def test_a_lapsed_lease_that_nobody_reaped_yet_is_revived_by_a_heartbeat(db, worker):
    await insert(db)
    claim = await worker.claim_one()
    await lapse(db)
    assert await worker.heartbeat(claim) == {}
    assert await reap(db) == 0


# coming and going


async def test_a_worker_that_lost_an_answer_gives_back_what_it_does_not_know_of(db, worker):
    await insert(db)
    await insert(db)
    known, unknown = await worker.claim(2)
    assert await worker.disown(known) == 1
    assert await statuses(db, known["id"], unknown["id"]) == ["in_progress", "queued"]
    assert (await row(db, unknown["id"]))["attempt"] == 0


async def test_a_worker_that_retires_gives_back_what_it_holds(db, worker):
    task = await insert(db)
    await worker.claim_one()
    await db.execute("select taskq.retire($1)", worker.id)
    after = await row(db, task)
    assert (str(after["status"]), after["attempt"]) == ("queued", 0)
    assert await db.fetchval("select count(*) from taskq.workers") == 0


async def test_a_worker_watches_while_others_hold_tasks(db, connect, worker):
    other = await FakeWorker(await connect(), ROLE).register()
    watch = "select taskq.watch($1)"
    assert not await db.fetchval(watch, worker.id)
    await insert(db)
    claim = await other.claim_one()
    await other.heartbeat(claim)
    assert await db.fetchval(watch, worker.id)
    await other.complete(claim)
    await other.heartbeat()
    assert not await db.fetchval(watch, worker.id)


async def test_releases_spend_no_attempt_however_many(db, worker):
    task = await insert(db, max_attempts=1)
    before = await row(db, task)
    for _ in range(5):
        assert await worker.release(await worker.claim_one()) == 1
    after = await row(db, task)
    assert (after["attempt"], after["run_at"]) == (0, before["run_at"]), "and it keeps its place"
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


async def test_a_released_task_that_was_asked_to_stop_is_cancelled(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    await db.execute("select taskq.cancel($1, 'no need', 'someone')", task)
    assert await worker.release(claim) == 1
    assert await status(db, task) == "cancelled"


# failures


async def test_attempts_are_retried_with_the_roles_backoff_until_none_is_left(db, worker):
    await db.execute("select taskq.declare_roles($1)", [{"name": ROLE, "backoff": ["10 s", "1 min"]}])
    task = await insert(db, max_attempts=4)
    for seconds in (10, 60, 60):
        assert await worker.fail(await worker.claim_one(), "tool_error", after=None) == "queued"
        after = await row(db, task)
        wait = (after["run_at"] - await db.fetchval("select clock_timestamp()")).total_seconds()
        assert seconds * 0.95 < wait <= seconds * 1.25
        await db.execute("select taskq.retry($1)", task)
    assert await worker.fail(await worker.claim_one(), "tool_error") == "failed"
    assert (await row(db, task))["error_kind"] == "tool_error"


async def test_without_a_declaration_the_waits_are_30_s_2_min_and_10_min(db):
    waits = [await db.fetchval("select taskq.backoff('undeclared', $1)", n) for n in (1, 2, 3, 4, 100)]
    for wait, seconds in zip(waits, (30, 120, 600, 600, 600), strict=True):
        assert seconds <= wait.total_seconds() <= seconds * 1.25


async def test_each_attempt_without_success_leaves_a_record_cut_to_size(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    await worker.fail(claim, "external_service", "x" * 10_000, traceback="t" * 50_000)
    (attempt,) = await db.fetch("select * from taskq.attempts where task_id = $1", task)
    assert (attempt["attempt"], attempt["worker_id"]) == (1, worker.id)
    assert (attempt["kind"], len(attempt["message"]), len(attempt["traceback"])) == (
        "external_service",
        8192,
        32768,
    )
    assert attempt["started_at"] < attempt["finished_at"]


async def test_an_unknown_kind_of_error_is_refused(db, worker):
    await insert(db)
    claim = await worker.claim_one()
    with pytest.raises(Exception, match="a_known_kind_of_error"):
        await worker.fail(claim, "bad luck")


async def test_progress_and_logs_are_kept_for_people(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    for fraction, note in ((0.25, "a quarter"), (None, "still"), (0.5, None)):
        await db.execute(
            "select taskq.progress($1, $2, $3, $4, $5)", worker.id, task, claim["lease"], fraction, note
        )
    await db.execute("select taskq.log($1, $2, $3, $4)", worker.id, task, claim["lease"], "a line")
    after = await row(db, task)
    assert (after["progress"], after["progress_note"]) == (0.5, "still")
    assert tuple(await db.fetchrow("select attempt, line from taskq.logs")) == (1, "a line")
    await worker.fail(claim)
    again = await row(db, task)
    assert (again["progress"], again["progress_note"]) == (None, None), "the next attempt starts anew"
