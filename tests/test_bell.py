"""The bell rings when somebody sleeps who plays the role of what can run now, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, insert_graph
from support import eventually

END = "that is all"


class Ear:
    """Hears the bells of a database."""

    def __init__(self, session: asyncpg.Connection) -> None:
        self.session = session
        self.bells: list[str] = []

    async def listen(self) -> Ear:
        await self.session.add_listener("taskq", lambda _c, _p, _n, role: self.bells.append(role))
        return self

    async def heard(self) -> list[str]:
        """The roles of the bells since the last call; whatever was committed before has come by now."""
        await self.session.execute("select pg_notify('taskq', $1)", END)
        await eventually(lambda: END in self.bells)
        heard, self.bells = self.bells[:-1], []
        return heard


@pytest.fixture
async def ear(connect):
    return await Ear(await connect()).listen()


@pytest.fixture
async def sleeper(connect):
    """A worker of role work that has marked itself asleep and may sleep."""
    worker = await FakeWorker(await connect(), ROLE).register()
    assert await worker.sleep()
    return worker


# Each way prepares what it needs and returns what makes one task of role work runnable.

Act = Callable[[], Awaitable[object]]


def call(db: asyncpg.Connection, function: str, task: UUID) -> Act:
    return lambda: db.execute(f"select taskq.{function}($1)", task)


async def inserted(db: asyncpg.Connection) -> Act:
    return lambda: insert(db)


async def enqueued(db: asyncpg.Connection) -> Act:
    return lambda: db.execute("select taskq.enqueue($1)", [{"role": ROLE}])


async def inserted_for_later(db: asyncpg.Connection) -> Act:
    """The sleeper has to set its timer."""
    return lambda: db.execute("select taskq.enqueue($1)", [{"role": ROLE, "delay": "1 h"}])


async def inserted_behind_what_is_done(db: asyncpg.Connection) -> Act:
    parent = await insert(db, "parent")
    await call(db, "complete", parent)()
    return lambda: insert(db, depends_on=[parent])


async def unblocked_by_a_worker(db: asyncpg.Connection) -> Act:
    await insert(db, depends_on=[await insert(db, "parent")])
    parents = FakeWorker(db, "parent")
    claim = await parents.claim_one()
    return lambda: parents.complete(claim)


async def unblocked_by_a_person(db: asyncpg.Connection) -> Act:
    parent = await insert(db, "parent")
    await insert(db, depends_on=[parent])
    return call(db, "complete", parent)


async def runs_whatever_happens_when_the_parent_fails(db: asyncpg.Connection) -> Act:
    await insert(db, depends_on=[await insert(db, "parent")], on_dependency_failure="run")
    parents = FakeWorker(db, "parent")
    claim = await parents.claim_one()
    return lambda: parents.fail(claim, final=True)


async def runs_whatever_happens_when_the_parent_is_cancelled(db: asyncpg.Connection) -> Act:
    parent = await insert(db, "parent")
    await insert(db, depends_on=[parent], on_dependency_failure="run")
    return call(db, "cancel", parent)


async def approved(db: asyncpg.Connection) -> Act:
    return call(db, "approve", await insert(db, requires_approval=True))


async def running(db: asyncpg.Connection) -> tuple[FakeWorker, asyncpg.Record]:
    await insert(db)
    worker = FakeWorker(db, ROLE)
    return worker, await worker.claim_one()


async def released(db: asyncpg.Connection) -> Act:
    worker, task = await running(db)
    return lambda: worker.release(task)


async def snoozed(db: asyncpg.Connection) -> Act:
    worker, task = await running(db)
    return lambda: worker.release(task, after=timedelta(hours=1))


async def failed_with_attempts_left(db: asyncpg.Connection) -> Act:
    worker, task = await running(db)
    return lambda: worker.fail(task)


async def waited_for_what_is_done(db: asyncpg.Connection) -> Act:
    worker, task = await running(db)
    other = await insert(db, "other")
    await call(db, "complete", other)()
    return lambda: worker.wait(task, other)


async def waited_for_what_ends_now(db: asyncpg.Connection) -> Act:
    worker, task = await running(db)
    other = await insert(db, "other")
    await worker.wait(task, other)
    return call(db, "complete", other)


async def requeued(db: asyncpg.Connection) -> Act:
    _, task = await running(db)
    return call(db, "requeue", task["id"])


async def reaped(db: asyncpg.Connection) -> Act:
    await running(db)
    await db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s'")
    return lambda: db.execute("select taskq.reap()")


async def retried(db: asyncpg.Connection) -> Act:
    worker, task = await running(db)
    await worker.fail(task, final=True)
    return call(db, "retry", task["id"])


async def retried_before_its_time(db: asyncpg.Connection) -> Act:
    later = await db.fetchval("select now() + interval '1 h'")
    return call(db, "retry", await insert(db, run_at=later))


async def rerun(db: asyncpg.Connection) -> Act:
    worker, task = await running(db)
    await worker.complete(task)
    return call(db, "rerun", task["id"])


async def revived_with_nothing_to_wait_for(db: asyncpg.Connection) -> Act:
    """It fell with its parent, which has been completed since."""
    parent = await insert(db, "parent")
    child = await insert(db, depends_on=[parent])
    await call(db, "cancel", child)()
    await call(db, "complete", parent)()
    return call(db, "retry", child)


WAYS = [
    inserted, enqueued, inserted_for_later, inserted_behind_what_is_done, unblocked_by_a_worker,
    unblocked_by_a_person, runs_whatever_happens_when_the_parent_fails,
    runs_whatever_happens_when_the_parent_is_cancelled, approved, released, snoozed,
    failed_with_attempts_left, waited_for_what_is_done, waited_for_what_ends_now, requeued, reaped, retried,
    retried_before_its_time, rerun, revived_with_nothing_to_wait_for,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_the_bell_rings_for_whoever_sleeps_and_plays_the_role(db, ear, connect, way):
    act = await way(db)
    sleeper = await FakeWorker(await connect(), ROLE, "another").register()
    assert await sleeper.sleep()
    await ear.heard()
    await act()
    assert await ear.heard() == [ROLE]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_the_bell_is_silent_when_nobody_sleeps_who_plays_the_role(db, ear, connect, way):
    other = await FakeWorker(await connect(), "elsewhere").register()
    assert await other.sleep()
    act = await way(db)
    await ear.heard()
    await act()
    assert await ear.heard() == []


async def test_an_insert_of_many_rings_once(db, ear, sleeper):
    await db.execute("insert into taskq.tasks (role) select $1 from generate_series(1, 1000)", ROLE)
    assert await ear.heard() == [ROLE]


async def test_a_graph_of_several_roles_rings_for_those_that_can_run(db, ear, connect, sleeper):
    others = await FakeWorker(await connect(), "early", "late").register()
    assert await others.sleep()
    early = await insert(db, "early")
    assert await ear.heard() == ["early"]
    await insert(db, "late", depends_on=[early])
    assert "late" not in await ear.heard()


async def test_a_rolled_back_insert_rings_nobody(db, ear, sleeper):
    undo = db.transaction()
    await undo.start()
    await insert(db)
    await undo.rollback()
    assert await ear.heard() == []


async def test_the_bell_rings_at_commit_and_not_before(db, ear, connect, sleeper):
    client = await connect()
    async with client.transaction():
        await insert(client)
        assert await ear.heard() == []
    assert await ear.heard() == [ROLE]


# the mark


async def test_the_mark_goes_when_the_worker_is_busy(db, ear, sleeper):
    await sleeper.exchange(asleep=False)
    await insert(db)
    assert await ear.heard() == []


async def test_the_mark_stays_while_nobody_takes_it_off(db, ear, sleeper):
    """A lightly loaded worker pays no transactions for it."""
    for _ in range(3):
        await insert(db)
        assert await ear.heard() == [ROLE]
        await sleeper.drain()


async def test_the_mark_goes_with_the_worker(db, ear, sleeper):
    await db.execute("select taskq.retire($1)", sleeper.id)
    await insert(db)
    assert await ear.heard() == []


async def test_a_worker_that_is_not_registered_cannot_mark_itself(db):
    stranger = FakeWorker(db, ROLE)
    await stranger.exchange(asleep=True)
    assert await db.fetchval("select count(*) from taskq.sleepers") == 0


# what an exchange unblocks


async def test_what_an_exchange_unblocks_and_takes_itself_rings_nobody(db, ear, connect, sleeper):
    await insert(db, depends_on=[await insert(db, "parent")])
    worker = FakeWorker(await connect(), "parent", ROLE)
    claim = await worker.claim_one()
    await ear.heard()
    (child,) = await worker.exchange([(claim, None)], want=2, floors=[("parent", 0, claim["run_at"])])
    assert (child["kind"], child["role"]) == ("claim", ROLE)
    assert await ear.heard() == []


async def test_what_an_exchange_unblocks_and_has_no_slot_for_rings_another(db, ear, connect, sleeper):
    parent = await insert(db, "parent")
    await insert_graph(db, [(task, [parent]) for task in ids(3)])
    worker = FakeWorker(await connect(), "parent", ROLE)
    claim = await worker.claim_one()
    await ear.heard()
    assert len(await worker.exchange([(claim, None)], want=1)) == 1
    assert await ear.heard() == [ROLE]


# no wake-up is lost: law 5


async def test_a_worker_may_not_sleep_while_an_insert_that_missed_its_mark_is_under_way(db, ear, connect):
    client = await connect()
    worker = await FakeWorker(await connect(), ROLE).register()
    async with client.transaction():
        task = await insert(client)  # looks for sleepers: there is none
        assert not await worker.sleep()
    assert await ear.heard() == []
    assert await worker.sleep()
    assert (await worker.claim_one())["id"] == task, "the last claim finds it"


async def test_an_insert_after_the_mark_rings_though_the_worker_still_takes_its_last_look(db, ear, connect):
    worker = await FakeWorker(await connect(), ROLE).register()
    await worker.exchange(asleep=True)
    client = await connect()
    async with client.transaction():
        await insert(client)
        assert not await db.fetchval("select taskq.doze($1)", [ROLE])
    assert await ear.heard() == [ROLE]


async def test_inserts_of_other_roles_keep_nobody_awake(db, connect):
    worker = await FakeWorker(await connect(), ROLE).register()
    async with db.transaction():
        await insert(db, "elsewhere")
        assert await worker.sleep()


async def test_an_insert_does_not_wait_for_workers_that_go_to_sleep(db, connect):
    workers = [await FakeWorker(await connect(), ROLE).register() for _ in range(3)]
    client = await connect()
    async with client.transaction():
        await insert(client)
        assert [await worker.sleep() for worker in workers] == [False] * 3
        await asyncio.wait_for(insert(db), 2)
    assert await asyncio.wait_for(insert(db), 2)


async def lock(session: asyncpg.Connection, how: str, task: UUID) -> None:
    """Lock a queued row without claiming it."""
    if how == "child":
        await insert(session, "child", depends_on=[task])
    else:
        await session.execute(f"select from taskq.{how}($1)", task)


@pytest.mark.parametrize("how", ["await", "child", "retry"])
async def test_a_worker_whose_last_claim_skips_a_locked_row_may_not_sleep(db, connect, how):
    task = await insert(db)
    worker, client = await FakeWorker(await connect(), ROLE).register(), await connect()
    async with client.transaction():
        await lock(client, how, task)
        assert await worker.claim() == []
        assert not await worker.sleep()
    assert await worker.sleep()
    assert (await worker.claim_one())["id"] == task


@pytest.mark.parametrize("how", ["await", "child", "retry"])
async def test_a_sleeper_hears_when_the_lock_that_its_last_claim_skipped_goes(db, ear, connect, sleeper, how):
    task, client = await insert(db), await connect()
    await ear.heard()
    async with client.transaction():
        await lock(client, how, task)
        assert await sleeper.claim() == []
    assert await ear.heard() == [ROLE]
    assert (await sleeper.claim_one())["id"] == task


async def test_inserts_and_sleepers_at_full_speed_leave_nothing_behind(db, connect):
    """A worker that sleeps whenever it may and wakes only by the bell runs all that three clients insert."""
    worker = await FakeWorker(await connect(), ROLE).register()
    bell = asyncio.Event()
    listener = await connect()
    await listener.add_listener("taskq", lambda *_: bell.set())
    clients = [await connect() for _ in range(3)]
    ran = 0

    async def insert_some(client: asyncpg.Connection) -> None:
        for n in range(100):
            await insert(client)
            await asyncio.sleep(0.001 * (n % 7))

    async def work() -> None:
        nonlocal ran
        while ran < 300:
            ran += await worker.drain()
            if await worker.sleep():
                ran += await worker.drain()
                if ran < 300:
                    await asyncio.wait_for(bell.wait(), 5)
                    bell.clear()

    await asyncio.gather(work(), *map(insert_some, clients))
    assert ran == 300


async def test_a_sleeper_learns_when_the_next_task_is_due(db, sleeper):
    await db.execute(
        "insert into taskq.tasks (role, run_at, priority) values ($1, now() + interval '2 h', 5), "
        "($1, now() + interval '1 h', 0), ('elsewhere', now() + interval '1 min', 0)",
        ROLE,
    )
    (due,) = await sleeper.exchange(want=1, asleep=True)
    assert (due["kind"], due["id"]) == ("due", None)
    assert 3500 < due["due_in"] < 3601


async def test_a_sleeper_with_nothing_ahead_learns_that_too(db, sleeper):
    (due,) = await sleeper.exchange(want=1, asleep=True)
    assert (due["kind"], due["due_in"]) == ("due", None)


async def reaped_away(db: asyncpg.Connection, worker: FakeWorker) -> bool:
    await db.execute("select taskq.reap()")
    return not await db.fetchval("select exists (select from taskq.workers where id = $1)", worker.id)


async def test_a_dead_workers_roles_are_rung_for_what_it_kept_locked(db, ear, connect, sleeper):
    dead = await connect()
    worker = await FakeWorker(dead, ROLE, lease=timedelta(milliseconds=1)).register(direct=False)
    await ear.heard()
    await eventually(lambda: reaped_away(db, worker))
    assert await ear.heard() == [ROLE]
