"""Values as JSON text, as Postgres keeps it, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from taskq.durable import interval
from taskq.errors import InvalidTask

NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of a NUL, but not the text of one: a backslash that is escaped itself."""


def plain(value: Any) -> Any:
    """A column's value as JSON knows it."""
    if isinstance(value, timedelta):
        return interval(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def encode(value: Any) -> str:
    """The JSON text of a value.

    :raises InvalidTask: it has none that Postgres can keep.
    """
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidTask(f"this is no JSON: {error}") from error
    if "\\u0000" in text and NUL.search(text):
        raise InvalidTask("Postgres keeps no \\u0000 in JSON; remove it from the text")
    return text


def decode(text: str | None) -> Any:
    """The value of a JSON text; None for none."""
    return None if text is None else msgspec.json.decode(text)
