"""One worker: from its registration to its drained stop."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import msgspec

from taskq.app import App, Role
from taskq.client import encode
from taskq.database import Pool, connect
from taskq.errors import DatabaseError, InvalidTask, LeaseLost, Snooze
from taskq.settings import Settings
from taskq.task import Line, SyncTask, Task
from taskq.worker.clock import Clock
from taskq.worker.exchanger import Exchanger, Finished
from taskq.worker.heart import Heart, Identity
from taskq.worker.line import DatabaseLine, clean
from taskq.worker.outcome import Failure, classify
from taskq.worker.playing import CANCELLED, LOST, RELEASED, TIMEOUT, Playing

log = logging.getLogger("taskq.worker")

NO_PARENTS: Mapping[UUID, Any] = MappingProxyType({})
HUNG_LIMIT = timedelta(minutes=5)
STOP_PATIENCE = 10.0  # seconds that a handler gets to end after it was told to, when the grace is longer


class Worker:
    """Plays roles of an app on one database.

    :param dsn: the database; `settings.listen_url` when that is a transaction pooler.
    :param roles: names to play; all of the app by default.
    :param concurrency: slots: how many tasks run at once.
    :param hung_limit: how long one handler may block the event loop before the process is given up.
    """

    def __init__(
        self,
        app: App,
        *,
        dsn: str,
        settings: Settings,
        roles: Sequence[str] | None = None,
        concurrency: int = 10,
        hung_limit: timedelta = HUNG_LIMIT,
    ) -> None:
        self.id = uuid4()
        self._roles: dict[str, Role] = {
            name: app.roles[name] for name in (app.roles if roles is None else roles)
        }
        self._dsn, self._settings, self._concurrency, self._hung_limit = (
            dsn,
            settings,
            concurrency,
            hung_limit,
        )
        self._claim_at_once = concurrency if concurrency < 64 else concurrency // 2
        self._playing: dict[int, Playing] = {}
        self._reports: set[asyncio.Task[None]] = set()
        self._drained = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._patience = min(settings.grace.total_seconds(), STOP_PATIENCE)

    async def run(self) -> None:
        """Work until `drain` is called and everything is handed in or given back.

        :raises DatabaseError: the worker cannot be registered, for instance since the schema is missing.
        """
        settings, pooled = self._settings, self._settings.listen_url is not None
        self._loop = asyncio.get_running_loop()
        self._clock = Clock(self._loop, self._playing.values, self._time_is_up)
        self._pool = Pool(self._dsn, size=4, pooled=pooled)
        self.line: Line = DatabaseLine(self._pool, self.id)
        self._exchanger = Exchanger(
            self,
            worker=self.id,
            roles=list(self._roles),
            dsn=self._dsn,
            pooled=pooled,
            lease=settings.lease,
            sweep=settings.sweep,
        )
        name = f"{socket.gethostname()}:{os.getpid()}"
        identity = Identity(self.id, name, list(self._roles), self._concurrency, version(), settings.lease)
        self._heart = Heart(
            self,
            identity,
            dsn=settings.listen_url or self._dsn,
            every=settings.heartbeat,
            hung_limit=self._hung_limit,
        )
        await self._declare_roles()
        await self._heart.start()
        log.info("worker %s plays %s in %d slots", name, ", ".join(self._roles), self._concurrency)
        exchanging = asyncio.create_task(self._exchanger.run())
        draining = asyncio.create_task(self._drained.wait())
        try:
            await asyncio.wait((exchanging, draining), return_when=asyncio.FIRST_COMPLETED)
            if exchanging.done():
                exchanging.result()
            await self._wind_up()
            self._exchanger.close()
            _, late = await asyncio.wait((exchanging,), timeout=settings.grace.total_seconds())
            if late:
                log.error("the database is away: %d results are lost", len(self._exchanger.unsettled()))
        finally:
            self._clock.stop()
            draining.cancel()
            exchanging.cancel()
            await self._heart.stop()
            await self._pool.close()

    def drain(self) -> None:
        """Claim nothing more; end when what runs is done, or given back after the grace or a second call."""
        if self._drained.is_set():
            self._stop_now.set()
        self._drained.set()

    async def _declare_roles(self) -> None:
        declared = [
            {
                "name": role.name,
                "description": role.description,
                "timeout": seconds(role.timeout),
                "max_attempts": role.max_attempts,
                "backoff": None if role.backoff is None else [seconds(step) for step in role.backoff],
            }
            for role in self._roles.values()
        ]
        session = await connect(self._dsn, pooled=self._settings.listen_url is not None)
        try:
            await session.fetch_value("declare_roles", encode(declared))
        finally:
            await session.close()

    # the slots, for the exchanger

    def free(self) -> int:
        """How many more tasks the next exchange may claim.

        Of many slots only half are filled at a time, so that one half runs while the other is exchanged.
        """
        if self._drained.is_set():
            return 0
        return min(self._concurrency - len(self._playing), self._claim_at_once)

    def start(self, claims: Sequence[Any]) -> None:
        """Run what was claimed."""
        self._heart.sign_of_work()
        playing, roles, loop = self._playing, self._roles, self._loop
        for row in claims:
            role = roles[row[3]]
            task = self._task(row, role)
            playing[task.lease] = attempt = Playing(task, role, self)
            attempt.start(loop)
            self._clock.watch(attempt.deadline)

    def _task(self, row: Any, role: Role) -> Task | SyncTask:
        """The attempt that a row of taskq.exchange describes."""
        task: Task | SyncTask
        if role.isolation == "loop":
            task = Task()
            task._line = self.line
        else:
            task = SyncTask()
        _, task.id, task.lease, task.role, payload, task.attempt, _, task.run_at, *rest = row
        (
            task.max_attempts,
            task.timeout,
            task.name,
            task.mission_id,
            task.parent_id,
            task.created_by,
            *rest,
        ) = rest
        task.traceparent, parents, _ = rest
        task.payload = decode(payload)
        task.parents = (
            NO_PARENTS if parents is None else {UUID(id): result for id, result in decode(parents).items()}
        )
        return task

    def known_leases(self) -> list[int]:
        """Every lease that this worker knows it holds."""
        return [*self._playing, *(finished.lease for finished in self._exchanger.unsettled())]

    def refused(self, finished: Finished, error: DatabaseError) -> None:
        """A result that the database does not take fails its task."""
        failure = Failure("validation_error", f"the result cannot be kept: {error}", final=True)
        self._later(self._fail(finished.id, finished.lease, failure))

    # the body, for the heart

    def held(self) -> tuple[list[UUID], list[int]]:
        """The tasks and leases to keep alive.  Called in the heart's thread, so it copies in single steps."""
        tasks = [playing.task for playing in list(self._playing.values())]
        finished = self._exchanger.unsettled()
        return [t.id for t in (*tasks, *finished)], [t.lease for t in (*tasks, *finished)]

    def hear(self, verdicts: list[tuple[int, str]]) -> None:
        """What a heartbeat found out about our leases."""
        for lease, verdict in verdicts:
            if (playing := self._playing.get(lease)) is not None:
                log.info(
                    "task %s: %s",
                    playing.task.id,
                    "asked to stop" if verdict == "cancel" else "its lease is lost",
                )
                playing.stop(CANCELLED if verdict == "cancel" else LOST, self._patience)

    def ring(self, role: str) -> None:
        """The bell for a role."""
        if role in self._roles:
            self._heart.sign_of_work()
            self._exchanger.ring()

    def look_at_all(self) -> None:
        """The heart has a new session; bells may have been missed."""
        self._exchanger.look_at_all()

    # the stage, for the attempts

    def completed(self, playing: Playing, result: Any) -> None:
        """The handler returned."""
        task = playing.task
        try:
            text = None if result is None else encode(result)
        except InvalidTask as error:
            failure = Failure("validation_error", f"the handler's result cannot be kept: {error}", final=True)
            self._report(playing, self._fail(task.id, task.lease, failure))
            return
        del self._playing[task.lease]
        self._exchanger.hand_in(Finished(task.id, task.lease, text))

    def raised(self, playing: Playing, error: BaseException) -> None:
        """The handler raised."""
        task = playing.task
        if isinstance(error, Snooze):
            self._report(playing, self._release([task.lease], error.after))
        elif isinstance(error, LeaseLost):
            self._forget(playing)
        else:
            self._report(playing, self._fail(task.id, task.lease, classify(error)))

    def _time_is_up(self, playing: Playing) -> None:
        log.warning("task %s: timeout after %s", playing.task.id, playing.task.timeout)
        playing.stop(TIMEOUT, self._patience)

    def ended(self, playing: Playing) -> None:
        """It was told to stop, and did."""
        task = playing.task
        if playing.why == CANCELLED:
            self._report(playing, self._settle("stop", self.id, task.id, task.lease))
        elif playing.why == TIMEOUT:
            failure = Failure("timeout", f"the attempt took longer than {task.timeout}")
            self._report(playing, self._fail(task.id, task.lease, failure))
        elif playing.why == RELEASED:
            self._report(playing, self._release([task.lease], None))
        else:
            self._forget(playing)

    def will_not_stop(self, playing: Playing) -> None:
        """It was told to stop, and did not: it runs on without a lease, unheard; its slot is for others."""
        log.error("task %s: the handler does not stop and is abandoned", playing.task.id)
        self.ended(playing)

    # writing down how attempts ended

    def _report(self, playing: Playing, report: Any) -> None:
        """Write it down; the slot stays taken, and the lease alive, until that is done."""
        self._later(report).add_done_callback(lambda _: self._forget(playing))

    def _later(self, report: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(report)
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
        return task

    def _forget(self, playing: Playing) -> None:
        self._playing.pop(playing.task.lease, None)
        self._exchanger.slot_freed()

    async def _fail(self, id: UUID, lease: int, failure: Failure) -> None:
        log.warning("task %s: %s: %s", id, failure.kind, failure.message[:500])
        message, traceback = clean(failure.message), clean(failure.traceback)
        await self._settle(
            "fail", self.id, id, lease, failure.kind, message, traceback, failure.retry_after, failure.final
        )

    async def _release(self, leases: list[int], after: timedelta | None) -> None:
        await self._settle("release", self.id, leases, after)

    async def _settle(self, query: str, *args: Any) -> None:
        """Have it written, however long the database is away; unless another worker owns the task by then."""
        pause = 0.1
        while True:
            try:
                await self._pool.fetch_value(query, *args)
                return
            except LeaseLost as error:
                log.warning("%s", error)
                return
            except ConnectionError as error:
                log.warning("%s is not written yet: %s", query, error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(5.0, pause * 2)
            except DatabaseError as error:
                log.error("%s was refused, the lease will run out: %s", query, error)
                return

    async def _wind_up(self) -> None:
        """Let what runs end; after the grace, or at once when told twice, give it back."""
        log.info("draining: %d tasks still run", len(self._playing))
        self._heart.draining = True
        self._heart.beat_now()
        if await self._all_ended(self._settings.grace.total_seconds(), self._stop_now):
            return
        for playing in list(self._playing.values()):
            playing.stop(RELEASED, self._patience if not self._stop_now.is_set() else 1.0)
        await self._all_ended(self._patience + 5, None)

    async def _all_ended(self, seconds: float, unless: asyncio.Event | None) -> bool:
        """Wait until no attempt runs and everything is written, for so long at most."""
        deadline = self._loop.time() + seconds
        while self._playing or self._reports:
            if self._loop.time() > deadline or (unless is not None and unless.is_set()):
                return False
            await asyncio.sleep(0.02)
        return True


def seconds(length: timedelta | None) -> str | None:
    return None if length is None else f"{length.total_seconds()} seconds"


def version() -> str:
    from importlib.metadata import version

    return version("taskq-pg")


decode = msgspec.json.decode
