"""What an exception means for the task: its kind, and whether another attempt could help."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from taskq.errors import Fail, InvalidTask, Retry
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
    kind = kind_of(error)
    return Failure(
        kind=kind,
        message=str(error) or type(error).__name__,
        traceback=None if isinstance(error, Retry | Fail) else "".join(traceback.format_exception(error)),
        retry_after=error.after if isinstance(error, Retry) else None,
        final=isinstance(error, Fail | BadPayload),
    )


def kind_of(error: BaseException) -> str:
    said = getattr(error, "kind", None)
    if isinstance(said, str) and said in ERROR_KINDS:
        return said
    return next((kind for type_, kind in BY_TYPE if isinstance(error, type_)), "unknown")


class BadPayload(Exception):
    """The payload does not fit the type that the handler asks for."""

    kind = "validation_error"
