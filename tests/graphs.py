"""Tasks and graphs of tasks, inserted as any client would, with plain SQL, and brought to their ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from fake_worker import FakeWorker

ROLE = "work"


async def insert(db: asyncpg.Connection, role: str = ROLE, **columns: Any) -> UUID:
    """One task."""
    names = ["role", *columns]
    marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    return await db.fetchval(
        f"insert into taskq.tasks ({', '.join(names)}) values ({marks}) returning id",  # noqa: S608  names are ours
        role,
        *columns.values(),
    )


async def insert_graph(
    db: asyncpg.Connection,
    edges: Iterable[tuple[UUID, Sequence[UUID]]],
    *,
    policy: str = "fail",
    role: str = ROLE,
) -> None:
    """Many tasks in one INSERT, in the order given: pairs of id and what it depends on."""
    nodes = list(edges)
    flat = [(task, parent) for task, parents in nodes for parent in parents]
    await db.execute(
        """
        insert into taskq.tasks (id, role, depends_on, on_dependency_failure)
        select n.id, $4, coalesce(e.parents, '{}'), $5
        from unnest($1::uuid[]) with ordinality n (id, at)
        left join (select task, array_agg(parent) as parents
                   from unnest($2::uuid[], $3::uuid[]) f (task, parent) group by task) e on e.task = n.id
        order by n.at
        """,
        [task for task, _ in nodes],
        [task for task, _ in flat],
        [parent for _, parent in flat],
        role,
        policy,
    )


def ids(count: int) -> list[UUID]:
    return [uuid4() for _ in range(count)]


async def row(db: asyncpg.Connection, task: UUID) -> asyncpg.Record:
    """The whole row."""
    return await db.fetchrow("select * from taskq.tasks where id = $1", task)


async def status(db: asyncpg.Connection, task: UUID) -> str:
    return await db.fetchval("select status::text from taskq.tasks where id = $1", task)


async def statuses(db: asyncpg.Connection, *tasks: UUID) -> list[str]:
    """In the order given."""
    found = dict(await db.fetch("select id, status::text from taskq.tasks where id = any($1)", list(tasks)))
    return [found[task] for task in tasks]


async def miscounted(db: asyncpg.Connection) -> list[asyncpg.Record]:
    """The tasks that break what must always hold; empty when all is well.

    A `run` dependent that went on when its parent failed is not called back when that parent is retried.
    """
    return await db.fetch("""
        select t.id, t.status::text, t.waiting_on, taskq.unmet(t.id) as unmet
        from taskq.tasks t
        where t.status = 'blocked' and (t.waiting_on <> taskq.unmet(t.id) or t.waiting_on = 0)
           or t.status in ('queued', 'in_progress', 'awaiting_approval') and exists (
                select from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
                where d.task_id = t.id and d.on_failure <> 'run' and not d.met and p.status <> 'completed')
           or (t.status = 'in_progress') <> (t.lease is not null and t.lease_expires_at is not null)
    """)


async def end(db: asyncpg.Connection, parents: FakeWorker, task: UUID, how: str) -> None:
    """Bring a queued task of role parent to this end; it must be the only queued one."""
    if how == "cancelled":
        await db.execute("select taskq.cancel($1, 'no need', 'someone')", task)
        return
    claim = await parents.claim_one()
    assert claim["id"] == task
    if how == "completed":
        await parents.complete(claim, result={"from": str(task)})
    else:
        await parents.fail(claim, final=True)


async def insert_end(db: asyncpg.Connection, parents: FakeWorker, how: str) -> UUID:
    task = await insert(db, "parent")
    await end(db, parents, task, how)
    return task


async def retry(db: asyncpg.Connection, task: UUID) -> None:
    await db.execute("select taskq.retry($1, 'again', 'someone')", task)
