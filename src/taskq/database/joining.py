"""Statements on somebody else's connection, so that they commit or roll back with his transaction."""

from __future__ import annotations

import inspect
import re
from typing import Any

from taskq.database.queries import QUERIES
from taskq.database.refusals import refused


async def join(connection: Any, query: str, *args: Any) -> Any:
    """The first column of the first row of a named statement, on the caller's connection.

    :param connection: of asyncpg, psycopg or SQLAlchemy (connection or session), sync or async.
    :raises TypeError: it is none of these.
    """
    driver = type(connection).__module__.partition(".")[0]
    statement = QUERIES[query]
    if driver == "asyncpg":
        with refused():
            return await connection.fetchval(statement, *args)
    if driver == "psycopg":
        cursor = await settled(connection.execute(re.sub(r"\$\d+", "%s", statement), args))
        row = await settled(cursor.fetchone())
        return row[0]
    if driver == "sqlalchemy":
        from sqlalchemy import text

        named = text(re.sub(r"\$(\d+)", r":a\1", statement))
        result = await settled(connection.execute(named, {f"a{n}": a for n, a in enumerate(args, 1)}))
        return result.scalar()
    raise TypeError(f"connection is a {type(connection)!r}; asyncpg, psycopg and SQLAlchemy are understood")


async def settled(value: Any) -> Any:
    """The value, awaited when the driver is an async one."""
    return await value if inspect.isawaitable(value) else value
