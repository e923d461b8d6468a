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
    :raises DatabaseError: the database refused; the transaction is the caller's to roll back.
    """
    statement, drivers = QUERIES[query], drivers_of(connection)
    with refused():
        if "asyncpg" in drivers:
            return await connection.fetchval(statement, *args)
        if "psycopg" in drivers:
            return await by_psycopg(connection, statement, args)
        if "sqlalchemy" in drivers:
            return await by_sqlalchemy(connection, statement, args)
    raise TypeError(f"connection is a {type(connection)!r}; asyncpg, psycopg and SQLAlchemy are understood")


def drivers_of(connection: Any) -> set[str]:
    """The packages of its class and of what that is derived from: callers have subclasses of their own."""
    return {base.__module__.partition(".")[0] for base in type(connection).__mro__}


async def by_psycopg(connection: Any, statement: str, args: tuple[Any, ...]) -> Any:
    from psycopg.rows import tuple_row  # the caller's rows may be dicts or anything else

    cursor = connection.cursor(row_factory=tuple_row)
    await settled(cursor.execute(re.sub(r"\$\d+", "%s", statement), args))
    row = await settled(cursor.fetchone())
    return row[0]


async def by_sqlalchemy(connection: Any, statement: str, args: tuple[Any, ...]) -> Any:
    from sqlalchemy import text

    named = text(re.sub(r"\$(\d+)", r":a\1", statement))
    result = await settled(connection.execute(named, {f"a{n}": arg for n, arg in enumerate(args, 1)}))
    return result.scalar()


async def settled(value: Any) -> Any:
    """The value, awaited when the driver is an async one."""
    return await value if inspect.isawaitable(value) else value
