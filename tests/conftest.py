"""The database fixtures; see backend.py for the servers that they can use."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import backend
from backend import Databases
from fake_worker import FakeWorker
from graphs import ROLE
from taskq import Queue, embedded, schema
from taskq.embedded import Server
from taskq.embedded.home import Home
from taskq.settings import Settings

Connect = Callable[..., Awaitable[asyncpg.Connection]]
CONTAINER = pytest.StashKey[Any]()


def pytest_configure(config: pytest.Config) -> None:
    backend.begin_run()
    # A shell that starts the suite in the background has SIGINT ignored, by all that is started here, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Hundreds of processes are started: each would compile all that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if os.environ.get("TASKQ_TEST_BACKEND") == "container" and not os.environ.get(backend.URL):
        try:
            config.stash[CONTAINER] = backend.start_container()
        except backend.NoContainer as error:
            pytest.exit(str(error), returncode=3)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):  # one of several processes: the first one cleans up
        return
    backend.end_run()
    if container := session.config.stash.get(CONTAINER, None):
        container.stop()


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """The server of this run, with its template."""
    if url := os.environ.get(backend.URL):
        found = Databases(url)
        asyncio.run(found.make_template())
        yield found
        found.close()
        return
    home = backend.run_directory() / "home"
    server = asyncio.run(embedded.ensure(Settings(home=home), options=backend.EMBEDDED_OPTIONS))
    found = Databases(server.dsn, copying=" strategy file_copy")
    asyncio.run(found.make_template())
    yield found
    found.close()
    server.close()


@pytest.fixture
async def dsn(databases: Databases) -> AsyncIterator[str]:
    """The address of a database of this test's own, with the schema."""
    async with databases.clone() as address:
        yield address


@pytest.fixture
async def connect(dsn: str) -> AsyncIterator[Connect]:
    """Opens sessions on the test's database: `await connect(**server_settings)`."""
    async with AsyncExitStack() as stack:

        async def open_session(**server_settings: str) -> asyncpg.Connection:
            session = await open_plain(dsn, **server_settings)
            stack.push_async_callback(hang_up, session)
            return session

        yield open_session


@pytest.fixture
async def db(connect: Connect) -> asyncpg.Connection:
    """A session on the test's database; jsonb comes and goes as Python values."""
    return await connect()


@pytest.fixture
async def one(connect: Connect) -> asyncpg.Connection:
    """A second session."""
    return await connect()


@pytest.fixture
async def two(connect: Connect) -> asyncpg.Connection:
    """A third one."""
    return await connect()


@pytest.fixture
async def worker(db: asyncpg.Connection) -> FakeWorker:
    """Plays the role of tasks that name none, on the session `db`."""
    return await FakeWorker(db, ROLE).register()


@pytest.fixture
async def parents(db: asyncpg.Connection) -> FakeWorker:
    """Plays the role parent."""
    return await FakeWorker(db, "parent").register()


@pytest.fixture
async def queue(dsn: str) -> AsyncIterator[Queue]:
    """The client on the test's database."""
    async with Queue(dsn) as opened:
        yield opened


async def open_plain(dsn: str, **server_settings: str) -> asyncpg.Connection:
    # A user called taskq would search the schema of that name, and find what is written without its schema.
    session = await asyncpg.connect(dsn, server_settings={"search_path": "public", **server_settings})
    await session.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    return session


async def hang_up(session: asyncpg.Connection) -> None:
    """End a session, even one that a failed test left in the middle of something."""
    try:
        await session.close(timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        session.terminate()


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory for a server of this test's own, that every user may enter."""
    path = Path(tempfile.mkdtemp(prefix="tq-", dir=backend.scratch()))
    path.chmod(0o755)
    yield path / "home"
    deadline = time.monotonic() + 20
    while Home(path / "home").supervised() and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(path)


@pytest.fixture
async def server(home: Path) -> AsyncIterator[Server]:
    """A server of this test's own: its postmaster may be killed."""
    async with await embedded.ensure(Settings(home=home), options={"fsync": "off"}) as own:
        await schema.migrate(own.dsn)
        yield own
