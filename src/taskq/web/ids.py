"""Ids of version 7, and places in the order of time."""

from __future__ import annotations

import os
import time
from datetime import datetime
from uuid import UUID

LOWEST, HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


def new_id() -> UUID:
    """A new id of version 7 (RFC 9562), for tasks that others of a graph name, or that we must know again."""
    return version_7(int(time.time() * 1000), int.from_bytes(os.urandom(10), "big"))


def version_7(milliseconds: int, random: int) -> UUID:
    """The id of a moment; `random` has 80 bits, of which six are given away to version and variant."""
    number = (milliseconds & (2**48 - 1)) << 80 | random & (2**80 - 1)
    number = number & ~(0xF << 76) | 7 << 76
    return UUID(int=number & ~(0b11 << 62) | 0b10 << 62)


def first_of(moment: datetime) -> UUID:
    """A place that no task of this moment or after lies below."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)
