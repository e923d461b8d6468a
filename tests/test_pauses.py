"""A paused role is claimed by nobody; its resume wakes whoever sleeps; no wake-up is lost in between."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, insert_graph, statuses
from support import eventually, somebody_waits


@pytest.fixture
async def worker(db):
    return await FakeWorker(db, ROLE, "other").register()


@pytest.fixture
async def heard(connect):
    """The roles for which the bell rang."""
    said: list[str] = []
    ear = await connect()
    await ear.add_listener("taskq", lambda _c, _p, _n, role: said.append(role))
    return said


async def pause(db, role=ROLE, reason="a bad deploy", actor="ada"):
    return await db.fetchval("select taskq.pause_role($1, $2, $3)", role, reason, actor)


async def resume(db, role=ROLE, reason="it is fixed", actor="ada"):
    return await db.fetchval("select taskq.resume_role($1, $2, $3)", role, reason, actor)


# claims


async def test_a_paused_role_is_claimed_by_nobody_and_the_others_of_the_worker_are(db, worker):
    mine, others = await insert(db), await insert(db, "other")
    assert await pause(db)
    assert [task["id"] for task in await worker.claim(10)] == [others]
    assert await statuses(db, mine) == ["queued"]
    assert await resume(db)
    assert [task["id"] for task in await worker.claim(10)] == [mine]


async def test_a_worker_all_of_whose_roles_are_paused_claims_nothing(db, worker):
    await insert(db)
    await pause(db)
    await pause(db, "other")
    assert await worker.claim(10) == []


async def test_a_higher_priority_of_a_paused_role_holds_nobody_up(db, worker):
    await insert(db, priority=5)
    low = await insert(db, "other", priority=-5)
    await pause(db)
    assert (await worker.claim_one())["id"] == low


async def test_what_runs_when_its_role_is_paused_goes_on_and_is_handed_in(db, worker):
    await insert(db)
    claim = await worker.claim_one()
    await pause(db)
    assert await worker.heartbeat(claim) == {}
    assert await worker.complete(claim) == []


async def test_a_worker_is_not_told_of_a_time_that_is_due_for_a_paused_role(db, worker):
    """Or it would wake up for it, find nothing, and wake up again."""
    await insert(db, run_at=await db.fetchval("select now() + interval '1 h'"))
    assert (await worker.exchange(want=1))[-1]["due_in"] > 3500
    await pause(db)
    assert (await worker.exchange(want=1))[-1]["due_in"] is None


async def test_an_exchange_that_unblocks_a_paused_role_does_not_take_it(db, worker):
    parent, child = ids(2)
    await insert_graph(db, [(parent, [])], role="other")
    await insert(db, id=child, depends_on=[parent])
    claim = await worker.claim_one()
    await pause(db)
    rows = await worker.exchange([(claim, None)], want=10)
    assert [row["kind"] for row in rows] == ["due"]
    assert await statuses(db, parent, child) == ["completed", "queued"]


# sleepers


async def test_a_resume_wakes_who_sleeps_whether_something_waits_or_not(db, worker, heard):
    await pause(db)
    assert await worker.sleep()
    await resume(db)
    await eventually(lambda: heard == [ROLE])


async def test_a_worker_that_goes_to_sleep_while_a_resume_is_open_looks_again(db, connect):
    """It sees neither the resume nor a bell: the lock of the ring keeps it from its last look."""
    worker = await FakeWorker(await connect(), ROLE).register()
    task = await insert(db)
    await pause(db)
    async with db.transaction():
        await resume(db)
        await worker.exchange(asleep=True)
        assert await worker.claim(10) == []
        assert not await worker.session.fetchval("select taskq.doze($1)", worker.roles)
    assert await worker.session.fetchval("select taskq.doze($1)", worker.roles)
    assert [claim["id"] for claim in await worker.claim(10)] == [task]


async def test_a_worker_that_slept_before_a_resume_looked_is_rung_at_its_commit(db, connect, heard):
    worker = await FakeWorker(await connect(), ROLE).register()
    task = await insert(db)
    await pause(db)
    transaction = db.transaction()
    await transaction.start()
    await db.execute("select 1")  # its snapshots are of each statement: the mark below is seen
    assert await worker.sleep()
    assert await worker.claim(10) == []
    await resume(db)
    assert heard == []
    await transaction.commit()
    await eventually(lambda: heard == [ROLE])
    assert [claim["id"] for claim in await worker.claim(10)] == [task]


async def test_what_is_inserted_while_a_resume_is_open_is_heard_of(db, connect, heard):
    """The insert sees the role paused still; it rings all the same."""
    worker = await FakeWorker(await connect(), ROLE).register()
    other = await connect()
    await pause(db)
    assert await worker.sleep()
    inserting = other.transaction()
    await inserting.start()
    task = await insert(other)
    await resume(db)
    await eventually(lambda: heard == [ROLE])
    assert await worker.claim(10) == []
    await inserting.commit()
    await eventually(lambda: len(heard) == 2)
    assert [claim["id"] for claim in await worker.claim(10)] == [task]


async def test_two_who_pause_at_once_are_told_apart(db, connect):
    other = await connect()
    transaction = db.transaction()
    await transaction.start()
    assert await pause(db, actor="ada")
    second = asyncio.ensure_future(pause(other, actor="bob"))
    await eventually(lambda: somebody_waits(db))
    await transaction.commit()
    assert await second is False
    assert await db.fetchval("select array_agg(actor) from taskq.events") == ["ada"]


# what is kept and said


async def test_a_pause_and_a_resume_leave_events_of_the_role(db):
    assert (await pause(db), await pause(db, reason="again", actor="bob")) == (True, False)
    assert (await resume(db), await resume(db)) == (True, False)
    events = await db.fetch("select role, task_id, verb, actor, reason from taskq.events order by id")
    assert [tuple(event) for event in events] == [
        (ROLE, None, "pause_role", "ada", "a bad deploy"),
        (ROLE, None, "resume_role", "ada", "it is fixed"),
    ]


async def test_the_actor_is_the_database_user_unless_somebody_is_named(db):
    await db.execute("select taskq.pause_role($1)", ROLE)
    user = await db.fetchval("select session_user::text")
    assert await db.fetchval("select actor from taskq.role_pauses") == user


async def test_no_role_is_paused_that_has_no_name(db):
    with pytest.raises(asyncpg.PostgresError, match="1 to 200 characters") as refusal:
        await pause(db, "")
    assert refusal.value.sqlstate == "TQ001"


async def test_a_queued_task_says_who_paused_its_role_and_how_to_resume_it(db, worker):
    task = await insert(db)
    await pause(db)
    line = await db.fetchval("select taskq.explain($1)", task)
    assert line.startswith(f"queued, but role {ROLE} is paused by ada since ")
    assert ": a bad deploy; to resume it: select taskq.resume_role('work')" in line
    assert "\n" not in line
    await db.execute("select taskq.resume_role('work')")
    assert "can run now" in await db.fetchval("select taskq.explain($1)", task)


async def test_what_is_stale_because_of_a_pause_says_so(db, worker):
    await insert(db, run_at=await db.fetchval("select now() - interval '10 min'"))
    await pause(db)
    assert "paused by ada" in await db.fetchval("select why from taskq.stale")


async def test_the_overview_shows_which_roles_are_paused_even_those_that_nobody_knows(db, worker):
    await pause(db)
    await pause(db, "unheard_of")
    found = await db.fetch("select role, paused from taskq.overview")
    assert [tuple(row) for row in found] == [("other", False), ("unheard_of", True), (ROLE, True)]
