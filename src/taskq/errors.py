"""Every error that taskq raises, and what to do about it.

TaskqError
├── SettingsError        a setting cannot be understood
├── DatabaseError        the database refused or cannot be reached
│   ├── NotMigrated      run `taskq migrate`
│   ├── NoDatabase       no server was named and none could be started
│   ├── Conflict         two transactions met; try again
│   │   └── Locked       somebody keeps a row locked; try again later
│   ├── InvalidTask      an inserted task was refused            (TQ001)
│   ├── LeaseLost        another worker owns the task now        (TQ002)
│   ├── NoSuchTask       there is no task with that id           (TQ003)
│   └── NotAnArrow       the task's status does not allow this   (TQ004)
├── TaskFailed           `Queue.result` of a task that did not complete
└── Outcome              raised by a handler to say how its attempt ends
    ├── Retry            try again after a while; spends an attempt
    ├── Fail             give up now
    └── Snooze           try again after a while; spends no attempt

Suspended is no error: it carries a handler out of its attempt while its task waits for something.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any


class TaskqError(Exception):
    """The root of every error that taskq raises."""


class SettingsError(TaskqError):
    """A setting cannot be understood; the message names it and the form it takes."""


class DatabaseError(TaskqError):
    """The database refused a request or cannot be reached."""

    sqlstate: str | None = None


class NotMigrated(DatabaseError):
    """The schema is missing or older than this version; run `taskq migrate`."""


class NoDatabase(DatabaseError):
    """No database was named and none could be started; the message names the ways out."""


class Conflict(DatabaseError):
    """Two transactions got in each other's way and this one was rolled back; try again."""


class Locked(Conflict):
    """Somebody keeps a row locked for longer than this request waits; try again later."""


class InvalidTask(DatabaseError):
    """The task was refused and nothing was written; the message says which column and why.

    `field` is the column, where it is known.
    """

    sqlstate = "TQ001"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class LeaseLost(DatabaseError):
    """Another worker owns this task now; drop your result."""

    sqlstate = "TQ002"


class NoSuchTask(DatabaseError):
    """There is no task with that id."""

    sqlstate = "TQ003"


class NotAnArrow(DatabaseError):
    """The task's status does not allow this; the message names what does."""

    sqlstate = "TQ004"


class TaskFailed(TaskqError):
    """The awaited task ended as failed or cancelled; `status`, `kind` and `message` say how."""

    def __init__(self, id: Any, status: str, kind: str | None, message: str | None) -> None:
        super().__init__(f"task {id} {status}: {kind or 'unknown'}: {message or ''}".rstrip(": "))
        self.id, self.status, self.kind, self.message = id, status, kind, message


class Outcome(TaskqError):
    """Raised by a handler to say how its attempt ends; see Retry, Fail and Snooze."""


class Retry(Outcome):
    """Try again; spends an attempt.  `after` overrides the role's backoff."""

    def __init__(
        self, message: str = "the handler asked for a retry", *, after: timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.after = after


class Fail(Outcome):
    """Give up now, whatever attempts are left.  `kind` is one of the error kinds of the design."""

    def __init__(self, message: str, *, kind: str = "unknown") -> None:
        super().__init__(message)
        self.kind = kind


class Snooze(Outcome):
    """Try again after `after`; spends no attempt."""

    def __init__(self, after: timedelta, message: str = "snoozed") -> None:
        super().__init__(message)
        self.after = after


class Suspended(BaseException):
    """The task waits now, in the database; its lease is given up, and a later attempt goes on from here.

    Not an Exception: a handler's own `except Exception` must not swallow it.
    """
