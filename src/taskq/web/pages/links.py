"""Links that keep what the page is filtered by."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

TIMES = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}
"""The times that filters offer."""
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def link(path: str, pairs: Iterable[tuple[str, Any]]) -> str:
    """An address with these parameters; those without a value are left out."""
    query = urlencode([(name, str(value)) for name, value in pairs if value not in (None, "")])
    return f"{path}?{query}" if query else path


def length_of(text: str) -> timedelta | None:
    """The length that `since` names, such as 30m, 24h or 7d; None when it names none."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not (number.isascii() and number.isdigit()) or len(number) > 4:
        return None
    return timedelta(**{UNITS[unit]: int(number)})


def pattern_of(text: str) -> str | None:
    """A text as a pattern of ILIKE that finds it anywhere, whatever is in it."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%" if text else None
