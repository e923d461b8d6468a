"""The client: put tasks in, wait for them, act on them.

async with Queue() as queue:
    first = await queue.enqueue("resize", {"path": "a.png"})
    last = await queue.enqueue("montage", {}, depends_on=[first])
    done = await queue.wait(last)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack
from uuid import UUID

from taskq import embedded, schema
from taskq.acting import Acting
from taskq.database import Connection, Pool, connect, join
from taskq.durable import Done as Done
from taskq.durable import interval as interval
from taskq.errors import DatabaseError, TaskFailed
from taskq.governing import Governing
from taskq.json_text import decode as decode
from taskq.json_text import encode as encode
from taskq.json_text import plain
from taskq.settings import Settings
from taskq.task import FINAL


class Columns(TypedDict, total=False):
    """The optional columns of a task; see the comments on taskq.tasks."""

    id: UUID
    name: str
    priority: int
    run_at: datetime
    delay: timedelta
    depends_on: Iterable[UUID]
    on_dependency_failure: Literal["fail", "run", "wait"]
    requires_approval: bool
    max_attempts: int
    timeout: timedelta
    dedup_key: str
    mission_id: UUID
    parent_id: UUID
    created_by: str
    traceparent: str


@asynccontextmanager
async def reachable(settings: Settings) -> AsyncIterator[str]:
    """The DSN of the database that the settings name, for as long as the block lasts.

    Without a URL it is the embedded server in `settings.home`: started or adopted, migrated, and kept alive.

    :raises NoDatabase: no URL is set and no server can be started.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    async with await embedded.ensure(settings) as server:
        await schema.migrate(server.dsn)
        yield server.dsn


class Queue(Acting, Governing):
    """The queue in one database.

    :param dsn: where it is; by default what the environment names, else the embedded server.
    """

    def __init__(self, dsn: str | None = None, *, settings: Settings | None = None) -> None:
        self._settings = settings or Settings.read()
        self._dsn = dsn
        self._open = AsyncExitStack()
        self._listening = asyncio.Lock()
        self._listener: Connection | None = None
        self._waiters: dict[UUID, list[asyncio.Event]] = {}

    async def __aenter__(self) -> Self:
        if self._dsn is None:
            self._dsn = await self._open.enter_async_context(reachable(self._settings))
        self._pool = Pool(self._dsn, pooled=self._settings.listen_url is not None)
        self._open.push_async_callback(self._pool.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            await self._listener.close()
        await self._open.aclose()

    @property
    def dsn(self) -> str:
        """Where the queue is."""
        assert self._dsn is not None, "use it as: async with Queue() as queue"
        return self._dsn

    async def enqueue(
        self,
        role: str,
        payload: Mapping[str, Any] | None = None,
        *,
        connection: Any = None,
        **columns: Unpack[Columns],
    ) -> UUID:
        """Insert a task and return its id; with a `dedup_key` that a live task has, the id of that one.

        :param connection: join the transaction of this connection (asyncpg, psycopg or SQLAlchemy).
        :raises InvalidTask: the task is refused; nothing was written.
        """
        task = {"role": role, "payload": payload or {}, **columns}
        return (await self.enqueue_many([task], connection=connection))[0]

    async def enqueue_many(self, tasks: Sequence[Mapping[str, Any]], *, connection: Any = None) -> list[UUID]:
        """Insert tasks in one statement, in any order, and return their ids.

        :param tasks: mappings with `role`, and what `enqueue` takes; give ids to those that others depend on.
        :raises InvalidTask: one of them is refused; nothing was written.
        """
        if not tasks:
            return []
        text = as_text(tasks)
        if connection is not None:
            return [UUID(str(id)) for id in await join(connection, "enqueue", text)]
        return list(await self._pool.fetch_value("enqueue", text))

    async def check(self, tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What `enqueue_many` would make of these tasks; nothing is written.

        :returns: in order: `id`, `role`, `status`, and `note`, which says what would keep it, or None.
        :raises InvalidTask: one of them would be refused.
        """
        return [dict(row) for row in await self._pool.fetch("check_tasks", as_text(tasks))]

    async def wait(self, id: UUID, *, timeout: timedelta | None = None) -> Done:
        """Wait until the task ends and say how.  It is told by LISTEN; lost news is found by a slow sweep.

        :raises NoSuchTask: there is none with this id.
        :raises TimeoutError: it did not end in time.
        """
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            event = asyncio.Event()
            self._waiters.setdefault(id, []).append(event)
            try:
                while True:
                    try:
                        await self._listen()
                        if (done := await self.look(id)) is not None:
                            return done
                    except ConnectionError:
                        await asyncio.sleep(0.5)  # the server restarts; do not hammer it
                        continue
                    await self._told(event)
            finally:
                self._waiters[id].remove(event)
                if not self._waiters[id]:
                    del self._waiters[id]

    async def _told(self, event: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._settings.sweep.total_seconds()):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    async def look(self, id: UUID) -> Done | None:
        """How the task ended; None while it has not, and then its end will be told."""
        row = await self._pool.fetch_one("await", id)
        if row is None or row["status"] not in FINAL:
            return None
        return Done(id, row["status"], decode(row["result"]), row["error_kind"], row["error"])

    async def result(self, id: UUID, *, timeout: timedelta | None = None) -> Any:
        """Wait for the task and return its result.

        :raises TaskFailed: it failed or was cancelled.
        """
        done = await self.wait(id, timeout=timeout)
        if done.status != "completed":
            raise TaskFailed(id, done.status, done.error_kind, done.error)
        return done.result

    async def _listen(self) -> None:
        async with self._listening:
            if self._listener is None or self._listener.is_closed:
                listener = await connect(self._settings.listen_url or self.dsn, name="taskq client")
                listener.on_lost(self._tell_all)
                await listener.listen("taskq_final", self._tell)
                self._listener = listener

    def _tell(self, channel: str, payload: str) -> None:
        for event in self._waiters.get(UUID(payload), ()):
            event.set()

    def _tell_all(self) -> None:
        for events in self._waiters.values():
            for event in events:
                event.set()

    async def show(self, id: UUID) -> dict[str, Any]:
        """The row of a task, payload and result decoded.

        :raises NoSuchTask: there is none with this id.
        """
        row = await self._pool.fetch_one("show", id)
        if row is None:
            await self._pool.fetch_value("explain", id)  # raises NoSuchTask in the database's words
            raise DatabaseError(f"task {id} was deleted a moment ago")
        return {**row, "payload": decode(row["payload"]), "result": decode(row["result"])}

    async def explain(self, id: UUID) -> str:
        """One line: why the task is where it is, and what would move it."""
        return str(await self._pool.fetch_value("explain", id))


def as_text(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Tasks as taskq.enqueue takes them.

    :raises InvalidTask: one of them has no JSON that Postgres can keep.
    """
    return encode([{key: plain(value) for key, value in task.items()} for task in tasks])
