"""Writing down how attempts ended, however long the database is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from taskq.database import Pool
from taskq.errors import DatabaseError, InvalidTask, LeaseLost
from taskq.worker.line import clean
from taskq.worker.outcome import Failure
from taskq.worker.pauses import pause

log = logging.getLogger("taskq.worker")


class Reports:
    """Ends other than completion; each shows worker and lease, so one that is late changes nothing."""

    def __init__(self, pool: Pool, worker: UUID) -> None:
        self._pool, self._worker = pool, worker
        self._pending: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """How many are not written yet."""
        return len(self._pending)

    def fail(self, id: UUID, lease: int, failure: Failure, then: Callable[[], None]) -> None:
        """The attempt failed; `then()` is called when that is written."""
        message, traceback = clean(failure.message), clean(failure.traceback)
        log.warning("task %s: %s: %.500s", id, failure.kind, message)
        arguments = (failure.kind, message, traceback, failure.retry_after, failure.final)
        self._later(self._write("fail", self._worker, id, lease, *arguments), then)

    def release(self, lease: int, after: timedelta | None, then: Callable[[], None]) -> None:
        """The attempt gives its task back, at once or for a while; none is spent."""
        self._later(self._write("release", self._worker, [lease], after), then)

    def stop(self, id: UUID, lease: int, then: Callable[[], None]) -> None:
        """The attempt was asked to stop, and did."""
        self._later(self._write("stop", self._worker, id, lease), then)

    def _later(self, writing: Coroutine[Any, Any, None], then: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(writing)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        task.add_done_callback(lambda _: then())

    async def _write(self, query: str, *args: Any) -> None:
        for failures in count(1):
            try:
                await self._pool.fetch_value(query, *args)
                return
            except LeaseLost as error:
                log.warning("%s", error)
                return
            except InvalidTask as error:
                log.error("%s was refused, the lease will run out: %s", query, error)
                return
            except DatabaseError as error:
                log.warning("%s is not written yet: %s", query, error)
                await asyncio.sleep(pause(failures))
