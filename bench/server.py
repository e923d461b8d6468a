"""The server that is measured on, and scratch databases on it.

BENCH_DATABASE_URL names a database from which others can be created; its user must be a superuser (for
checkpoints and triggers).  Without it taskq's embedded server runs in bench/results/server, with fsync on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from taskq import embedded
from taskq.settings import Settings

RESULTS = Path(__file__).resolve().parent / "results"
Install = Callable[[str], Awaitable[None]]
"""Lays a schema in the empty database of this DSN."""

PARTICULARS = """
select current_setting('server_version') as postgres, current_setting('fsync') as fsync,
       current_setting('synchronous_commit') as synchronous_commit,
       current_setting('shared_buffers') as shared_buffers
"""


class Server:
    """A running server.

    :param maintenance: DSN of a database from which others can be created.
    :param bin: where its programs are, when they are not on the PATH.
    """

    def __init__(self, maintenance: str, bin: Path | None = None) -> None:
        self._maintenance, self._bin = maintenance, bin
        self._prefix = f"taskq_bench_{uuid4().hex[:6]}"
        self._templates: dict[Install, str] = {}

    @asynccontextmanager
    async def scratch(self, install: Install) -> AsyncIterator[str]:
        """A fresh database with this schema, dropped afterwards; yields its DSN."""
        if install not in self._templates:
            template = f"{self._prefix}_{len(self._templates)}"
            await self.execute(f'create database "{template}"')
            self._templates[install] = template
            await install(self._dsn(template))
        name = f"{self._prefix}_{uuid4().hex[:6]}"
        await self.execute(f'create database "{name}" template "{self._templates[install]}"')
        try:
            yield self._dsn(name)
        finally:
            await self.execute(f'drop database if exists "{name}" with (force)')

    async def drop_templates(self) -> None:
        """Leave nothing behind."""
        for template in self._templates.values():
            await self.execute(f'drop database if exists "{template}" with (force)')

    async def execute(self, sql: str) -> None:
        """One statement outside of the scratch databases."""
        session = await asyncpg.connect(self._maintenance)
        try:
            await session.execute(sql)
        finally:
            await session.close()

    async def particulars(self) -> dict[str, str]:
        """Version and the settings that a rate depends on."""
        session = await asyncpg.connect(self._maintenance)
        try:
            return dict(await session.fetchrow(PARTICULARS))
        finally:
            await session.close()

    def program(self, name: str) -> str | None:
        """Path of one of PostgreSQL's programs; None when there is none here."""
        if self._bin is not None and (self._bin / name).exists():
            return str(self._bin / name)
        return shutil.which(name)

    def _dsn(self, name: str) -> str:
        return urlsplit(self._maintenance)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def find() -> AsyncIterator[Server]:
    """The server of BENCH_DATABASE_URL, else the embedded one."""
    RESULTS.mkdir(exist_ok=True)
    if url := os.environ.get("BENCH_DATABASE_URL"):
        server = Server(url)
        try:
            yield server
        finally:
            await server.drop_templates()
        return
    async with await embedded.ensure(Settings(home=RESULTS / "server")) as own:
        server = Server(own.dsn, own.bin)
        try:
            yield server
        finally:
            await server.drop_templates()
