"""What several operations take and give."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar, get_args
from uuid import UUID

import msgspec
from msgspec import Meta

T = TypeVar("T")

Status = Literal["blocked", "awaiting_approval", "queued", "in_progress", "completed", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)
Limit = Annotated[int, Meta(ge=1, le=500, description="At most so many.")]
Cursor = Annotated[str, Meta(max_length=1000, description="The `next` of the page before.")]
Moment = Annotated[datetime, Meta(tz=True)]
RoleName = Annotated[str, Meta(min_length=1, max_length=200)]
Seconds = Annotated[float, Meta(ge=0, le=10 * 365 * 86400, description="Seconds.")]
Reason = Annotated[str, Meta(max_length=8000, description="Why: it is kept with the event.")]


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of a query."""


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON body."""


class Shape(msgspec.Struct):
    """An answer, or a part of one."""


class Link(Shape):
    """A task as others name it."""

    id: UUID
    role: str
    name: str | None
    status: Status


class TaskRow(Shape):
    """A task in a list; `age` and `took` are seconds, `error` is cut at 500 characters."""

    id: UUID
    role: str
    name: str | None
    status: Status
    priority: int
    attempt: int
    max_attempts: int
    waiting_on: int
    progress: float | None
    progress_note: str | None
    error_kind: str | None
    error: str | None
    mission_id: UUID
    parent_id: UUID | None
    created_by: str | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    age: float
    took: float | None


def shaped(kind: type[T], row: Any) -> T:
    """A row of the database as an answer."""
    return msgspec.convert(dict(row), kind)


def raw(text: str | None) -> msgspec.Raw:
    """JSON text that goes out as it is; what is no JSON (nothing checks the column) as a string."""
    if text is None:
        return msgspec.Raw(b"null")
    try:
        return msgspec.Raw(msgspec.json.decode(text, type=msgspec.Raw))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return msgspec.Raw(msgspec.json.encode(text))
