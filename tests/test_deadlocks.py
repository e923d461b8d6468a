"""Sessions that lock the same rows in different orders do not block each other for good."""

from __future__ import annotations

import asyncio
import random
import time
from uuid import UUID

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, insert_graph, miscounted, status
from locks import behind

TOLD_WHAT_TO_DO = ("TQ001", "TQ002", "TQ003", "TQ004")


async def test_an_insert_of_a_child_of_two_does_not_deadlock_with_the_batch_that_completes_them(
    db, one, two, connect
):
    """The batch is handed in in the order opposite to that in which the insert locks its parents."""
    parents = sorted(ids(2))
    await insert_graph(db, [(parent, []) for parent in parents])
    worker = FakeWorker(two, ROLE)
    claims = sorted(await worker.claim(2), key=lambda task: task["id"], reverse=True)
    watcher = await connect()
    async with db.transaction():
        await db.execute("select from taskq.tasks where id = $1 for no key update", parents[0])
        completing = await behind(watcher, two, worker.complete(*claims))
        inserting = await behind(watcher, one, insert(one, "child", depends_on=parents))
    assert await completing == []
    assert await status(db, await inserting) == "queued"


async def test_an_insert_of_a_child_of_parent_and_grandparent_does_not_deadlock_with_the_grandparents_end(
    db, one, two, connect
):
    parent, grandparent = sorted(ids(2))  # the opposite of the order in which version 7 ids would stand
    await insert_graph(db, [(grandparent, []), (parent, [grandparent])])
    worker = FakeWorker(two, ROLE)
    claim = await worker.claim_one()
    watcher = await connect()
    async with db.transaction():
        await db.execute("select from taskq.tasks where id = $1 for no key update", grandparent)
        completing = await behind(watcher, two, worker.complete(claim))
        inserting = await behind(watcher, one, insert(one, "child", depends_on=[parent, grandparent]))
    assert await completing == []
    assert await status(db, await inserting) == "blocked"
    assert not await miscounted(db)


class Mob:
    """Sessions that do random things to random tasks at the same time."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.until = time.monotonic() + seconds
        self.dice = random.Random(seed)
        self.known: list[UUID] = []
        self.errors: list[asyncpg.PostgresError] = []
        self.deadlocks = self.done = 0

    async def run(self, session: asyncpg.Connection) -> None:
        worker = await FakeWorker(session, ROLE).register()
        steps = [
            self.insert,
            self.insert,
            self.work,
            self.work,
            self.work,
            self.operate,
            self.operate,
            self.tend,
        ]
        while time.monotonic() < self.until:
            try:
                await self.dice.choice(steps)(session, worker)
                self.done += 1
            # nothing was done; whoever meets it does it again.  An exchange gives up a lock sooner than it
            # takes to detect a deadlock
            except (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError):
                self.deadlocks += 1
            except asyncpg.PostgresError as error:
                if error.sqlstate not in TOLD_WHAT_TO_DO:
                    self.errors.append(error)

    def some(self, most: int) -> list[UUID]:
        """A few of the newest tasks."""
        recent = self.known[-30:]
        return self.dice.sample(recent, min(len(recent), self.dice.randint(0, most)))

    async def insert(self, session: asyncpg.Connection, worker: FakeWorker) -> None:
        parents = self.some(3)
        policy = self.dice.choice(["fail", "run", "wait"])
        top, left, right = ids(3)
        tasks = [(right, [top, *parents]), (left, [top]), (top, parents)]
        await insert_graph(session, tasks, policy=policy)
        self.known += [top, left, right]

    async def work(self, session: asyncpg.Connection, worker: FakeWorker) -> None:
        for task in await worker.claim(self.dice.randint(1, 5)):
            match self.dice.randint(0, 9):
                case 0:
                    await worker.fail(task, final=True)
                case 1:
                    await worker.fail(task)
                case 2:
                    await worker.release(task)
                case 3:
                    await worker.wait(task, *(other for other in self.some(2) if other != task["id"]))
                case 4:
                    await worker.heartbeat(task)
                case _:
                    await worker.complete(task)
        held = await session.fetch(
            "select id, lease from taskq.tasks where worker_id = $1 and lease is not null", worker.id
        )
        self.dice.shuffle(held)
        await worker.complete(*held)

    async def operate(self, session: asyncpg.Connection, worker: FakeWorker) -> None:
        for task in self.some(1):
            verb = self.dice.choice(["cancel", "retry", "retry", "requeue", "approve", "complete", "await"])
            await session.execute(f"select from taskq.{verb}($1)", task)

    async def tend(self, session: asyncpg.Connection, worker: FakeWorker) -> None:
        lapsed = self.some(2)
        await session.execute(
            "update taskq.tasks set lease_expires_at = now() - interval '1 s' where id = any(array("
            "select id from taskq.tasks where id = any($1) and lease is not null for update skip locked))",
            lapsed,
        )
        await session.execute("select taskq.tend()")


@pytest.mark.parametrize("seed", range(2))
async def test_a_mob_of_sessions_breaks_no_counter_and_hardly_ever_deadlocks(db, connect, seed):
    mob = Mob(seconds=3, seed=seed)
    await asyncio.gather(*[mob.run(await connect()) for _ in range(6)])
    assert mob.done > 100
    assert mob.deadlocks <= mob.done / 100
    assert [f"{error.sqlstate} {error}" for error in mob.errors] == []
    assert not await miscounted(db)
