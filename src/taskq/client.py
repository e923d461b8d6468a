"""The client: put tasks in, wait for them, act on them.

async with Queue() as queue:
    first = await queue.enqueue("resize", {"path": "a.png"})
    last = await queue.enqueue("montage", {}, depends_on=[first])
    done = await queue.wait(last)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack
from uuid import UUID

import msgspec

from taskq import embedded, schema
from taskq.database import Connection, Pool, connect, join
from taskq.durable import Done as Done
from taskq.durable import interval as interval
from taskq.errors import DatabaseError, InvalidTask, TaskFailed
from taskq.settings import Settings
from taskq.task import FINAL

NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of a NUL, but not the text of one: a backslash that is escaped itself."""


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


class Queue:
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
        text = encode([{key: plain(value) for key, value in task.items()} for task in tasks])
        if connection is not None:
            return [UUID(str(id)) for id in await join(connection, "enqueue", text)]
        return list(await self._pool.fetch_value("enqueue", text))

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

    async def cancel(self, id: UUID, reason: str | None = None, actor: str | None = None) -> str:
        """Cancel a task; returns its status, `in_progress` when it runs and was asked to stop."""
        return str(await self._pool.fetch_value("cancel", id, reason, actor))

    async def retry(self, id: UUID, reason: str | None = None, actor: str | None = None) -> str:
        """Run a failed or cancelled task again, and what fell with it; returns its status."""
        return str(await self._pool.fetch_value("retry", id, reason, actor))

    async def requeue(self, id: UUID, reason: str | None = None, actor: str | None = None) -> str:
        """Take a running task from its worker and queue it again; returns its status."""
        return str(await self._pool.fetch_value("requeue", id, reason, actor))

    async def rerun(self, id: UUID, reason: str | None = None, actor: str | None = None) -> UUID:
        """Insert a new task like a finished one; returns its id."""
        return UUID(str(await self._pool.fetch_value("rerun", id, reason, actor)))

    async def approve(self, id: UUID, actor: str | None = None, note: str | None = None) -> str:
        """Approve a task that awaits it; returns its status."""
        return str(await self._pool.fetch_value("approve", id, actor, note))

    async def reject(self, id: UUID, actor: str | None = None, reason: str | None = None) -> str:
        """Reject a task that awaits approval; returns its status."""
        return str(await self._pool.fetch_value("reject", id, actor, reason))

    async def complete(
        self, id: UUID, result: Any = None, actor: str | None = None, error: str | None = None
    ) -> str:
        """Complete a queued task that a person plays, or fail it with `error`; returns its status."""
        return str(
            await self._pool.fetch_value(
                "complete", id, None if result is None else encode(result), actor, error
            )
        )

    async def signal(self, id: UUID, name: str, payload: Any = None, actor: str | None = None) -> bool:
        """Tell a task something that it waits for, or will; the first signal of a name counts.

        :returns: whether it was the first.
        :raises NotAnArrow: the task has ended.
        """
        text = None if payload is None else encode(payload)
        return bool(await self._pool.fetch_value("signal", id, name, text, actor))

    async def fork(self, id: UUID, name: str, actor: str | None = None) -> UUID:
        """Insert a new task like this one, with the steps before the one of this name; returns its id.

        :raises InvalidTask: it has no step of this name.
        """
        return UUID(str(await self._pool.fetch_value("fork", id, name, actor)))

    async def steer(self, id: UUID, text: str, actor: str | None = None) -> int:
        """Tell an agent something before its next turn; returns the number of the message.

        :raises NotAnArrow: the task has ended.
        """
        return int(await self._pool.fetch_value("steer", id, text, actor))

    async def pause(self, id: UUID, reason: str | None = None, actor: str | None = None) -> int:
        """Have an agent wait for an approval before its next turn; returns the number of the message.

        :raises NotAnArrow: the task has ended.
        """
        return int(await self._pool.fetch_value("pause", id, reason, actor))

    async def set_budget(
        self, scope: str, key: str, limits: Mapping[str, float | None], actor: str | None = None
    ) -> None:
        """Set limits of a task, mission or role; None takes one away, what is not named stays.

        :param limits: `tokens`, `cost` (US dollars), `turns`, `tool_calls`, `seconds`.
        :raises NoSuchTask: there is no such task or mission.
        """
        await self._pool.fetch_value("set_budget", scope, key, encode(limits), actor)

    async def set_gate(
        self, provider: str, model: str, requests: int | None, tokens: int | None, actor: str | None = None
    ) -> None:
        """Set how many requests and tokens a minute a model (`*`: all of them together) may be asked for."""
        await self._pool.fetch_value("set_gate", provider, model, requests, tokens, actor)

    async def resume_gate(self, provider: str, model: str = "*", actor: str | None = None) -> bool:
        """Lift the pause of a provider or of one of its models; returns whether it was paused."""
        return bool(await self._pool.fetch_value("resume_gate", provider, model, actor))

    async def tend(self) -> dict[str, int]:
        """One pass of maintenance; returns what was done."""
        return dict(decode(await self._pool.fetch_value("tend")))


def plain(value: Any) -> Any:
    """A column's value as JSON knows it."""
    if isinstance(value, timedelta):
        return interval(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def encode(value: Any) -> str:
    """The JSON text of a value.

    :raises InvalidTask: it has none that Postgres can keep.
    """
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidTask(f"this is no JSON: {error}") from error
    if "\\u0000" in text and NUL.search(text):
        raise InvalidTask("Postgres keeps no \\u0000 in JSON; remove it from the text")
    return text


def decode(text: str | None) -> Any:
    """The value of a JSON text; None for none."""
    return None if text is None else msgspec.json.decode(text)
