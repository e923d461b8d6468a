"""What a handler is given: one attempt of one task.

An async handler gets a `Task`, a sync one (a thread, a process) a `SyncTask`; they differ only in
whether `progress` and `log` are awaited.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec

from taskq.durable import Diary, Durable

FINAL: Final = frozenset({"completed", "failed", "cancelled"})

ERROR_KINDS: Final = frozenset(
    {
        "timeout",
        "worker_lost",
        "dependency_failed",
        "agent_error",
        "tool_error",
        "validation_error",
        "external_service",
        "rate_limited",
        "budget_exceeded",
        "rejected",
        "cancelled",
        "unknown",
    }
)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One committed message of an agent's conversation (a row of `taskq.messages`); `cost` in US dollars.

    `body` is the JSON text of the message's content, exactly as it was sent or received: jsonb would
    reorder its keys and refuse \\u0000.
    """

    seq: int
    role: Literal["user", "assistant"]
    body: str
    stop_reason: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    simulated: bool = False
    attempt: int = 0
    request_id: str | None = None
    cost: float | None = None


class Transaction(Protocol):
    """A transaction of an attempt on the queue's own database: SQL of your own, and `Task.call` within it."""

    async def execute(self, query: str, *args: Any) -> str: ...

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...

    async def fetchrow(self, query: str, *args: Any) -> Any: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...

    async def call(self, query: str, *args: Any) -> Any: ...


class Line(Protocol):
    """The way from a running attempt back to the database; every write shows the lease.

    Each method raises `LeaseLost` when another worker owns the task.
    """

    async def progress(self, task: Attempt, fraction: float | None, note: str | None) -> None: ...

    async def log(self, task: Attempt, text: str) -> None: ...

    async def call(self, task: Attempt, query: str, *args: Any) -> Any: ...

    async def rows(self, task: Attempt, query: str, *args: Any) -> list[Any]: ...

    def transaction(self, task: Attempt) -> AbstractAsyncContextManager[Transaction]: ...

    async def messages(self, task: Attempt) -> list[Message]: ...


class Attempt:
    """One attempt of one task: what both kinds of handler can read."""

    __slots__ = (
        "_line",
        "_run_at",
        "_timeout",
        "attempt",
        "created_by",
        "id",
        "lease",
        "max_attempts",
        "mission_id",
        "name",
        "parent_id",
        "parents",
        "payload",
        "role",
        "traceparent",
    )

    id: UUID
    role: str
    name: str | None
    payload: dict[str, Any]
    attempt: int
    max_attempts: int
    lease: int
    mission_id: UUID
    parent_id: UUID | None
    created_by: str | None
    traceparent: str | None
    _timeout: float
    _run_at: float
    parents: Mapping[UUID, Any]
    """Results of the tasks that this one depended on, by id; those that did not complete are absent."""

    @property
    def timeout(self) -> timedelta:
        """How long this attempt may take."""
        return timedelta(seconds=self._timeout)

    @property
    def run_at(self) -> datetime:
        """Since when the task could run."""
        return datetime.fromtimestamp(self._run_at, UTC)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.role} attempt {self.attempt}>"


class Task(Attempt, Durable):
    """What an async handler is given; with `step`, `sleep`, `signal` and `spawn` of `Durable`."""

    __slots__ = ("_pages",)
    _line: Line
    _pages: Diary

    @property
    def _diary(self) -> Diary:
        if not hasattr(self, "_pages"):  # most tasks need none
            self._pages = Diary()
        return self._pages

    async def progress(self, fraction: float | None = None, note: str | None = None) -> None:
        """Tell people how far the task is.

        :param fraction: 0 to 1, or None to leave it.
        :param note: a line for people, or None to leave it.
        :raises LeaseLost: another worker owns the task now.
        """
        await self._line.progress(self, fraction, note)

    async def log(self, text: str) -> None:
        """Keep a line for people in `taskq.logs` (cut at 8 KB).

        :raises LeaseLost: another worker owns the task now.
        """
        await self._line.log(self, text)

    async def call(self, query: str, *args: Any) -> Any:
        """Call a worker's function of the schema, by the name of its statement, under this attempt's lease.

        The statement's first three arguments are the worker, the task and the lease; `args` follow.

        :returns: the first column of the first row.
        :raises LeaseLost: another worker owns the task now.
        """
        return await self._line.call(self, query, *args)

    async def rows(self, query: str, *args: Any) -> list[Any]:
        """As `call`, and returns all rows."""
        return await self._line.rows(self, query, *args)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction on the queue's database, committed at the end of the block."""
        return self._line.transaction(self)

    async def messages(self) -> list[Message]:
        """The conversation of this task as far as it is committed, by this attempt or earlier ones."""
        return await self._line.messages(self)


class SyncLine(Protocol):
    """The same way back for a handler that cannot await, in a thread or behind a pipe."""

    def progress(self, fraction: float | None, note: str | None) -> None: ...

    def log(self, text: str) -> None: ...


class SyncTask(Attempt):
    """What a sync handler is given, in a thread or a process of its own."""

    __slots__ = ()
    _line: SyncLine

    def progress(self, fraction: float | None = None, note: str | None = None) -> None:
        """As `Task.progress`, without await."""
        self._line.progress(fraction, note)

    def log(self, text: str) -> None:
        """As `Task.log`, without await."""
        self._line.log(text)
