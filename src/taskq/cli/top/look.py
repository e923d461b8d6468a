"""One look at the queue: what the statement `top` says, and nothing remembered from before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from taskq.database import Pool

MOST: Final = 100
"""Rows of each kind at most."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """The whole queue at one moment; times as ISO 8601, lengths of time in seconds.

    `totals` counts all tasks and workers, whatever the lists were filtered by.
    """

    at: str
    database: str
    totals: Mapping[str, int]
    roles: list[Row]
    running: list[Row]
    waiting: list[Row]
    failed: list[Row]
    workers: list[Row]


async def look(reader: Pool, wanted: str = "") -> Look:
    """Look once.

    :param wanted: only what has this in its role, name, id or worker.
    :raises DatabaseError: the database does not answer, or refuses.
    """
    return Look(**json.loads(await reader.fetch_value("top", wanted, MOST)))
