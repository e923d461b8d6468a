"""The stage: the slots of a worker, the attempts that play in them, and what their ends mean."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from math import inf
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec

from taskq.app import Role
from taskq.client import encode
from taskq.errors import DatabaseError, InvalidTask, LeaseLost, Snooze, Suspended
from taskq.task import Line, SyncTask, Task
from taskq.worker.clock import Clock
from taskq.worker.hand import Finished
from taskq.worker.outcome import Failure, classify
from taskq.worker.playing import CANCELLED, LOST, RELEASED, TIMEOUT, Playing
from taskq.worker.reports import Reports

log = logging.getLogger("taskq.worker")
decode = msgspec.json.decode

NO_PARENTS: Mapping[UUID, Any] = MappingProxyType({})


class Stage:
    """Runs what was claimed, and sees that every end is written down.

    :param hand_in: takes completed attempts, for the next exchange.
    :param slot_freed: called when an attempt ended in another way.
    :param patience: seconds that a handler gets to end after it was told to.
    """

    def __init__(
        self,
        roles: Mapping[str, Role],
        *,
        concurrency: int,
        line: Line,
        reports: Reports,
        hand_in: Callable[[Finished], None],
        slot_freed: Callable[[], None],
        patience: float,
    ) -> None:
        self.line = line
        self._roles, self._reports, self._patience = roles, reports, patience
        self._hand_in, self._slot_freed = hand_in, slot_freed
        self._loop = asyncio.get_running_loop()
        self._concurrency = concurrency
        self._playing: dict[int, Playing] = {}
        self._claimed: list[Any] = []  # rows that start in the loop's next round
        self._clock = Clock(self._loop, self._playing.values, self._time_is_up)

    def free(self) -> int:
        """How many slots are free."""
        return self._concurrency - len(self._playing) - len(self._claimed)

    def held(self) -> list[tuple[UUID, int]]:
        """Task and lease of what runs.  Safe from other threads: each list is copied in one step."""
        playing, claimed = list(self._playing.values()), list(self._claimed)
        return [(p.task.id, p.task.lease) for p in playing] + [(row[1], row[2]) for row in claimed]

    def start(self, claims: Sequence[Any]) -> None:
        """Run what was claimed.

        While there are free slots another exchange follows at once.  The loop sends it at the end of this
        round; what starts in the next one is started while the server works.
        """
        self._claimed.extend(claims)
        if self.free():
            self._loop.call_soon(self._start_claimed)
        else:
            self._start_claimed()

    def _start_claimed(self) -> None:
        playing, roles, loop, clock = self._playing, self._roles, self._loop, self._clock
        for row in self._claimed:
            role = roles[row[3]]
            try:
                task = self._task(row, role)
            except (ValueError, RecursionError, msgspec.MsgspecError) as error:
                self._unreadable(row, error)
                continue
            playing[task.lease] = attempt = Playing(task, role, self)
            attempt.start(loop)
            clock.watch(attempt.deadline)
        self._claimed = []

    def stop(self, lease: int, verdict: str) -> None:
        """A heartbeat found that this attempt is asked to stop (`cancel`), or that its lease is `lost`."""
        self._start_claimed()
        if (playing := self._playing.get(lease)) is not None:
            why = CANCELLED if verdict == "cancel" else LOST
            log.info(
                "task %s is %s", playing.task.id, "asked to stop" if why == CANCELLED else "not ours any more"
            )
            playing.stop(why, self._patience)

    def release_all(self, patience: float) -> None:
        """Give back everything that runs."""
        self._start_claimed()
        for playing in list(self._playing.values()):
            playing.stop(RELEASED, patience)

    @property
    def is_empty(self) -> bool:
        """Nothing runs, and every end is written."""
        return not (self._playing or self._claimed or self._reports.pending)

    def close(self) -> None:
        """No more timeouts."""
        self._clock.stop()

    def _task(self, row: Any, role: Role) -> Task | SyncTask:
        """The attempt that a row of taskq.exchange describes."""
        task: Task | SyncTask
        if role.isolation == "loop":
            task = Task()
            task._line = self.line
        else:
            task = SyncTask()
        (
            _kind,
            task.id,
            task.lease,
            task.role,
            payload,
            task.attempt,
            _priority,
            task._run_at,
            task.max_attempts,
            task._timeout,
            task.name,
            task.mission_id,
            task.parent_id,
            task.created_by,
            task.traceparent,
            parents,
            _due_in,
        ) = row
        task.payload = decode(payload)
        task.parents = (
            NO_PARENTS if parents is None else {UUID(id): result for id, result in decode(parents).items()}
        )
        return task

    def _unreadable(self, row: Any, error: Exception) -> None:
        """Postgres keeps numbers and depths that Python does not."""
        failure = Failure("validation_error", f"the payload cannot be read: {error}", final=True)
        self._reports.fail(row[1], row[2], failure, self._slot_freed)

    # how attempts end

    def completed(self, playing: Playing, result: Any) -> None:
        """The handler returned."""
        task = playing.task
        try:
            text = None if result is None else encode(result)
        except InvalidTask as error:
            self._fail(
                playing,
                Failure("validation_error", f"the handler's result cannot be kept: {error}", final=True),
            )
            return
        del self._playing[task.lease]
        self._hand_in(Finished(task.id, task.lease, text))

    def refused(self, finished: Finished, error: DatabaseError) -> None:
        """The database does not take the result of a completed attempt."""
        failure = Failure("validation_error", f"the result cannot be kept: {error}", final=True)
        self._reports.fail(finished.id, finished.lease, failure, self._slot_freed)

    def raised(self, playing: Playing, error: BaseException) -> None:
        """The handler raised."""
        if is_suspended(error):
            self._forget(playing)  # its task waits already, and gave up its lease
        elif isinstance(error, Snooze) and isinstance(error.after, timedelta):
            self._release(playing, error.after)
        elif isinstance(error, LeaseLost):
            self._forget(playing)
        else:
            self._fail(playing, classify(error))

    def told_to_stop(self, playing: Playing) -> None:
        """It was told to stop, and did."""
        if playing.why == CANCELLED:
            self._reports.stop(playing.task.id, playing.task.lease, self._closed(playing))
        elif playing.why == TIMEOUT:
            self._fail(playing, Failure("timeout", f"the attempt took longer than {playing.task.timeout}"))
        elif playing.why == RELEASED:
            self._release(playing, None)
        else:
            self._forget(playing)

    def will_not_stop(self, playing: Playing) -> None:
        """It was told to stop, and did not: it runs on without a lease, unheard; its slot is for others."""
        log.error("task %s: the handler does not stop and is abandoned", playing.task.id)
        self.told_to_stop(playing)

    def _time_is_up(self, playing: Playing) -> None:
        log.warning("task %s: timeout after %s", playing.task.id, playing.task.timeout)
        playing.stop(TIMEOUT, self._patience)

    # the slot stays taken, and the lease alive, until the end is written

    def _fail(self, playing: Playing, failure: Failure) -> None:
        self._reports.fail(playing.task.id, playing.task.lease, failure, self._closed(playing))

    def _release(self, playing: Playing, after: timedelta | None) -> None:
        self._reports.release(playing.task.lease, after, self._closed(playing))

    def _closed(self, playing: Playing) -> Callable[[], None]:
        """Nothing else can end it any more; call what is returned when its end is written."""
        playing.over, playing.deadline = True, inf
        return lambda: self._forget(playing)

    def _forget(self, playing: Playing) -> None:
        self._playing.pop(playing.task.lease, None)
        self._slot_freed()


def is_suspended(error: BaseException) -> bool:
    """Whether this is Suspended, or a group of errors with one in it, as a TaskGroup makes."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(Suspended) is not None
    return isinstance(error, Suspended)
