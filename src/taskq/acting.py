"""What people do to a task: the verbs of the client.  Each leaves an event that says who, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from taskq.database import Pool
from taskq.json_text import encode


class Acting:
    """The part of `Queue` that acts on tasks."""

    _pool: Pool

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

    async def amend(
        self, id: UUID, payload: Mapping[str, Any], reason: str | None = None, actor: str | None = None
    ) -> str:
        """Replace the payload of a task that has not begun; returns its status.

        :raises NotAnArrow: it has begun, or ended.
        """
        return str(await self._pool.fetch_value("amend", id, encode(payload), reason, actor))

    async def decline_call(self, id: UUID, note: str | None = None, actor: str | None = None) -> str:
        """Refuse the tool call that an agent awaits approval for; it is told why, and goes on.

        :returns: the status of the task.
        :raises NotAnArrow: it awaits nothing, or approval for another reason.
        """
        return str(await self._pool.fetch_value("decline_call", id, note, actor))

    async def amend_call(
        self, id: UUID, input: Mapping[str, Any], note: str | None = None, actor: str | None = None
    ) -> str:
        """Approve the tool call that an agent awaits approval for, with these arguments; it is told.

        :returns: the status of the task.
        :raises NotAnArrow: it awaits nothing, or approval for another reason.
        """
        return str(await self._pool.fetch_value("amend_call", id, encode(input), note, actor))
