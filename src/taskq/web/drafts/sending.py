"""Sending a draft: the dry run, and putting it in with its budget, once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from taskq.client import Queue, as_text, encode
from taskq.database import connect
from taskq.errors import InvalidTask
from taskq.web.api.labels import with_ids
from taskq.web.drafts.draft import Draft
from taskq.web.ids import new_id

T = TypeVar("T")
REMEMBERED: Final = 500
FIELDS: Final = {
    "role": "role",
    "name": "name",
    "payload": "payload",
    "priority": "priority",
    "run_at": "run_at",
    "delay": "delay",
    "depends_on": "depends_on",
}
"""The field of a column, where it has one."""


async def check(queue: Queue, draft: Draft, graph: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What would become of the tasks, in order; empty when the database refuses them: the forms say why."""
    tasks = rows_of(graph)
    try:
        return await queue.check(tasks)
    except InvalidTask as error:
        blame(draft, tasks, error)
        return []


async def send(
    queue: Queue, draft: Draft, graph: Sequence[Mapping[str, Any]], limits: Mapping[str, float], actor: str
) -> UUID | None:
    """Put the tasks in, and set the mission's budget with them; returns the root.

    None when the database refuses them, and the forms say why.
    """
    tasks = [{**task, "created_by": actor} for task in rows_of(graph)]
    root: UUID = tasks[0]["id"]
    try:
        if not limits:
            await queue.enqueue_many(tasks)
            return root
        # in one transaction, so that no worker begins before the limits hold
        session = await connect(queue.dsn, pooled=True, name="taskq serve")
        try:
            async with session.transaction() as transaction:
                await transaction.call("enqueue", as_text(tasks))
                await transaction.call("set_budget", "mission", str(root), encode(dict(limits)), actor)
        finally:
            await session.close()
        return root
    except InvalidTask as error:
        blame(draft, tasks, error)
        return None


def rows_of(graph: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tasks with ids in the place of labels, and with lengths of time as such."""
    tasks = with_ids([{"id": str(new_id()), **task} for task in graph])
    return [
        {**task, "delay": timedelta(seconds=task["delay"])} if "delay" in task else task for task in tasks
    ]


def blame(draft: Draft, tasks: Sequence[Mapping[str, Any]], error: InvalidTask) -> None:
    """Say what the database refuses at the field that it speaks of, or over the form."""
    said, column = str(error), FIELDS.get(error.field or "", "")
    having = [n for n, task in enumerate(tasks) if column in task]
    named = [n for n in having if str(tasks[n]["id"]) in said] or having
    (draft.parts[named[0]] if len(named) == 1 else draft.form).refuse(
        column if len(named) == 1 else "form", said
    )


class Once(Generic[T]):
    """What was sent twice, by a second click or a reload, is done once: both get the same answer."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, asyncio.Task[T]] = OrderedDict()

    async def do(self, key: str, deed: Callable[[], Awaitable[T]], *, counts: Callable[[T], bool]) -> T:
        """The answer of the deed, or of the one with this key; one that does not count may be tried again."""
        task = self._sent.get(key)
        if task is None or (
            task.done() and (task.cancelled() or task.exception() or not counts(task.result()))
        ):
            task = self._sent[key] = asyncio.ensure_future(deed())
            while len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
        return await asyncio.shield(task)
