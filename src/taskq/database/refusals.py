"""What the database says, in the words of `taskq.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from taskq.errors import (
    Conflict,
    DatabaseError,
    InvalidTask,
    LeaseLost,
    Locked,
    NoSuchTask,
    NotAnArrow,
    NotMigrated,
)

BY_SQLSTATE: dict[str, type[DatabaseError]] = {
    **{kind.sqlstate: kind for kind in (InvalidTask, LeaseLost, NoSuchTask, NotAnArrow) if kind.sqlstate},
    "40001": Conflict,  # serialization failure
    "40P01": Conflict,  # deadlock
    "55P03": Locked,  # lock_timeout
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

COLUMNS = (
    "payload",
    "on_dependency_failure",
    "max_attempts",
    "timeout",
    "dedup_key",
    "mission_id",
    "parent_id",
    "role",
    "progress",
)
"""The columns that constraints name: a constraint is a sentence, and its subject a column."""

NO_CONNECTION = ("08", "28", "57")  # broken, not let in, shutting down
TOO_MANY_CONNECTIONS = "53300"


class Unreachable(DatabaseError, ConnectionError):
    """The connection is gone or cannot be made; what was under way may or may not have been committed."""


@dataclass(frozen=True)
class Refusal:
    """What Postgres said, whichever driver it said it to."""

    state: str
    message: str
    hint: str | None
    constraint: str | None
    column: str | None = None

    @classmethod
    def of(cls, error: BaseException | None) -> Refusal | None:
        """From an error of asyncpg or psycopg, or of SQLAlchemy around one of them; None from any other."""
        if isinstance(error, asyncpg.PostgresError):
            return cls(
                error.sqlstate or "", error.args[0], error.hint, error.constraint_name, error.column_name
            )
        if (diag := getattr(error, "diag", None)) is not None and diag.sqlstate:
            return cls(
                diag.sqlstate,
                diag.message_primary,
                diag.message_hint,
                diag.constraint_name,
                diag.column_name,
            )
        return None if error is None else cls.of(error.__cause__)

    def in_our_words(self) -> DatabaseError:
        """The taskq error that says the same."""
        if self.state[:2] in NO_CONNECTION or self.state == TOO_MANY_CONNECTIONS:
            return Unreachable(self.message)
        kind = BY_SQLSTATE.get(self.state) or BY_CLASS.get(self.state[:2], DatabaseError)
        if kind is InvalidTask:
            return InvalidTask(self._line(), self._field())
        return kind(self._line())

    def _field(self) -> str | None:
        """The column that it speaks of: named by the server, or in the name of the constraint."""
        if self.column or not self.constraint:
            return self.column
        if self.constraint == "tasks_pkey":
            return "id"
        return next((name for name in COLUMNS if name in self.constraint), None)

    def _line(self) -> str:
        """What was wrong and what to do; never the row itself, which may hold secrets."""
        message = self.message
        if self.state == "23514" and self.constraint:
            message = f"refused, since this must hold: {self.constraint.replace('_', ' ')}"
        if self.state == "23503" and (field := self._field()):
            message = f"there is no task that {field} names"
        if self.constraint == "tasks_pkey":
            message = "a task with this id already exists"
        if self.state == "23505" and self.constraint == "one_live_task_per_dedup_key":
            message = "a live task has the same dedup_key; taskq.enqueue would return it"
        if BY_SQLSTATE.get(self.state) is NotMigrated:
            return f"the schema is missing or too old; run: taskq migrate ({message})"
        return f"{message} ({self.hint})" if self.hint else message


def translate(error: Exception) -> DatabaseError | None:
    """The taskq error for one of a driver, or None when it is none of the database's."""
    if (refusal := Refusal.of(error)) is not None:
        return refusal.in_our_words()
    if isinstance(error, asyncpg.ClientConfigurationError):
        return DatabaseError(f"the address of the database is not understood: {error}")
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return InvalidTask(str(error))  # a value that cannot be sent
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError):
        return Unreachable(f"{type(error).__name__}: {error}")
    return None


@contextmanager
def refused() -> Iterator[None]:
    """Turns a driver's errors into ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DatabaseError) or (ours := translate(error)) is None:
            raise
        raise ours from error
