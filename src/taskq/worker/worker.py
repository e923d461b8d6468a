"""One worker: from its registration to its drained stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4

from taskq.app import App, Role
from taskq.client import encode, interval
from taskq.database import Pool
from taskq.errors import DatabaseError
from taskq.settings import Settings
from taskq.worker.exchanger import Exchanger
from taskq.worker.hand import Finished
from taskq.worker.heart import Heart, Identity
from taskq.worker.line import DatabaseLine
from taskq.worker.reports import Reports
from taskq.worker.stage import Stage

log = logging.getLogger("taskq.worker")

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
        self._draining, self._stopping = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Work until `drain` is called and everything is handed in or given back.

        :raises DatabaseError: the worker cannot be registered, for instance since the schema is missing.
        """
        self._pool = Pool(self._dsn, size=4, pooled=self._settings.listen_url is not None)
        self._exchanger = self._make_exchanger()
        self._stage = Stage(
            self._roles,
            concurrency=self._concurrency,
            line=DatabaseLine(self._pool, self.id),
            reports=Reports(self._pool, self.id),
            hand_in=self._exchanger.hand_in,
            slot_freed=self._exchanger.slot_freed,
            patience=self._patience,
        )
        self._heart = self._make_heart()
        await self._pool.fetch_value(
            "declare_roles", encode([declaration(role) for role in self._roles.values()])
        )
        await self._heart.start()
        log.info("worker %s plays %s in %d slots", self.name, ", ".join(self._roles), self._concurrency)
        try:
            await self._work()
        finally:
            self._stage.close()
            await self._heart.stop()
            await self._pool.close()

    def drain(self) -> None:
        """Claim nothing more; end when what runs is done, or given back after the grace or a second call."""
        if self._draining.is_set():
            self._stopping.set()
        self._draining.set()

    @property
    def name(self) -> str:
        """Host and process id, for people."""
        return f"{socket.gethostname()}:{os.getpid()}"

    @property
    def _patience(self) -> float:
        return min(self._settings.grace.total_seconds(), STOP_PATIENCE)

    def _make_exchanger(self) -> Exchanger:
        return Exchanger(
            self,
            concurrency=self._concurrency,
            worker=self.id,
            roles=list(self._roles),
            dsn=self._dsn,
            pooled=self._settings.listen_url is not None,
            lease=self._settings.lease,
            sweep=self._settings.sweep,
        )

    def _make_heart(self) -> Heart:
        return Heart(
            self,
            Identity(
                self.id,
                self.name,
                list(self._roles),
                self._concurrency,
                version("taskq-pg"),
                self._settings.lease,
            ),
            dsn=self._settings.listen_url or self._dsn,
            every=self._settings.heartbeat,
            hung_limit=self._hung_limit,
        )

    async def _work(self) -> None:
        exchanging = asyncio.create_task(self._exchanger.run())
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((exchanging, draining), return_when=asyncio.FIRST_COMPLETED)
            if not exchanging.done():
                await self._wind_up()
                self._exchanger.close()
                if not await until(exchanging.done, 2.0):
                    await until(exchanging.done, self._settings.grace.total_seconds(), unless=self._stopping)
            if exchanging.done():
                exchanging.result()
            else:
                log.error("%d results could not be handed in and are lost", len(self._exchanger.unsettled()))
        finally:
            draining.cancel()
            exchanging.cancel()

    async def _wind_up(self) -> None:
        """Let what runs end; after the grace, or at once when told twice, give it back."""
        log.info("draining: %d tasks still run", len(self._stage.held()))
        self._heart.draining = True
        self._heart.beat_now()
        if not await until(self._is_quiet, self._settings.grace.total_seconds(), unless=self._stopping):
            patience = 1.0 if self._stopping.is_set() else self._patience
            self._stage.release_all(patience)
            await until(self._is_quiet, patience + 5.0)

    def _is_quiet(self) -> bool:
        """Nothing runs, every end is written, and no claim is on its way."""
        return self._stage.is_empty and not self._exchanger.claiming

    # the slots, for the exchanger

    def free(self) -> int:
        """How many slots wait for a task."""
        return 0 if self._draining.is_set() else self._stage.free()

    def start(self, claims: Sequence[Any]) -> None:
        """Run what was claimed."""
        self._stage.start(claims)
        self._heart.sign_of_work()

    def something_is_due(self) -> None:
        """Its time has come for every worker of its role at once, and no bell told us who took it."""
        self._heart.sign_of_work()

    def refused(self, finished: Finished, error: DatabaseError) -> None:
        """A result that the database does not take fails its task."""
        self._stage.refused(finished, error)

    def known_leases(self) -> list[int]:
        """Every lease that this worker knows it holds."""
        return self.held()[1]

    # the body, for the heart

    def held(self) -> tuple[list[UUID], list[int]]:
        """The tasks and leases to keep alive.  Called in the heart's thread too."""
        held = self._stage.held() + [(one.id, one.lease) for one in self._exchanger.unsettled()]
        return [id for id, _ in held], [lease for _, lease in held]

    def trouble(self) -> str | None:
        """What keeps results from being handed in, for people."""
        return self._exchanger.trouble

    def hear(self, verdicts: list[tuple[int, str]]) -> None:
        """What a heartbeat found out about our leases."""
        for lease, verdict in verdicts:
            self._stage.stop(lease, verdict)

    def ring(self, role: str) -> None:
        """The bell for a role."""
        if role in self._roles:
            self._heart.sign_of_work()
            self._exchanger.ring()

    def look_at_all(self) -> None:
        """The heart has a new session; bells may have been missed."""
        self._exchanger.look_at_all()


async def until(condition: Callable[[], bool], within: float, unless: asyncio.Event | None = None) -> bool:
    """Wait for a condition; False when that takes longer than so many seconds, or `unless` is set."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline or (unless is not None and unless.is_set()):
            return False
        await asyncio.sleep(0.02)
    return True


def declaration(role: Role) -> dict[str, Any]:
    """What taskq.declare_roles is told of a role; lengths of time as text."""
    return {
        "name": role.name,
        "description": role.description,
        "timeout": None if role.timeout is None else interval(role.timeout),
        "max_attempts": role.max_attempts,
        "backoff": None if role.backoff is None else [interval(step) for step in role.backoff],
        "repositories": list(role.repositories),
        "model": role.model,
        "kind": role.kind,
    }
