"""Where the last claims ended: a claim need not walk index entries from before that again.

Entries of claimed rows stay in the index until vacuum may remove them, and while somewhere a snapshot is
held it may not; a claim that starts at the beginning walks them all, every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

Place = tuple[list[str], list[int], list[float], list[UUID]]
"""The four arrays of taskq.exchange that say where to begin: roles, priorities, run_at in seconds, ids."""


class Floors:
    """The last place of the ready index that was claimed, by role and priority: run_at in seconds, id."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, int], tuple[float, UUID]] = {}

    def raise_to(self, claims: Iterable[Any]) -> None:
        """These rows of taskq.exchange were claimed."""
        at = self._at
        for row in claims:
            key, place = (row[3], row[6]), (row[7], row[1])
            if key not in at or place > at[key]:
                at[key] = place

    def as_arrays(self) -> Place:
        """Where to begin."""
        return (
            [role for role, _ in self._at],
            [priority for _, priority in self._at],
            [run_at for run_at, _ in self._at.values()],
            [id for _, id in self._at.values()],
        )


NOWHERE: Place = ([], [], [], [])
