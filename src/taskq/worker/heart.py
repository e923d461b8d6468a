"""The heart: heartbeats, and the watch over other workers, in a thread with a loop and a session of its own.

A handler that blocks the worker's event loop does not stop it, so no lease is lost; it reports the blocked
loop, and when that lasts too long it ends the process, since nothing else can.  Its session stands for the
process: when the session ends, the other workers know within a second or two that the process did.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from taskq.database import Connection, connect
from taskq.worker.pauses import pause

log = logging.getLogger("taskq.worker")

WATCH_EVERY = 0.7  # seconds between two looks after the others while there is something to look after
WATCH_ON = 5.0  # seconds for which it goes on after the last sign of work
BLOCKED_AFTER = 5.0  # seconds without a tick after which the event loop is reported as blocked


class Body(Protocol):
    """The worker, as its heart sees it.  All but the first two are called on the worker's loop."""

    def held(self) -> tuple[list[UUID], list[int]]: ...

    def trouble(self) -> str | None: ...

    def hear(self, verdicts: list[tuple[int, str]]) -> None: ...

    def ring(self, role: str) -> None: ...

    def look_at_all(self) -> None: ...


@dataclass(frozen=True)
class Identity:
    """What is entered in taskq.workers."""

    id: UUID
    name: str
    roles: list[str]
    concurrency: int
    version: str
    lease: timedelta


class Heart:
    """Start it on the worker's loop; `await started` returns once the worker is registered."""

    def __init__(
        self, body: Body, identity: Identity, *, dsn: str, every: timedelta, hung_limit: timedelta
    ) -> None:
        self._body, self._identity, self._dsn = body, identity, dsn
        self._every, self._hung_limit = every.total_seconds(), hung_limit.total_seconds()
        self._main = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._main.create_future()
        self._stopping = False
        self.draining = False
        self._ticked = self._last_sign = time.monotonic()
        self._reported = 0  # how many tasks the last beat told of
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live()), name="taskq heart", daemon=True
        )
        self._ticker: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Beat.

        :raises DatabaseError: the worker cannot be registered.
        """
        self._tick()
        self._thread.start()
        await self._started

    async def stop(self) -> None:
        """Leave in good order: retire the worker and end the session."""
        self._stopping = True
        self.beat_now()
        await asyncio.to_thread(self._thread.join, 5)
        if self._ticker is not None:
            self._ticker.cancel()

    def beat_now(self) -> None:
        """Do not wait for the next beat."""
        with contextlib.suppress(RuntimeError, AttributeError):
            self._loop.call_soon_threadsafe(self._hurry.set)

    def sign_of_work(self) -> None:
        """Something happened here, so others may be at work too: keep an eye on them."""
        now = time.monotonic()
        if now - self._last_sign > WATCH_ON:
            self._last_sign = now
            self.beat_now()
        self._last_sign = now

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        self._ticker = self._main.call_later(1.0, self._tick)

    # what follows runs in the heart's thread

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._hurry = asyncio.Event()
        failures = 0
        while True:
            try:
                await self._live_in_one_session()
                return
            except Exception as error:  # whatever it is: without a heart every lease runs out
                if not self._started.done() and not isinstance(error, ConnectionError):
                    self._tell_main(self._give_up, error)
                    return
                if self._stopping:
                    return
                failures = 1 if self._was_connected else failures + 1
                seconds = pause(failures)
                log.warning("the heartbeat failed (%r); trying again in %.1f s", error, seconds)
                await asyncio.sleep(seconds)

    _was_connected = False

    async def _live_in_one_session(self) -> None:
        self._was_connected = False
        session = await connect(self._dsn, name="taskq heart")
        try:
            session.on_lost(self._hurry.set)
            await session.listen("taskq", lambda _channel, role: self._tell_main(self._body.ring, role))
            await session.listen("taskq_worker", self._called)
            await self._register(session)
            self._tell_main(self._on_session)
            await self._beat_on(session)
        finally:
            await session.close()

    async def _register(self, session: Connection) -> None:
        me = self._identity
        await session.fetch_value(
            "register", me.id, me.name, me.roles, me.concurrency, me.version, me.lease, True
        )

    async def _beat_on(self, session: Connection) -> None:
        next_beat = next_watch = 0.0
        next_tend = time.monotonic() + self._identity.lease.total_seconds() * random.random()
        while not self._stopping:
            now = time.monotonic()
            if self._hurry.is_set() or now >= next_beat or (now >= next_watch and self._is_news()):
                self._hurry.clear()
                await self._beat(session)
                next_beat = now + self._every
            if now >= next_watch:
                if now - self._last_sign < WATCH_ON and await session.fetch_value("watch", self._identity.id):
                    self._last_sign = now
                next_watch = now + WATCH_EVERY
            if now >= next_tend:
                await session.fetch_value("tend")
                next_tend = now + self._identity.lease.total_seconds()
            until = min(next_beat, next_watch) if now - self._last_sign < WATCH_ON else next_beat
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    await self._hurry.wait()
        await session.fetch_value("retire", self._identity.id)

    def _is_news(self) -> bool:
        """We hold something, and the others do not know yet that there is something to keep an eye on."""
        return self._reported == 0 and bool(self._body.held()[0])

    async def _beat(self, session: Connection) -> None:
        ids, leases = self._body.held()
        verdicts = await session.fetch(
            "heartbeat", self._identity.id, ids, leases, self.draining, self._trouble()
        )
        self._reported = len(ids)
        self._was_connected = True
        if any(row["verdict"] == "unregistered" for row in verdicts):
            await self._register(session)  # we were taken for dead
            self._tell_main(self._body.look_at_all)
            self._hurry.set()
        heard = [(row["lease"], row["verdict"]) for row in verdicts if row["lease"] is not None]
        if heard:
            self._tell_main(self._body.hear, heard)

    def _trouble(self) -> str | None:
        """What is wrong, for people; ends the process when its event loop is hung for good."""
        blocked = time.monotonic() - self._ticked
        if blocked < BLOCKED_AFTER:
            return self._body.trouble()
        trouble = f"a handler has blocked the event loop for {blocked:.0f} s"
        log.error("%s", trouble)
        if blocked > self._hung_limit:
            log.critical("the event loop is given up, and this process with it; its tasks will run elsewhere")
            os._exit(75)  # nothing can run on the loop any more, not even an orderly exit
        return trouble

    def _called(self, _channel: str, worker: str) -> None:
        """By name: beat.  By no name: a worker has registered."""
        if worker == str(self._identity.id):
            self._hurry.set()
        elif not worker:
            self.sign_of_work()

    def _on_session(self) -> None:
        if not self._started.done():
            self._started.set_result(None)
        self._body.look_at_all()

    def _give_up(self, error: Exception) -> None:
        if not self._started.done():
            self._started.set_exception(error)

    def _tell_main(self, call: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the worker's loop is closed: it has left
            self._main.call_soon_threadsafe(call, *args)
