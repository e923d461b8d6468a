"""From a graph of tasks to the places of a tree.

A task stands below the nearest task that everything before it comes after (its dominator): what three tasks
lead to stands beside them, not below one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol, TypeVar
from uuid import UUID

DEEPEST = 12
"""Levels that are drawn; what lies deeper stands on the last one."""


class Placed(Protocol):
    """A task, as far as its place goes."""

    @property
    def id(self) -> UUID: ...
    @property
    def parent_id(self) -> UUID | None: ...
    @property
    def depends_on(self) -> Sequence[UUID]: ...


Node = TypeVar("Node", bound=Placed)
Below = Mapping[UUID | None, Sequence[Node]]
"""By task, and None for the top: what stands below it, first what comes first."""


def arrange(nodes: Sequence[Node], mission: UUID) -> Below[Node]:
    """What stands where."""
    before = predecessors(nodes, mission)
    order = ordered(before)
    place, level = places(before, order), levels(before, order)
    below: dict[UUID | None, list[Node]] = defaultdict(list)
    for node in sorted(nodes, key=lambda node: level[node.id]):
        below[place[node.id]].append(node)
    return dict(below)


def predecessors(nodes: Sequence[Placed], mission: UUID) -> dict[UUID, list[UUID]]:
    """By task, what comes before it: its dependencies and its parent.

    What a task waits for of its own descent does not; the root of the mission does, where nothing else does.
    """
    known = {node.id: node for node in nodes}
    before = {
        node.id: [
            *(id for id in node.depends_on if id in known and not descends(id, node.id, known)),
            *(id for id in [node.parent_id] if id is not None and id in known),
        ]
        for node in nodes
    }
    if mission in known and not before[mission]:
        for id, some in before.items():
            if not some and id != mission:
                some.append(mission)
    return before


def descends(id: UUID, ancestor: UUID, known: Mapping[UUID, Placed]) -> bool:
    """Whether a task is a child, a grandchild, … of another."""
    seen: set[UUID | None] = set()
    at: UUID | None = id
    while at is not None and at in known and at not in seen:
        seen.add(at)
        at = known[at].parent_id
        if at == ancestor:
            return True
    return False


def ordered(before: Mapping[UUID, Iterable[UUID]]) -> list[UUID]:
    """Every task after those that come before it; as they are given where that is impossible."""
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        return list(before)


def levels(before: Mapping[UUID, Sequence[UUID]], order: Iterable[UUID]) -> dict[UUID, int]:
    """By task, how many come one after the other before it."""
    level: dict[UUID, int] = {}
    for id in order:
        level[id] = max((level.get(some, 0) + 1 for some in before[id]), default=0)
    return level


def places(before: Mapping[UUID, Sequence[UUID]], order: Iterable[UUID]) -> dict[UUID, UUID | None]:
    """By task, the one below which it stands; None for the top."""
    place: dict[UUID, UUID | None] = {}
    depth: dict[UUID | None, int] = {None: 0}
    for id in order:
        above = [some for some in before[id] if some in place]
        at = above[0] if above else None
        for some in above[1:]:
            at = meet(at, some, place, depth)
        while at is not None and depth[at] >= DEEPEST:
            at = place[at]
        place[id], depth[id] = at, depth[at] + 1
    return place


def meet(
    one: UUID | None,
    other: UUID | None,
    place: Mapping[UUID, UUID | None],
    depth: Mapping[UUID | None, int],
) -> UUID | None:
    """The nearest task above both of these."""
    while one != other:
        if one is not None and depth[one] >= depth[other]:
            one = place[one]
        elif other is not None:
            other = place[other]
    return one
