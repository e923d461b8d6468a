"""The exchange: what is finished is handed in, what is next is taken."""

from __future__ import annotations

from uuid import uuid4

import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, insert_graph, row, status, statuses


@pytest.fixture
async def worker(db):
    return await FakeWorker(db, ROLE, "other").register()


async def test_a_claim_takes_a_lease_for_this_worker(db, worker):
    task = await insert(db, payload={"x": 1}, name="n", traceparent="t")
    claim = await worker.claim_one()
    after = await row(db, task)
    assert (claim["id"], claim["payload"], claim["attempt"]) == (task, {"x": 1}, 1)
    assert (claim["name"], claim["traceparent"], claim["mission_id"]) == ("n", "t", task)
    assert (claim["max_attempts"], claim["timeout"]) == (4, 1800.0)
    assert (after["lease"], after["worker_id"]) == (claim["lease"], worker.id)
    assert after["lease_expires_at"] - after["started_at"] == worker.lease


async def test_a_lease_number_is_never_used_again(db, worker):
    await insert(db)
    leases = []
    for _ in range(5):
        claim = await worker.claim_one()
        leases.append(claim["lease"])
        await worker.release(claim)
    assert len(set(leases)) == 5
    assert leases == sorted(leases)


async def test_priority_comes_first_then_time_then_id(db, worker):
    early, late = [await db.fetchval(f"select now() - interval '{age}'") for age in ("2 min", "1 min")]
    low = await insert(db, priority=-5, run_at=early)
    two, one = sorted(ids(2), reverse=True)
    for task in (two, one):
        await insert(db, id=task, run_at=late)
    first = await insert(db, run_at=early)
    high = await insert(db, priority=3, run_at=late)
    assert [(await worker.claim_one())["id"] for _ in range(5)] == [high, first, one, two, low]


async def test_priority_holds_across_all_roles_that_a_worker_plays(db, worker):
    expected = []
    for priority in (9, 5, 1, -3):
        for role in (ROLE, "other"):
            expected.append((priority, await insert(db, role, priority=priority)))
    got = [(task["priority"], task["id"]) for _ in range(4) for task in await worker.claim(2)]
    assert sorted(got, reverse=True) == sorted(expected, reverse=True)
    assert [priority for priority, _ in got] == [9, 9, 5, 5, 1, 1, -3, -3]


async def test_the_extremes_of_priority_are_claimed_too(db, worker):
    least, most = await insert(db, priority=-32768), await insert(db, priority=32767)
    assert [task["id"] for task in await worker.claim(2)] == [most, least]


async def test_a_worker_never_claims_a_role_that_it_does_not_play(db, worker):
    await insert(db, "elsewhere", priority=9)
    await insert(db, "WORK")
    assert await worker.claim(10) == []
    assert await db.fetchval("select count(*) from taskq.tasks where status = 'queued'") == 2


async def test_a_worker_takes_no_more_than_it_wants(db, worker):
    for role in (ROLE, "other"):
        await insert_graph(db, [(task, []) for task in ids(5)], role=role)
    assert len(await worker.claim(7)) == 7
    assert await worker.claim(0) == []


async def test_what_is_due_later_waits_for_its_time(db, worker):
    later = await db.fetchval("select now() + interval '1 h'")
    await insert(db, run_at=later, priority=9)
    now = await insert(db)
    assert [task["id"] for task in await worker.claim(5)] == [now]


async def test_one_exchange_completes_a_parent_and_claims_what_waited_for_it(db, worker):
    parent = await insert(db)
    child = await insert(db, "other", depends_on=[parent])
    claim = await worker.claim_one()
    (got,) = [row for row in await worker.exchange([(claim, {"n": 1})], want=5) if row["kind"] == "claim"]
    assert (got["id"], got["parents"]) == (child, {str(parent): {"n": 1}})
    assert await statuses(db, parent, child) == ["completed", "in_progress"]


async def test_a_result_is_kept_as_it_was_given(db, worker):
    results = [{"a": [1, 2.5, None]}, [1, 2], "text", 7, True, None, {}]
    await insert_graph(db, [(task, []) for task in ids(len(results))])
    claims = await worker.claim(len(results))
    await worker.exchange(zip(claims, results, strict=True))
    kept = [(await row(db, claim["id"]))["result"] for claim in claims]
    assert kept == results


async def test_a_completed_task_shows_no_error_of_its_earlier_attempts(db, worker):
    task = await insert(db)
    await worker.fail(await worker.claim_one(), message="the first time")
    assert (await row(db, task))["error"] == "the first time"
    await worker.complete(await worker.claim_one())
    after = await row(db, task)
    assert (after["error"], after["error_kind"], after["lease_expires_at"]) == (None, None, None)


async def test_lost_leases_are_told_and_the_others_complete(db, worker):
    mine, lost = await insert(db), await insert(db)
    claims = await worker.claim(2)
    await db.execute("select taskq.requeue($1)", lost)
    assert await worker.complete(*claims) == [claims[1]["lease"]]
    assert await statuses(db, mine, lost) == ["completed", "queued"]


async def test_the_same_result_handed_in_twice_is_lost_the_second_time(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    assert await worker.complete(claim, result={"n": 1}) == []
    assert await worker.complete(claim, result={"n": 2}) == [claim["lease"]]
    assert (await row(db, task))["result"] == {"n": 1}


# floors


async def test_a_floor_passes_over_what_lies_before_it(db, worker):
    early, late = [await db.fetchval(f"select now() - interval '{age}'") for age in ("2 min", "1 min")]
    straggler, next_one = await insert(db, run_at=early), await insert(db, run_at=late)
    assert [task["id"] for task in await worker.claim(5, floors=[(ROLE, 0, late)])] == [next_one]
    assert [task["id"] for task in await worker.claim(5)] == [straggler]


async def test_a_floor_takes_the_very_task_that_set_it(db, worker):
    """To the microsecond: a time that is rounded up on its way would pass over it."""
    await db.execute(
        "insert into taskq.tasks (role, run_at) select $1, now() - random() * interval '1 h' "
        "from generate_series(1, 200)",
        ROLE,
    )
    claims = await worker.claim(200)
    await worker.release(*claims)
    for claim in claims:
        (again,) = await worker.claim(1, floors=[(ROLE, 0, claim["run_at"])])
        assert again["id"] == claim["id"]


async def test_a_floor_holds_for_its_role_and_priority_alone(db, worker):
    early, late = [await db.fetchval(f"select now() - interval '{age}'") for age in ("2 min", "1 min")]
    below = await insert(db, run_at=early)
    others = [await insert(db, "other", run_at=early), await insert(db, run_at=early, priority=1),
              await insert(db, run_at=early, priority=-1)]  # fmt: skip
    claims = await worker.claim(9, floors=[(ROLE, 0, late)])
    assert {task["id"] for task in claims} == set(others)
    assert await status(db, below) == "queued"


async def test_a_floor_does_not_hide_a_higher_or_lower_priority(db, worker):
    now = await db.fetchval("select now()")
    high, same, low = [await insert(db, priority=priority) for priority in (8, 4, 0)]
    floors = [(ROLE, 4, now), ("other", 6, now)]
    assert [task["id"] for task in await worker.claim(3, floors=floors)] == [high, same, low]


async def test_only_a_look_from_the_beginning_says_when_the_next_is_due(db, worker):
    await insert(db, run_at=await db.fetchval("select now() + interval '1 h'"))
    assert await worker.exchange(want=1, floors=[(ROLE, 0, await db.fetchval("select now()"))]) == []
    (due,) = await worker.exchange(want=1)
    assert due["kind"] == "due"
    assert 3500 < due["due_in"] <= 3600


async def test_a_worker_whose_slots_are_full_is_not_told_what_is_due(db, worker):
    await insert(db)
    await insert(db, run_at=await db.fetchval("select now() + interval '1 h'"))
    assert [row["kind"] for row in await worker.exchange(want=1)] == ["claim"]


# fences: an old lease changes nothing, whatever it tries

TRIES = {
    "fail": lambda worker, task: worker.fail(task),
    "fail for good": lambda worker, task: worker.fail(task, final=True),
    "stop": lambda worker, task: worker.stop(task),
    "wait": lambda worker, task: worker.wait(task),
    "progress": lambda worker, task: worker.session.execute(
        "select taskq.progress($1, $2, $3, 0.5, 'half')", worker.id, task["id"], task["lease"]
    ),
    "log": lambda worker, task: worker.session.execute(
        "select taskq.log($1, $2, $3, 'a line')", worker.id, task["id"], task["lease"]
    ),
    "append_turn": lambda worker, task: worker.append(task, 0),
}  # fmt: skip
QUIET_TRIES = {
    "complete": lambda worker, task: worker.complete(task, result={"late": True}),
    "release": lambda worker, task: worker.release(task),
    "heartbeat": lambda worker, task: worker.heartbeat(task),
    "disown": lambda worker, task: worker.disown(),
}


async def everything(db):
    """All that a late write could change."""
    tables = ("tasks", "attempts", "events", "messages", "logs", "dependencies")
    return {table: await db.fetch(f"select * from taskq.{table} order by 1, 2") for table in tables}  # noqa: S608


async def with_old_lease(db, how):
    """A worker whose lease was lost in this way, and its claim; the task has moved on."""
    task = await insert(db)
    await insert(db, "later", depends_on=[task])
    zombie = await FakeWorker(db, ROLE).register()
    claim = await zombie.claim_one()
    if how == "requeued":
        await db.execute("select taskq.requeue($1)", task)
        return zombie, claim
    await db.execute(
        "update taskq.tasks set lease_expires_at = now() - interval '1 s' where lease is not null"
    )
    await db.execute("select taskq.reap()")
    if how == "reaped":
        return zombie, claim
    other = await FakeWorker(db, ROLE).register()
    again = await (zombie if how == "claimed again by itself" else other).claim_one()
    if how == "completed by another":
        await other.complete(again)
    return zombie, claim


LOSSES = ["requeued", "reaped", "claimed by another", "claimed again by itself", "completed by another"]


@pytest.mark.parametrize("how", LOSSES)
async def test_whatever_an_old_lease_tries_it_raises_lease_lost_and_changes_nothing(db, how):
    zombie, claim = await with_old_lease(db, how)
    before = await everything(db)
    for name, attempt in TRIES.items():
        with pytest.raises(Exception, match="is lost") as refusal:
            await attempt(zombie, claim)
        assert refusal.value.sqlstate == "TQ002", name
        assert await everything(db) == before, name


@pytest.mark.parametrize("how", [how for how in LOSSES if how != "claimed again by itself"])
async def test_what_is_handed_in_in_batches_with_an_old_lease_changes_nothing(db, how):
    zombie, claim = await with_old_lease(db, how)
    before = await everything(db)
    for name, attempt in QUIET_TRIES.items():
        outcome = await attempt(zombie, claim)
        assert outcome in ([claim["lease"]], 0, {claim["lease"]: "lost"}), name
        assert await everything(db) == before, name


@pytest.mark.parametrize("try_", TRIES.values(), ids=TRIES)
async def test_another_workers_lease_is_no_ones_to_use(db, worker, try_):
    await insert(db)
    claim = await worker.claim_one()
    thief = await FakeWorker(db, ROLE).register()
    before = await everything(db)
    with pytest.raises(Exception, match="is lost"):
        await try_(thief, claim)
    assert await thief.release(claim) == 0
    await thief.heartbeat(claim)
    assert await everything(db) == before


async def test_a_lease_of_another_task_is_no_fence(db, worker):
    await insert(db)
    await insert(db)
    one, two = await worker.claim(2)
    swapped = {"id": one["id"], "lease": two["lease"]}
    assert await worker.complete(swapped) == [two["lease"]]
    assert await worker.complete({"id": uuid4(), "lease": one["lease"]}) == [one["lease"]]
    assert await statuses(db, one["id"], two["id"]) == ["in_progress", "in_progress"]
