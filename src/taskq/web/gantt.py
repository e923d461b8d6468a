"""The timeline of a mission: bars in percent of its time, one row a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from taskq.web.nodes import Mission, Node
from taskq.web.render import took

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 604800)
"""Seconds between two marks of the axis."""
MARKS = 10
"""Marks at most."""
CLEAR = 6
"""Percent before the line of now that stay free of marks."""
ROOM = 1.02
"""A running mission's axis goes a little beyond now."""


@dataclass(frozen=True)
class Bar:
    """One stretch of time of a task: `kind` is queued, approval, failed, ran (and then waited), or the status
    of the attempt."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Row:
    """A task and its bars, in order of time."""

    node: Node
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Mark:
    """A place on the axis."""

    x: float
    words: str


@dataclass(frozen=True)
class Timeline:
    """All of it; x and width in percent. `now` is None when the mission is over."""

    rows: Sequence[Row]
    marks: Sequence[Mark]
    now: float | None


def timeline(mission: Mission, rows: Sequence[Node]) -> Timeline:
    """The timeline of a mission, its rows in this order."""
    whole = max(mission.seconds, 1.0) * (1 if mission.is_over else ROOM)
    scale = Scale(mission.began_at, whole)
    known = {node.id: node for node in rows}
    return Timeline(
        [Row(node, list(bars(node, known, mission.now, scale))) for node in rows],
        [mark for mark in marks(whole) if mission.is_over or scale.x(mission.now) - mark.x > CLEAR],
        None if mission.is_over else scale.x(mission.now),
    )


@dataclass(frozen=True)
class Scale:
    """From moments to percent."""

    begin: datetime
    seconds: float

    def x(self, at: datetime) -> float:
        """Where a moment is; within the axis."""
        share = (at - self.begin).total_seconds() / self.seconds
        return round(min(max(share, 0), 1) * 100, 3)

    def bar(self, kind: str, since: datetime, until: datetime, title: str) -> Bar:
        """A bar of at least a hair's width."""
        x = self.x(since)
        lasted = took(max(until - since, timedelta()))
        return Bar(kind, x, max(round(self.x(until) - x, 3), 0.15), f"{title}: {lasted}")


def bars(node: Node, known: Mapping[UUID, Node], now: datetime, scale: Scale) -> Iterator[Bar]:
    """What a task's time went into."""
    for asked, answered, who in approvals(node, known, now):
        yield scale.bar("approval", asked, answered, f"waited for a person{who}")
    for ended in node.attempts or ():
        if ended.started_at is not None:
            title = f"attempt {ended.attempt} ended with {ended.kind}"
            yield scale.bar("failed", ended.started_at, ended.finished_at, title)
    since = ready(node, known)
    if since is not None and node.status == "queued" and since < now:
        yield scale.bar("queued", since, now, "waits for a worker")
    elif since is not None and node.started_at is not None and since < node.started_at:
        yield scale.bar("queued", since, node.started_at, "waited for a worker")
    if node.started_at is not None and (until := interrupted(node, known)) is not None:
        yield scale.bar("ran", node.started_at, until, f"attempt {node.attempt}, then it waited")
    if node.started_at is not None and node.status in ("in_progress", "completed"):
        title = f"attempt {node.attempt}, {node.status.replace('_', ' ')}"
        yield scale.bar(node.status, node.started_at, node.ended_by(now), title)


def approvals(
    node: Node, known: Mapping[UUID, Node], now: datetime
) -> Iterator[tuple[datetime, datetime, str]]:
    """When it waited for a person: from its beginning (no event says so), and whenever it was parked."""
    since = None
    if node.requires_approval and node.status != "blocked":
        since = unblocked(node, known)
    for wait in node.waits or ():
        if wait.to == "awaiting_approval":
            since = wait.at
        elif since is not None:
            yield since, wait.at, f" ({wait.verb} by {wait.actor})"
            since = None
    if since is not None and node.status == "awaiting_approval":
        yield since, now, ""


def ready(node: Node, known: Mapping[UUID, Node]) -> datetime | None:
    """Since when its last attempt could have begun; None when it may never."""
    run_at = moment(node.run_at)
    ends = [ended.finished_at for ended in node.attempts or ()]
    return None if run_at is None else max([run_at, unblocked(node, known), *ends])


def interrupted(node: Node, known: Mapping[UUID, Node]) -> datetime | None:
    """When its attempt began to wait for a person or its children; None when it does not wait for them."""
    if node.status not in ("blocked", "awaiting_approval") or node.started_at is None:
        return None
    parked = [wait.at for wait in node.waits or () if wait.to == "awaiting_approval"]
    spawned = [child.created_at for child in known.values() if child.parent_id == node.id]
    return min((at for at in (*parked, *spawned) if at > node.started_at), default=None)


def unblocked(node: Node, known: Mapping[UUID, Node]) -> datetime:
    """When the last of what it waited for had ended."""
    ends = [known[id].finished_at for id in node.depends_on if id in known]
    return max([node.created_at, *(at for at in ends if at is not None)])


def moment(text: str) -> datetime | None:
    """A time of the database; None for infinity."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def marks(seconds: float) -> list[Mark]:
    """The marks of the axis, in round times since the beginning."""
    step = next((step for step in STEPS if seconds / step <= MARKS), STEPS[-1])
    return [
        Mark(round(at / seconds * 100, 3), words(at))
        for at in range(0, min(int(seconds), step * 60) + 1, step)
    ]


def words(seconds: int) -> str:
    """A round time, short."""
    if seconds >= 86400:
        return f"{seconds // 86400} d" + (f" {seconds % 86400 // 3600} h" if seconds % 86400 else "")
    if seconds >= 3600:
        return f"{seconds // 3600} h" + (f" {seconds % 3600 // 60} min" if seconds % 3600 else "")
    if seconds >= 60:
        return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")
    return f"{seconds} s"
