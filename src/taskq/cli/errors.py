"""Errors at the command line: one line on stderr, and an exit code that says what kind it was."""

from __future__ import annotations

from typing import Any, Final

import click

from taskq.cli.text import clean
from taskq.errors import (
    DatabaseError,
    InvalidTask,
    NoSuchTask,
    NotAnArrow,
    SettingsError,
    TaskqError,
)

NOT_COMPLETED: Final = 1
USAGE: Final = 2
NO_SUCH_TASK: Final = 3
NOT_ALLOWED: Final = 4
NO_DATABASE: Final = 5
INTERNAL: Final = 70
INTERRUPTED: Final = 130


class Ambiguous(TaskqError):
    """Several tasks have an id that begins or ends like this; the message names some."""


# The first that fits: the narrow before the wide.
CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (SettingsError, USAGE),
    (InvalidTask, USAGE),
    (Ambiguous, USAGE),
    (NoSuchTask, NO_SUCH_TASK),
    (NotAnArrow, NOT_ALLOWED),
    (DatabaseError, NO_DATABASE),
    (TaskqError, NOT_COMPLETED),
)


def exit_code(error: Exception) -> int:
    """The exit code for an error; see docs/reference/cli.md."""
    return next((code for kind, code in CODES if isinstance(error, kind)), INTERNAL)


def one_line(error: Exception) -> str:
    """What to tell people of an error."""
    if isinstance(error, TaskqError):
        return clean(str(error))
    return clean(f"{type(error).__name__}: {error}; see where with: taskq --traceback …")


class Command(click.Group):
    """The `taskq` command: says errors in one line, unless --traceback asks to see them whole."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            click.echo(f"taskq: {one_line(error)}", err=True)
            raise click.exceptions.Exit(exit_code(error)) from error
