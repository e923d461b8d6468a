"""Text for people: what comes from rows is made harmless, times and lengths are made short."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

# Control characters, and those that turn the direction of writing: a name must not move the cursor or
# pretend to be something else.
UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def clean(text: str | None, *, lines: bool = False) -> str:
    """Text from a row without control characters; on one line unless `lines`."""
    safe = UNSAFE.sub("", text or "")
    return safe if lines else " ".join(safe.split())


def short(id: UUID) -> str:
    """The end of an id, which is random in every version; commands understand it."""
    return id.hex[-12:]


def when(time: datetime | None) -> str:
    """A local time; the date only when it is not today."""
    if time is None:
        return ""
    local = time.astimezone()
    today = datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")


def length(time: timedelta | None, *, brief: bool = False) -> str:
    """A length of time in one or two units; in one if `brief`."""
    if time is None:
        return ""
    seconds = max(0.0, time.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, per, below in (("d", 86400, "h"), ("h", 3600, "min"), ("min", 60, "s")):
        if seconds >= per:
            rest = int(seconds % per / {"h": 3600, "min": 60, "s": 1}[below])
            return f"{int(seconds // per)} {unit}" + (f" {rest} {below}" if rest and not brief else "")
    return f"{seconds:.0f} s"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of a text."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
