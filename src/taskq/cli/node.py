"""A task as the tree shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Node:
    """A row of the statement `nodes` of reading/queries.sql."""

    id: UUID
    role: str
    name: str | None
    status: str
    mission_id: UUID
    parent_id: UUID | None
    depends_on: Sequence[UUID]
    attempt: int
    max_attempts: int
    progress: float | None
    progress_note: str | None
    error_kind: str | None
    error: str | None
    waiting_on: int | None
    due_in: timedelta | None
    took: timedelta | None
