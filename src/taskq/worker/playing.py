"""One attempt: the handler, its clock, and its end."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import msgspec

from taskq.app import Role
from taskq.errors import Suspended
from taskq.task import Line, SyncTask, Task
from taskq.threads import run_in_thread
from taskq.worker.outcome import BadPayload
from taskq.worker.processes import run_in_process
from taskq.worker.threads import ThreadLine

# why an attempt is made to end before its handler is done
TIMEOUT: Final = "timeout"
CANCELLED: Final = "cancelled"
LOST: Final = "lost"
RELEASED: Final = "released"


class Stage(Protocol):
    """Who is told how attempts end."""

    line: Line

    def completed(self, playing: Playing, result: Any) -> None: ...

    def raised(self, playing: Playing, error: BaseException) -> None: ...

    def told_to_stop(self, playing: Playing) -> None: ...

    def will_not_stop(self, playing: Playing) -> None: ...


class Playing:
    """A running attempt.  `stop(why)` makes it end; `why` then says what its end means."""

    __slots__ = ("_handle", "_patience", "_stage", "deadline", "over", "role", "task", "why")

    def __init__(self, task: Task | SyncTask, role: Role, stage: Stage) -> None:
        self.task, self.role, self._stage = task, role, stage
        self.why: str | None = None
        self.over = False  # its end is being written; whatever happens now is unheard
        self._patience: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """The clock of an attempt starts when it starts."""
        self.deadline = loop.time() + self.task._timeout
        self._handle = loop.create_task(self._play())

    def stop(self, why: str, patience: float | None = None) -> None:
        """Make the handler end; after `patience` seconds it is abandoned.  The first reason given counts."""
        if self.why is None and not self.over:
            self.why = why
            loop = asyncio.get_running_loop()
            loop.call_soon(self._handle.cancel, why)  # not at once: before its first step it could not tell
            if patience is not None:
                self._patience = loop.call_later(patience, self._abandon)

    def _abandon(self) -> None:
        self.over = True
        self._stage.will_not_stop(self)

    async def _play(self) -> None:
        role = self.role
        try:
            if role.isolation == "loop" and role.payload_type is None:
                result = await role.handler(self.task)
            else:
                result = await self._play_another_way()
        except (asyncio.CancelledError, Exception, Suspended, BaseExceptionGroup, SystemExit) as error:
            self._end()
            if not self.over:
                if self.why is None:
                    self._stage.raised(self, error)
                else:
                    self._stage.told_to_stop(self)
        else:
            self._end()
            if not self.over:
                if self.why is None or self.why == RELEASED:
                    self._stage.completed(self, result)
                else:
                    self._stage.told_to_stop(self)  # it was told to stop, and returned something instead

    def _end(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    async def _play_another_way(self) -> Any:
        role, task = self.role, self.task
        payload = None if role.payload_type is None else read_payload(task.payload, role.payload_type)
        arguments = (task,) if payload is None else (task, payload)
        if role.isolation == "loop":
            return await role.handler(*arguments)
        assert isinstance(task, SyncTask)
        if role.isolation == "process":
            return await run_in_process(role.handler, task, payload, self._stage.line)
        task._line = ThreadLine(self._stage.line, task)
        return await run_in_thread(role.handler, *arguments, name=f"taskq {task.role} {task.id}")


def read_payload(payload: dict[str, Any], type_: Any) -> Any:
    """The payload as the type that the handler asks for.

    :raises BadPayload: it does not fit.
    """
    try:
        return msgspec.convert(payload, type_)
    except msgspec.ValidationError as error:
        raise BadPayload(f"the payload does not fit {getattr(type_, '__name__', type_)}: {error}") from error
