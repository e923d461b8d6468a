"""Where the tests find Postgres: a server that is named, a container, or the embedded server.

    TASKQ_TEST_DATABASE_URL=postgresql://…   that server; its user may create databases and roles
    TASKQ_TEST_BACKEND=container             a container of TASKQ_TEST_IMAGE (postgres:18-alpine)
    neither                                  taskq's own embedded server, in a directory of this run

A run migrates one template database; each test works in a clone of it (20 ms), which is dropped afterwards.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import psycopg

from taskq import schema

RUN = "TASKQ_TEST_RUN"
MEMORY = Path("/dev/shm")
URL = "TASKQ_TEST_DATABASE_URL"
ROOM = 3 * 1024**3
"""Bytes that must be free in memory: a run needs less than one gigabyte of them."""
DROPS = 8
"""Databases that may still wait to be dropped; it takes 50 ms, and nobody waits for it."""
EMBEDDED_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class NoContainer(Exception):
    """The container cannot be started; the message says why."""


def begin_run() -> None:
    """Name this run; the processes of pytest-xdist inherit the name."""
    os.environ.setdefault(RUN, uuid4().hex[:8])


def scratch() -> Path:
    """Where servers of tests live: in memory if there is room: a database is 400 files, made and unmade.

    On a disk, most of the time of a short test went into those files.
    """
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        return MEMORY
    return Path(tempfile.gettempdir())


def run_directory() -> Path:
    """A short path (sockets allow 107 bytes) that all may enter: as root the server runs as somebody else."""
    name = f"taskq-{os.environ[RUN]}"
    path = next((path for path in (MEMORY / name, Path(tempfile.gettempdir()) / name) if path.is_dir()), None)
    path = path or scratch() / name
    path.mkdir(mode=0o755, exist_ok=True)
    return path


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Only one process of this run at a time does this."""
    with (run_directory() / f"{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def start_container() -> Any:
    """A running container; its address is in the environment from now on.

    :raises NoContainer: there is no engine, or the image cannot be had.
    """
    from testcontainers.core.container import DockerContainer

    image = os.environ.get("TASKQ_TEST_IMAGE", "postgres:18-alpine")
    try:
        container = DockerContainer(image).with_exposed_ports(5432)
        container.with_env("POSTGRES_USER", "taskq").with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        container.with_command("postgres -c fsync=off -c max_connections=200")
        container.start()
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}"
        os.environ[URL] = f"postgresql://taskq@{address}/postgres"
        asyncio.run(answer(os.environ[URL], within=60))
    except Exception as error:
        raise NoContainer(
            f"TASKQ_TEST_BACKEND=container, but no container of {image} can be started: "
            f"{type(error).__name__}: {error}"
        ) from error
    return container


async def answer(url: str, within: float) -> None:
    """Wait until the server answers, at most this many seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            await (await asyncpg.connect(url, timeout=2)).close()
            return
        except (OSError, TimeoutError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


@dataclass
class Databases:
    """The databases of one run on one server.

    :param maintenance: address of a database from which others can be created.
    :param copying: how Postgres is to copy them; files are quickest where nothing is synced to the disk.
    """

    maintenance: str
    copying: str = ""
    _session: psycopg.Connection | None = field(default=None, repr=False)
    _dropping: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), repr=False)
    _drops: deque[Future[None]] = field(default_factory=deque, repr=False)

    @property
    def template(self) -> str:
        return f"taskq_test_{os.environ[RUN]}"

    def dsn(self, name: str) -> str:
        """The address of another database of the server."""
        return urlsplit(self.maintenance)._replace(path=f"/{name}").geturl()

    async def make_template(self) -> None:
        """Migrate the template, unless this run has done so."""
        with alone("template"):
            done = run_directory() / "template"
            if not done.exists():
                await self.execute(f'create database "{self.template}"')
                await schema.migrate(self.dsn(self.template))
                done.touch()

    @asynccontextmanager
    async def clone(self) -> AsyncIterator[str]:
        """A fresh database with the schema; yields its address.  It is dropped a little later."""
        name = await self._create(f' template "{self.template}"')
        try:
            yield self.dsn(name)
        finally:
            self._drops.append(self._dropping.submit(self._drop, name))
            while len(self._drops) > DROPS:
                await asyncio.wrap_future(self._drops.popleft())

    @asynccontextmanager
    async def database(self, source: str = "") -> AsyncIterator[str]:
        """A fresh database; yields its address."""
        name = await self._create(source)
        try:
            yield self.dsn(name)
        finally:
            await asyncio.to_thread(self._drop, name)

    async def _create(self, source: str) -> str:
        name = f"{self.template}_{uuid4().hex[:12]}"
        await self.execute(f'create database "{name}"{source}{self.copying}')
        return name

    def _drop(self, name: str) -> None:
        with psycopg.connect(self.maintenance, autocommit=True) as session:
            session.execute(f'drop database if exists "{name}" with (force)')

    async def execute(self, sql: str) -> None:
        """Send a statement, in a session that outlives the event loop of a test."""
        await asyncio.to_thread(self._execute, sql)

    def _execute(self, sql: str) -> None:
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(self.maintenance, autocommit=True)
        self._session.execute(sql)

    def drop_all(self) -> None:
        """Drop what this run has made."""
        with psycopg.connect(self.maintenance, autocommit=True) as session:
            found = session.execute(
                "select datname from pg_database where starts_with(datname, %s)", [self.template]
            )
            for (name,) in found.fetchall():
                session.execute(f'drop database if exists "{name}" with (force)')

    def close(self) -> None:
        """Drop what is left, and end the session."""
        for drop in self._drops:
            drop.result()
        self._dropping.shutdown()
        if self._session is not None:
            self._session.close()


def end_run() -> None:
    """Leave nothing behind on the server or on the disk."""
    if url := os.environ.get(URL):
        Databases(url).drop_all()
    deadline = time.monotonic() + 10
    while list(run_directory().glob("home/data/postmaster.pid")) and time.monotonic() < deadline:
        time.sleep(0.02)  # its last user has just left
    shutil.rmtree(run_directory(), ignore_errors=True)
