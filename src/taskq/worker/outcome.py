"""What an exception means for the task: its kind, and whether another attempt could help."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from taskq.errors import Fail, InvalidTask, Retry, Snooze
from taskq.task import ERROR_KINDS

BY_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (msgspec.ValidationError, "validation_error"),
    (InvalidTask, "validation_error"),
    (TimeoutError, "external_service"),  # the handler's own; the attempt's limit is told apart by the worker
    (ConnectionError, "external_service"),
    (asyncio.IncompleteReadError, "external_service"),
)


@dataclass(frozen=True)
class Failure:
    """An attempt that ended with an error."""

    kind: str
    message: str
    traceback: str | None = None
    retry_after: timedelta | None = None
    final: bool = False


def classify(error: BaseException) -> Failure:
    """The failure that this exception is.

    An exception may say its kind itself in an attribute `kind`; otherwise its type tells.
    A payload that cannot be read will not be readable next time: that is final.
    """
    if isinstance(error, Failed):
        return error.failure
    after: Any = error.after if isinstance(error, Retry | Snooze) else None
    if after is not None and not isinstance(after, timedelta):
        error, after = TypeError(f"{type(error).__name__}(after=...) takes a timedelta, not {after!r}"), None
    return Failure(
        kind=kind_of(error),
        message=text_of(error),
        traceback=None if isinstance(error, Retry | Fail) else "".join(traceback.format_exception(error)),
        retry_after=after,
        final=isinstance(error, Fail | BadPayload),
    )


def text_of(error: BaseException) -> str:
    """What the exception says; its name when it says nothing."""
    try:
        return str(error) or type(error).__name__
    except Exception as broken:
        return f"{type(error).__name__} (its own text cannot be had: {type(broken).__name__})"


def kind_of(error: BaseException) -> str:
    said = getattr(error, "kind", None)
    if isinstance(said, str) and said in ERROR_KINDS:
        return said
    return next((kind for type_, kind in BY_TYPE if isinstance(error, type_)), "unknown")


class Failed(Exception):
    """A failure that is described already, for who has to choose its words."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class BadPayload(Exception):
    """The payload does not fit the type that the handler asks for."""

    kind = "validation_error"
