"""What comes before what in a mission: the edges that are drawn, and the critical path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from taskq.reading.layout import descends, ordered, predecessors
from taskq.web.criticalpath import Step, longest
from taskq.web.nodes import Node

AGES = 1e9
"""Seconds that a task to come counts for: more than all that has ended, whatever that took."""


@dataclass(frozen=True)
class Edge:
    """From what comes first to what comes after it; `kind` is "depends" or "child"."""

    first: UUID
    then: UUID
    kind: str
    is_critical: bool = False


@dataclass(frozen=True)
class Path:
    """The chain of tasks that decides when the mission ends."""

    tasks: Sequence[Node]
    seconds: float
    """The time that it has taken so far."""

    @property
    def remaining(self) -> list[Node]:
        """Its tasks that have not ended."""
        return [node for node in self.tasks if not node.has_ended]


def critical_path(nodes: Sequence[Node], mission: UUID, now: datetime) -> Path:
    """The chain with the most tasks to come, and among those the one that has taken the longest."""
    known = {node.id: node for node in nodes}
    before = with_their_broods(known, predecessors(nodes, mission))
    steps = [
        Step(node.id, before[node.id], node.seconds(now) + (0.0 if node.has_ended else AGES))
        for node in nodes
    ]
    chain = [known[id] for id in longest(steps).ids]
    return Path(chain, sum(node.seconds(now) for node in chain))


def with_their_broods(
    known: Mapping[UUID, Node], before: Mapping[UUID, Sequence[UUID]]
) -> dict[UUID, list[UUID]]:
    """What comes after a task comes after the children that it waits for, too."""
    brood: dict[UUID, list[UUID]] = {}
    for node in known.values():
        own = [id for id in node.depends_on if id in known and descends(id, node.id, known)]
        if own:
            brood[node.id] = own
    return {
        id: [*some, *(child for one in some for child in brood.get(one, ()) if not descends(id, one, known))]
        for id, some in before.items()
    }


def edges(nodes: Sequence[Node], mission: UUID, path: Path) -> list[Edge]:
    """The edges of the drawing; one that follows from others is left out, of whichever kind."""
    known = {node.id: node for node in nodes}
    before = predecessors(nodes, mission)
    order = ordered(before)
    bit = {id: 1 << number for number, id in enumerate(order)}
    above: dict[UUID, int] = {}
    for id in order:
        above[id] = 0
        for some in before[id]:
            above[id] |= bit[some] | above.get(some, 0)
    critical = {node.id for node in path.tasks}
    drawn = []
    for id in order:
        for some in dict.fromkeys(before[id]):
            kind = "depends" if some in known[id].depends_on else "child"
            if any(above[other] & bit[some] for other in before[id] if other != some):
                continue
            drawn.append(Edge(some, id, kind, some in critical and id in critical))
    return drawn
