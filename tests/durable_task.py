"""A `Task` on a claim of a FakeWorker, without a worker around it; it counts its round trips."""

from __future__ import annotations

from typing import Any

from fake_worker import FakeWorker, Row
from taskq import Task
from taskq.database import Pool
from taskq.task import Attempt
from taskq.worker.line import DatabaseLine


class CountingLine(DatabaseLine):
    """The way back to the database, counted by statement."""

    def __init__(self, pool: Pool, worker: FakeWorker) -> None:
        super().__init__(pool, worker.id)
        self.trips: list[str] = []

    async def call(self, task: Attempt, query: str, *args: Any) -> Any:
        self.trips.append(query)
        return await super().call(task, query, *args)

    async def rows(self, task: Attempt, query: str, *args: Any) -> list[Any]:
        self.trips.append(query)
        return await super().rows(task, query, *args)


def durable_task(pool: Pool, worker: FakeWorker, claim: Row) -> tuple[Task, list[str]]:
    """The task, and the list in which its round trips will be."""
    task, line = Task(), CountingLine(pool, worker)
    task._line, task.id, task.lease = line, claim["id"], claim["lease"]
    return task, line.trips
