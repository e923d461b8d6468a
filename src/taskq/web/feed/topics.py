"""Topics: what the pages listen to, and which of them an event makes dirty."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from taskq.web.feed.event import Event

COUNTS = frozenset({"overview", "tasks", "missions", "roles"})
"""The topics of pages that count or list tasks."""
SPOKEN = {
    "message": (),
    "log": (),
    "progress": ("overview",),
    "tool_call": ("audit",),
    "steer": (),
}
"""What changes no status, and which lists show it all the same."""
TOPIC = re.compile(
    r"overview|tasks|missions|approvals|roles|audit"
    r"|(?:mission|task):[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
"""A topic."""


def topics_of(event: Event) -> Iterator[str]:
    """The topics that an event makes dirty."""
    if event.task_id is None:
        yield from ("overview", "roles")
        return
    yield f"task:{event.task_id}"
    yield f"mission:{event.mission_id}"
    if event.parent_id is not None:
        yield f"task:{event.parent_id}"
    if event.verb in SPOKEN:
        yield from SPOKEN[event.verb]
        return
    yield from COUNTS
    if event.verb not in ("started", "completed") or event.status == "awaiting_approval":
        yield "approvals"  # what was created may be for a person to do


def dirtied(events: Iterable[Event]) -> set[str]:
    """The topics that these events make dirty."""
    return {topic for event in events for topic in topics_of(event)}
