"""The settings of a command and its way to the database."""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Concatenate, ParamSpec

import click

from taskq import embedded, reading
from taskq.client import Queue
from taskq.database import Pool, read_queries
from taskq.settings import Settings

P = ParamSpec("P")
QUERIES = reading.QUERIES | read_queries((files("taskq.cli") / "queries.sql").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Session:
    """What a command works with: the queue to act on, and a reader for the statements that are read."""

    queue: Queue
    reader: Pool


def settings() -> Settings:
    """The settings of the environment, with the database of --database if that was given.

    :raises SettingsError: the environment cannot be understood.
    """
    read = Settings.read()
    url = click.get_current_context().find_root().params["database"]
    if url is None or url == read.database_url:
        return read
    # TASKQ_LISTEN_URL belongs to the database of the environment, not to this one.
    return replace(read, database_url=url, listen_url=None)


@asynccontextmanager
async def server(settings: Settings) -> AsyncIterator[str]:
    """The DSN of the database, as it is: unlike `taskq.client.reachable` this migrates nothing."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    async with await embedded.ensure(settings) as own:
        yield own.dsn


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Session]:
    """A session for as long as the block lasts."""
    async with Queue(settings=settings) as queue:
        reader = Pool(queue.dsn, size=2, pooled=settings.listen_url is not None, queries=QUERIES)
        try:
            yield Session(queue, reader)
        finally:
            await reader.close()


def connected(
    command: Callable[Concatenate[Session, P], Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """A plain function from an async command that wants a session first."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def work() -> None:
            async with opened(found) as session:
                await command(session, *args, **kwargs)

        found = settings()
        asyncio.run(work())

    return run


def os_user() -> str:
    """The name of whoever runs this command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return f"uid {os.getuid()}"


actor = click.option("--actor", default=os_user, show_default="the OS user", help="Who acts, for the record.")
