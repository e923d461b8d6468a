"""The critical path of a mission: the chain of tasks that takes longest, and so decides when it ends."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")


@dataclass(frozen=True)
class Step(Generic[K]):
    """A task: what must end before it, and its seconds: taken so far, or what it may take."""

    id: K
    after: Sequence[K]
    seconds: float


@dataclass(frozen=True)
class Path(Generic[K]):
    """A chain in order, and its seconds altogether."""

    ids: tuple[K, ...] = ()
    seconds: float = 0.0


def longest(steps: Iterable[Step[K]]) -> Path[K]:
    """The longest chain; of two that take the same time, the one with more tasks.

    What comes after itself, or after what is not among the steps, is as if it came after nothing.
    """
    by_id = {step.id: step for step in steps}
    ends: dict[K, tuple[float, int]] = {}
    before: dict[K, K] = {}
    for step in in_order(by_id):
        known = [id for id in step.after if id in ends]
        last = max(known, key=lambda id: ends[id], default=None)
        seconds, tasks = (0.0, 0) if last is None else ends[last]
        ends[step.id] = (seconds + step.seconds, tasks + 1)
        if last is not None:
            before[step.id] = last
    if not ends:
        return Path()
    end = max(ends, key=lambda id: ends[id])
    chain = [end]
    while chain[-1] in before:
        chain.append(before[chain[-1]])
    return Path(tuple(reversed(chain)), ends[end][0])


def in_order(steps: dict[K, Step[K]]) -> Iterable[Step[K]]:
    """Each after all that it comes after; what is in a circle is left out."""
    followers: dict[K, list[K]] = defaultdict(list)
    waiting = {}
    for step in steps.values():
        parents = {id for id in step.after if id in steps}
        waiting[step.id] = len(parents)
        for id in parents:
            followers[id].append(step.id)
    ready = deque(id for id, count in waiting.items() if count == 0)
    while ready:
        id = ready.popleft()
        yield steps[id]
        for follower in followers[id]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
