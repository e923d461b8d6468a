"""Start the server of a home, or adopt it if it is alive; hold it; let it go."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from taskq.embedded import binaries, cluster, locks, sockets
from taskq.embedded.home import PORT, Home, Plan
from taskq.embedded.owner import Owner
from taskq.embedded.watch import Watch
from taskq.errors import NoDatabase
from taskq.settings import Settings, child_environment

SUPERVISOR = Path(__file__).with_name("supervisor.py")
# Nothing but the standard library, for speed; and no warning that a process with a thread forks: it must.
PLAIN = ("-I", "-S", "-W", "ignore::DeprecationWarning")
START_LIMIT = 120.0
PAUSE = 0.01
LONGEST_LOG = 10_000_000


async def ensure(
    settings: Settings, *, create: bool = True, options: Mapping[str, str] | None = None
) -> Server:
    """The server in `settings.home`: adopted if one is alive there, else started.

    This process counts as a user of it until `Server.release`, or until it ends.  `create` False: do not make
    a new data directory.  `options` are server settings (`{"fsync": "off"}`); an adopted server keeps its.
    Raises NoDatabase, naming the ways out, when there is no server to be had.
    """
    home = Home(settings.home.absolute())
    users = await asyncio.to_thread(_join, home, create, dict(options or {}))
    return Server(home, users)


class Server:
    """A running server, and this process as one of its users.

    `dsn` is a URL for asyncpg and psql alike; `bin` the directory of PostgreSQL's programs.
    """

    def __init__(self, home: Home, users: IO[str]) -> None:
        plan = home.plan()
        address = f"host={quote(plan.sockets)}&port={PORT}"
        self.home: Path = home.path
        self.dsn: str = f"postgresql://{cluster.USER}@/{cluster.DATABASE}?{address}"
        self.bin: Path = Path(plan.bin)
        self._files = home
        self._users = users
        self._watch = Watch(home, users, lambda: _revive(home))
        self._watch.start()

    async def release(self) -> None:
        """Stop being a user; the server stops when its last user has.  Does not wait for that."""
        self.close()

    def close(self) -> None:
        """`release` for those who have no event loop."""
        self._watch.stop()
        # Closed, not unlocked: a child that was forked from us may be a user still.
        self._users.close()

    def psql_command(self) -> str:
        """A command line that opens a `psql` on this server, for people to copy."""
        return shlex.join([str(self.bin / "psql"), self.dsn])

    @property
    def supervisor_pid(self) -> int:
        """The pid of the process that watches over the server."""
        return self._pids()[0]

    @property
    def postmaster_pid(self) -> int:
        """The pid of the server; another one after it had to be started again."""
        return self._pids()[1]

    def _pids(self) -> tuple[int, int]:
        pids = self._files.pids()
        if pids is None:
            raise NoDatabase(f"the server in {self.home} is being started again")
        return pids

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


def _join(home: Home, create: bool, options: dict[str, str]) -> IO[str]:
    """Become a user of the server of `home`, starting it if need be; gives the lock that says so."""
    if not create and not home.data.exists():
        raise NoDatabase(f"there is no database in {home.path} yet. {binaries.WAYS_OUT}")
    try:
        home.prepare()
        with locks.exclusive(home.start_lock, limit=START_LIMIT):
            # Waits for a supervisor that is just stopping the server.
            users = locks.shared(home.users_lock, limit=START_LIMIT)
            try:
                if not (home.supervised() and _is_ready(home)):
                    home.remember(_plan(home, options))
                    _launch(home)
            except BaseException:
                users.close()
                raise
            return users
    except OSError as error:
        raise NoDatabase(f"cannot run a server in {home.path}: {error}. {binaries.WAYS_OUT}") from error


def _plan(home: Home, options: dict[str, str]) -> Plan:
    """Find all that a start takes; make the data directory if there is none."""
    owner = Owner.of(home.data)
    programs = binaries.find(owner, cluster.major_of(home.data))
    if not home.data.exists():
        cluster.create(home.data, programs, owner)
    return Plan(
        postgres=str(programs.server / "postgres"),
        bin=str(programs.bin),
        sockets=str(sockets.directory(home, owner)),
        data=str(home.data),
        by_descriptor=cluster.by_descriptor(home.data, owner),
        uid=owner.uid if owner.lent else None,
        gid=owner.gid if owner.lent else None,
        options=options,
    )


def _launch(home: Home) -> None:
    """Start a supervisor by the plan of `home` and wait until its server takes connections."""
    if home.log.stat().st_size > LONGEST_LOG:
        home.log.rename(home.log.with_suffix(".log.1"))
        home.log.touch(mode=0o600)
    with home.log.open("ab") as log:
        subprocess.run(
            [sys.executable, *PLAIN, str(SUPERVISOR), str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=child_environment(),
            start_new_session=True,
        )
    if not _is_ready(home):
        raise NoDatabase(f"the server in {home.path} does not start; the end of its log:\n{home.log_tail()}")


def _is_ready(home: Home) -> bool:
    """Wait until the server takes connections; False as soon as it has no supervisor any more."""
    deadline = time.monotonic() + START_LIMIT
    while not home.ready():
        if not home.supervised():
            return False
        if time.monotonic() > deadline:
            raise NoDatabase(f"the server in {home.path} is not ready after {START_LIMIT:g} s: {home.log}")
        time.sleep(PAUSE)
    return True


def _revive(home: Home) -> None:
    """Start the server of `home` as it was, unless another user did already.  Raises NoDatabase, OSError."""
    with locks.exclusive(home.start_lock, limit=START_LIMIT):
        if not (home.supervised() and _is_ready(home)):
            _launch(home)
