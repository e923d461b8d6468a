"""Connections to Postgres: sessions with named statements, and a pool of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from taskq.database.queries import QUERIES
from taskq.database.refusals import refused
from taskq.errors import Conflict

Listener = Callable[[str, str], None]
"""Called with the channel and the payload of a notification."""


async def raw_connect(dsn: str, **options: Any) -> asyncpg.Connection:
    """A bare asyncpg connection, for alembic."""
    with refused():
        return await asyncpg.connect(dsn, **options)


async def connect(
    dsn: str, *, pooled: bool = False, name: str = "taskq", queries: Mapping[str, str] = QUERIES
) -> Connection:
    """One session.

    :param pooled: a transaction pooler stands between (no prepared statements, no LISTEN).
    :param name: application_name, for pg_stat_activity.
    :param queries: the statements that it can send, by name.
    :raises taskq.database.refusals.Unreachable: no connection can be made.
    """
    options: dict[str, Any] = (
        {"statement_cache_size": 0} if pooled else {"server_settings": {"application_name": name}}
    )
    with refused():
        return Connection(await asyncpg.connect(dsn, timeout=10, **options), queries)


class Connection:
    """One session.  Its methods take the name of a statement, then the statement's arguments.

    :param queries: the statements by name; queries.sql unless another floor brings its own.
    """

    def __init__(self, raw: asyncpg.Connection, queries: Mapping[str, str] = QUERIES) -> None:
        self._raw, self._queries = raw, queries

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All rows."""
        with refused():
            return list(await self._raw.fetch(self._queries[query], *args))

    async def fetch_one(self, query: str, *args: Any) -> Any | None:
        """The first row, or None."""
        with refused():
            return await self._raw.fetchrow(self._queries[query], *args)

    async def fetch_value(self, query: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        with refused():
            return await self._raw.fetchval(self._queries[query], *args)

    async def prepare(self, query: str) -> Callable[..., Any]:
        """A statement that is sent often: returns an async function from its arguments to its rows."""
        with refused():
            statement = await self._raw.prepare(self._queries[query])

        async def fetch(*args: Any) -> Sequence[Any]:
            with refused():
                rows: Sequence[Any] = await statement.fetch(*args)
                return rows

        return fetch

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction on this session: committed at the end of the block, rolled back when it raises."""
        transaction = self._raw.transaction()
        with refused():
            await transaction.start()
        try:
            yield Transaction(self._raw, self._queries)
        except BaseException:
            with contextlib.suppress(Exception):  # the error that ended the block is the one to tell of
                await transaction.rollback()
            raise
        with refused():
            await transaction.commit()

    async def listen(self, channel: str, listener: Listener) -> None:
        """Call `listener(channel, payload)` for every notification."""
        with refused():
            await self._raw.add_listener(
                channel, lambda _c, _pid, channel, payload: listener(channel, payload)
            )

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback()` once when the session ends, whoever ended it."""
        self._raw.add_termination_listener(lambda _connection: callback())

    @property
    def is_closed(self) -> bool:
        return bool(self._raw.is_closed())

    async def close(self) -> None:
        """End the session; a server that does not answer is left after 2 s."""
        try:
            await self._raw.close(timeout=2)
        except (OSError, TimeoutError, asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._raw.terminate()


class Transaction:
    """A session in the middle of a transaction.  It sends SQL of the caller's own."""

    def __init__(self, raw: asyncpg.Connection, queries: Mapping[str, str]) -> None:
        self._raw, self._queries = raw, queries

    async def execute(self, query: str, *args: Any) -> str:
        """Send one statement; returns what Postgres says of it, such as `INSERT 0 1`."""
        with refused():
            return str(await self._raw.execute(query, *args))

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All rows."""
        with refused():
            return list(await self._raw.fetch(query, *args))

    async def fetchrow(self, query: str, *args: Any) -> Any:
        """The first row, or None."""
        with refused():
            return await self._raw.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        with refused():
            return await self._raw.fetchval(query, *args)

    async def call(self, query: str, *args: Any) -> Any:
        """The first column of the first row of a named statement."""
        return await self.fetchval(self._queries[query], *args)


async def decode_json_columns(raw: asyncpg.Connection) -> None:
    """Have a session decode json and jsonb."""
    for name in ("json", "jsonb"):
        await raw.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=msgspec.json.decode, format="text"
        )


async def leave_as_it_is(_raw: asyncpg.Connection) -> None:
    """Send nothing when a session comes back."""


class Pool:
    """Sessions to lend; opened when they are first needed.

    :param queries: the statements by name; queries.sql unless another floor brings its own.
    :param decode_json: json and jsonb come as Python values, not as text.
    :param patience: the seconds that a statement may take, for what people wait for; not behind a pooler.
    :param tidy: a session that comes back is cleaned, by a statement; in vain where none leaves a trace.
    """

    def __init__(
        self,
        dsn: str,
        *,
        size: int = 10,
        pooled: bool = False,
        queries: Mapping[str, str] = QUERIES,
        decode_json: bool = False,
        patience: float | None = None,
        tidy: bool = True,
    ) -> None:
        self._dsn, self._size, self._queries = dsn, size, queries
        self._options: dict[str, Any] = {"statement_cache_size": 0} if pooled else {}
        if patience is not None and not pooled:
            self._options["server_settings"] = {
                "statement_timeout": f"{patience * 1000:.0f}",
                # what people filter by decides which index is the right one
                "plan_cache_mode": "force_custom_plan",
            }
        if decode_json:
            self._options["init"] = decode_json_columns
        if not tidy:
            self._options["reset"] = leave_as_it_is
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """One session for as long as the block lasts."""
        async with self._opening:
            if self._pool is None:
                with refused():
                    self._pool = await asyncpg.create_pool(
                        self._dsn, min_size=0, max_size=self._size, timeout=10, **self._options
                    )
        with refused():
            raw = await self._pool.acquire()
        try:
            yield Connection(raw, self._queries)
        finally:
            with refused():
                await self._pool.release(raw)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All rows of a named statement."""
        return list(await self._again(Connection.fetch, query, *args))

    async def fetch_one(self, query: str, *args: Any) -> Any | None:
        """The first row of a named statement, or None."""
        return await self._again(Connection.fetch_one, query, *args)

    async def fetch_value(self, query: str, *args: Any) -> Any:
        """The first column of the first row of a named statement."""
        return await self._again(Connection.fetch_value, query, *args)

    async def _again(self, fetch: Callable[..., Any], query: str, *args: Any) -> Any:
        """A statement is a transaction of its own here, so one that met another can simply be sent again."""
        for _ in range(4):
            try:
                async with self.session() as session:
                    return await fetch(session, query, *args)
            except Conflict:
                continue
        async with self.session() as session:
            return await fetch(session, query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A session in a transaction: committed at the end of the block, rolled back when it raises."""
        async with self.session() as session, session.transaction() as transaction:
            yield transaction

    async def close(self) -> None:
        """Close every session; a server that does not answer is left after 5 s."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                await asyncio.wait_for(pool.close(), 5)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pool.terminate()
