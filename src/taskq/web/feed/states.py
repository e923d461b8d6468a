"""What is not a happening but a state: told when it is another than at the last look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

GONE = {"worker_is": "left", "gate_is": "gate_resumed"}
"""What it means when it is not there any more.  (What no longer awaits approval or runs has an event of its
own.)"""


class States:
    """The states of the last look, by kind and key."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], dict[str, Any]] = {}
        self._has_looked = False

    def changes(self, rows: Iterable[dict[str, Any]], at: datetime) -> Iterator[dict[str, Any]]:
        """What is new or other than at the last look, and what is gone; nothing at the first look."""
        now = {(row["kind"], row["key"]): row for row in rows if row["kind"].endswith("_is")}
        last, self._last = self._last, now
        if not self._has_looked:
            self._has_looked = True
            return
        for key, row in now.items():
            if key not in last or said(last[key]) != said(row):
                yield row
        for key in last.keys() - now.keys():
            if key[0] in GONE:
                yield {**last[key], "at": at, "verb": GONE[key[0]], "detail": None}


def said(row: dict[str, Any]) -> tuple[str, str | None]:
    """What makes it another state."""
    return row["verb"], row["detail"]
