"""Where the last claims ended: a claim need not walk index entries from before that again.

Entries of claimed rows stay in the index until vacuum may remove them, and while somewhere a snapshot is
held it may not; a claim that starts at the beginning walks them all, every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Floors:
    """The latest `run_at` claimed (seconds of the epoch), by role and priority."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, int], float] = {}

    def raise_to(self, claims: Iterable[tuple[str, int, float]]) -> None:
        """These were claimed."""
        at = self._at
        for role, priority, run_at in claims:
            key = (role, priority)
            floor = at.get(key)
            if floor is None or run_at > floor:
                at[key] = run_at

    def as_arrays(self) -> tuple[list[str], list[int], list[float]]:
        """The three arrays of taskq.exchange."""
        return [role for role, _ in self._at], [priority for _, priority in self._at], list(self._at.values())

    def forget(self) -> None:
        """The next claims start at the beginning."""
        self._at.clear()


NOWHERE: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
