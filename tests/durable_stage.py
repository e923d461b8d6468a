"""A task that is claimed again and again, to walk its durable steps."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from durable_task import durable_task
from fake_worker import FakeWorker
from graphs import insert
from taskq import Task
from taskq.database import Pool


@pytest.fixture
async def pool(dsn: str):
    pool = Pool(dsn)
    yield pool
    await pool.close()


class Stage:
    """Claims the one task again and again, as workers do after each crash."""

    def __init__(self, db: asyncpg.Connection, pool: Pool, worker: FakeWorker) -> None:
        self.db, self.pool, self.worker = db, pool, worker

    async def attempt(self) -> Task:
        return (await self.counted())[0]

    async def counted(self) -> tuple[Task, list[str]]:
        return durable_task(self.pool, self.worker, await self.worker.claim_one())

    async def crash(self, task: Task) -> None:
        await self.db.execute("select taskq.requeue($1)", task.id)


@pytest.fixture
async def stage(db, pool, worker) -> Stage:
    await insert(db)
    return Stage(db, pool, worker)


async def steps(db: asyncpg.Connection, task: Any) -> list[tuple[str, str, str | None, bool]]:
    rows = await db.fetch(
        "select name, kind, result, done_at is not null from taskq.steps where task_id = $1 order by place",
        task,
    )
    return [tuple(row) for row in rows]
