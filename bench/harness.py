"""Rounds, medians, ratios and verdicts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol, TypeVar

from bench.server import Server

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """What a figure must reach: at least, or at most, the bound."""

    bound: float
    at_least: bool = True

    def verdict(self, value: float) -> str:
        """`met`, or how far off."""
        if value >= self.bound if self.at_least else value <= self.bound:
            return "met"
        if not self.bound:
            return f"not reached: {value:g}"
        return f"not reached: {value / self.bound:.2f} of the target"

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the table: the median of some values, one a round.

    :param unit: what the numbers count: "/s", "ms", "s", "µs CPU a task", "x" (a ratio).
    """

    bench: str
    what: str
    values: Sequence[float]
    unit: str
    target: Target | None = None

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def verdict(self) -> str:
        """`met`, how far off, or nothing for what is told for information."""
        return self.target.verdict(self.value) if self.target else ""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "bench": self.bench,
            "what": self.what,
            "unit": self.unit,
            "median": self.value,
            "rounds": list(self.values),
            "target": str(self.target) if self.target else None,
            "verdict": self.verdict or None,
        }


class Progress(Protocol):
    """Who is told how far a bench is."""

    def step(self, text: str, of: int) -> None: ...


@dataclass
class Run:
    """What a bench is given.

    :param rounds: how often each thing is measured; None leaves it to the bench.
    :param quick: tiny numbers, only to see that it works.
    :param peers: whether to measure the other queues that are installed.
    """

    server: Server
    progress: Progress
    rounds: int | None = None
    quick: bool = False
    peers: bool = True
    notes: list[str] = field(default_factory=list)

    def size(self, full: T, quick: T) -> T:
        """One of two sizes."""
        return quick if self.quick else full

    async def interleave(
        self, measures: Mapping[str, Callable[[], Awaitable[T]]], *, rounds: int = 3
    ) -> dict[str, list[T]]:
        """Measure each of these once a round, every round beginning with another one; the results by name."""
        rounds = 1 if self.quick else self.rounds or rounds
        names = list(measures)
        found: dict[str, list[T]] = {name: [] for name in names}
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                self.progress.step(f"round {number + 1} of {rounds}: {name}", of=rounds * len(names))
                found[name].append(await measures[name]())
        return found


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round: what a busy neighbour takes, he takes from both."""
    return [a / b for a, b in zip(of, to, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
