"""Tasks that come in with the caller's own transaction, whatever driver it uses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import psycopg
import psycopg.rows
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from taskq import Queue
from taskq.errors import InvalidTask


class Caller(Protocol):
    """A caller's connection, in a transaction of his."""

    connection: Any
    commit: Callable[[], Any]
    rollback: Callable[[], Any]


class Own:
    def __init__(self, connection: Any, commit: Callable[[], Any], rollback: Callable[[], Any]) -> None:
        self.connection, self._commit, self._rollback = connection, commit, rollback

    async def commit(self) -> None:
        await done(self._commit())

    async def rollback(self) -> None:
        await done(self._rollback())


async def done(value: Any) -> None:
    if isinstance(value, Awaitable):
        await value


@asynccontextmanager
async def by_asyncpg(dsn: str) -> AsyncIterator[Own]:
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    yield Own(connection, transaction.commit, transaction.rollback)
    await connection.close()


@asynccontextmanager
async def by_asyncpg_with_codecs(dsn: str) -> AsyncIterator[Own]:
    """Many callers have jsonb come and go as Python values."""
    async with by_asyncpg(dsn) as own:
        await own.connection.set_type_codec(
            "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )
        await own.connection.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog")
        yield own


@asynccontextmanager
async def by_asyncpg_pool(dsn: str) -> AsyncIterator[Own]:
    async with asyncpg.create_pool(dsn, min_size=1) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield Own(connection, transaction.commit, transaction.rollback)


@asynccontextmanager
async def by_psycopg(dsn: str) -> AsyncIterator[Own]:
    with psycopg.connect(dsn) as connection:
        yield Own(connection, connection.commit, connection.rollback)


@asynccontextmanager
async def by_psycopg_with_dicts(dsn: str) -> AsyncIterator[Own]:
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        yield Own(connection, connection.commit, connection.rollback)


@asynccontextmanager
async def by_async_psycopg(dsn: str) -> AsyncIterator[Own]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield Own(connection, connection.commit, connection.rollback)


def url_for(dsn: str, driver: str) -> str:
    return urlsplit(dsn)._replace(scheme=f"postgresql+{driver}").geturl()


@asynccontextmanager
async def by_sqlalchemy(dsn: str) -> AsyncIterator[Own]:
    engine = create_engine(url_for(dsn, "psycopg"))
    with engine.connect() as connection:
        yield Own(connection, connection.commit, connection.rollback)
    engine.dispose()


@asynccontextmanager
async def by_sqlalchemy_session(dsn: str) -> AsyncIterator[Own]:
    engine = create_engine(url_for(dsn, "psycopg"))
    with Session(engine) as session:
        yield Own(session, session.commit, session.rollback)
    engine.dispose()


def async_engine(dsn: str, driver: str) -> Any:
    """asyncpg takes no socket directory from SQLAlchemy's own kind of URL."""
    if driver == "asyncpg":
        return create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))
    return create_async_engine(url_for(dsn, driver))


@asynccontextmanager
async def by_sqlalchemy_asyncpg(dsn: str) -> AsyncIterator[Own]:
    engine = async_engine(dsn, "asyncpg")
    async with engine.connect() as connection:
        yield Own(connection, connection.commit, connection.rollback)
    await engine.dispose()


@asynccontextmanager
async def by_sqlalchemy_async_psycopg(dsn: str) -> AsyncIterator[Own]:
    engine = async_engine(dsn, "psycopg")
    async with engine.connect() as connection:
        yield Own(connection, connection.commit, connection.rollback)
    await engine.dispose()


class OwnSession(AsyncSession):
    """Callers have classes of their own."""


@asynccontextmanager
async def by_sqlalchemy_async_session(dsn: str) -> AsyncIterator[Own]:
    engine = async_engine(dsn, "asyncpg")
    async with OwnSession(engine) as session:
        yield Own(session, session.commit, session.rollback)
    await engine.dispose()


DRIVERS = [
    by_asyncpg,
    by_asyncpg_with_codecs,
    by_asyncpg_pool,
    by_psycopg,
    by_psycopg_with_dicts,
    by_async_psycopg,
    by_sqlalchemy,
    by_sqlalchemy_session,
    by_sqlalchemy_asyncpg,
    by_sqlalchemy_async_psycopg,
    by_sqlalchemy_async_session,
]
every_driver = pytest.mark.parametrize("driver", DRIVERS, ids=[driver.__name__ for driver in DRIVERS])


@every_driver
async def test_a_task_is_there_when_the_caller_commits_and_not_before(
    dsn: str, queue: Queue, db: asyncpg.Connection, driver: Any
) -> None:
    async with driver(dsn) as caller:
        id = await queue.enqueue(
            "a", {"text": "50 % of :this and $1 is 'quoted'"}, connection=caller.connection
        )
        assert isinstance(id, UUID)
        assert await db.fetchval("select count(*) from taskq.tasks") == 0
        await caller.commit()
    row = await queue.show(id)
    assert row["payload"] == {"text": "50 % of :this and $1 is 'quoted'"}


@every_driver
async def test_a_task_goes_with_the_transaction_that_is_rolled_back(
    dsn: str, queue: Queue, db: asyncpg.Connection, driver: Any
) -> None:
    async with driver(dsn) as caller:
        ids = await queue.enqueue_many([{"role": "a"}, {"role": "b"}], connection=caller.connection)
        assert len(ids) == 2
        await caller.rollback()
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


@every_driver
async def test_a_refusal_is_told_in_the_same_words_by_every_driver(
    dsn: str, queue: Queue, driver: Any
) -> None:
    async with driver(dsn) as caller:
        with pytest.raises(InvalidTask, match='unknown column "colour"'):
            await queue.enqueue_many([{"role": "a", "colour": "red"}], connection=caller.connection)
        await caller.rollback()


async def test_a_dedup_key_holds_within_a_callers_transaction(dsn: str, queue: Queue) -> None:
    first = await queue.enqueue("a", dedup_key="k")
    async with by_psycopg(dsn) as caller:
        assert await queue.enqueue("a", dedup_key="k", connection=caller.connection) == first
        second = await queue.enqueue("a", dedup_key="l", connection=caller.connection)
        assert await queue.enqueue("a", dedup_key="l", connection=caller.connection) == second
        await caller.commit()
    assert (await queue.show(second))["status"] == "queued"


async def test_anything_else_is_no_connection(queue: Queue) -> None:
    with pytest.raises(TypeError, match="asyncpg, psycopg and SQLAlchemy are understood"):
        await queue.enqueue("a", connection=object())
