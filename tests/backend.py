"""Where the tests find Postgres: a server that is named, a container, or the embedded server.

    TASKQ_TEST_DATABASE_URL=postgresql://…   that server; its user may create databases and roles
    TASKQ_TEST_BACKEND=container             a container of TASKQ_TEST_IMAGE (postgres:18-alpine)
    neither                                  taskq's own embedded server, in a directory of this run

A run migrates one template database; each test works in a clone of it (30 ms), which is dropped afterwards.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from taskq import schema

RUN = "TASKQ_TEST_RUN"
URL = "TASKQ_TEST_DATABASE_URL"
EMBEDDED_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "256MB",
}


class NoContainer(Exception):
    """The container cannot be started; the message says why."""


def begin_run() -> None:
    """Name this run; the processes of pytest-xdist inherit the name."""
    os.environ.setdefault(RUN, uuid4().hex[:8])


def run_directory() -> Path:
    """A short path (sockets allow 107 bytes) that all may enter: as root the server runs as somebody else."""
    path = Path(tempfile.gettempdir()) / f"taskq-{os.environ[RUN]}"
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


@dataclass(frozen=True)
class Databases:
    """The databases of one run on one server.

    :param maintenance: address of a database from which others can be created.
    """

    maintenance: str

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
        """A fresh database with the schema; yields its address."""
        async with self.database(f' template "{self.template}"') as dsn:
            yield dsn

    @asynccontextmanager
    async def database(self, source: str = "") -> AsyncIterator[str]:
        """A fresh database; yields its address."""
        name = f"{self.template}_{uuid4().hex[:12]}"
        await self.execute(f'create database "{name}"{source}')
        try:
            yield self.dsn(name)
        finally:
            await self.execute(f'drop database if exists "{name}" with (force)')

    async def drop_all(self) -> None:
        """Drop what this run has made."""
        session = await asyncpg.connect(self.maintenance)
        try:
            for name in await session.fetch(
                "select datname from pg_database where starts_with(datname, $1)", self.template
            ):
                await session.execute(f'drop database if exists "{name[0]}" with (force)')
        finally:
            await session.close()

    async def execute(self, sql: str) -> None:
        session = await asyncpg.connect(self.maintenance)
        try:
            await session.execute(sql)
        finally:
            await session.close()


def end_run() -> None:
    """Leave nothing behind on the server or on the disk."""
    if url := os.environ.get(URL):
        asyncio.run(Databases(url).drop_all())
    deadline = time.monotonic() + 10
    while list(run_directory().glob("home/data/postmaster.pid")) and time.monotonic() < deadline:
        time.sleep(0.02)  # its last user has just left
    shutil.rmtree(run_directory(), ignore_errors=True)
