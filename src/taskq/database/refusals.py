"""What the database says, in the words of `taskq.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from taskq.errors import Conflict, DatabaseError, InvalidTask, LeaseLost, NoSuchTask, NotAnArrow, NotMigrated

BY_SQLSTATE: dict[str, type[DatabaseError]] = {
    **{kind.sqlstate: kind for kind in (InvalidTask, LeaseLost, NoSuchTask, NotAnArrow) if kind.sqlstate},
    "40001": Conflict,  # serialization failure
    "40P01": Conflict,  # deadlock
    "3F000": NotMigrated,  # invalid schema name
    "42P01": NotMigrated,  # undefined table
    "42883": NotMigrated,  # undefined function
    "23502": InvalidTask,  # not null
    "23503": InvalidTask,  # foreign key
    "23505": InvalidTask,  # unique
    "23514": InvalidTask,  # check constraint: its name is the sentence
}

BY_CLASS: dict[str, type[DatabaseError]] = {
    "22": InvalidTask,  # data: not of the column's type, out of range, \\u0000 in jsonb
    "54": InvalidTask,  # limits: too long, too deep
}

NO_CONNECTION = ("08", "28", "57")  # broken, not let in, shutting down
TOO_MANY_CONNECTIONS = "53300"


class Unreachable(DatabaseError, ConnectionError):
    """The connection is gone or cannot be made; what was under way may or may not have been committed."""


def translate(error: Exception) -> DatabaseError | None:
    """The taskq error for an asyncpg one, or None when it is none of the database's."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state[:2] in NO_CONNECTION or state == TOO_MANY_CONNECTIONS:
            return Unreachable(str(error))
        kind = BY_SQLSTATE.get(state) or BY_CLASS.get(state[:2], DatabaseError)
        return kind(describe(error))
    if isinstance(error, asyncpg.ClientConfigurationError):
        return DatabaseError(f"the address of the database is not understood: {error}")
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return InvalidTask(str(error))  # a value that cannot be sent
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError):
        return Unreachable(f"{type(error).__name__}: {error}")
    return None


def describe(error: asyncpg.PostgresError) -> str:
    """One line: what was wrong and what to do; never the row itself, which may hold secrets."""
    message = str(error)
    if error.sqlstate == "23514" and error.constraint_name:
        message = f"refused, since this must hold: {error.constraint_name.replace('_', ' ')}"
    if error.sqlstate == "23505" and error.constraint_name == "one_live_task_per_dedup_key":
        message = "a live task has the same dedup_key; taskq.enqueue would return it"
    if error.sqlstate in ("3F000", "42P01", "42883"):
        return f"the schema is missing or too old; run: taskq migrate ({message})"
    return f"{message} ({error.hint})" if getattr(error, "hint", None) else message


@contextmanager
def refused() -> Iterator[None]:
    """Turns asyncpg's errors into ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DatabaseError) or (ours := translate(error)) is None:
            raise
        raise ours from error
