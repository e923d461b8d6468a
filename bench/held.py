"""held: steady state for 30 s while another session holds a snapshot open, against the same without.

A producer keeps the depth of the queue constant.  What vacuum may not remove while the snapshot is held (the
index entries of rows that were claimed long ago) must not make claims slower and slower.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import fmean

import asyncpg

from bench.contenders import TASKQ, fill_taskq
from bench.harness import Figure, Run, Target, ratios
from bench.plot import plot
from bench.process import PATIENCE, Silence, started

SLOTS = 500
EVERY = 0.02  # seconds between two counts
WARM_UP = 2.0  # seconds before the first window


@dataclass(frozen=True)
class Steady:
    """Tasks a second in each window, and (seconds, tasks a second) over time."""

    windows: list[float]
    line: list[tuple[float, float]]

    @property
    def rate(self) -> float:
        return fmean(self.windows)

    @property
    def trend(self) -> float:
        """The last third against the first."""
        third = max(1, len(self.windows) // 3)
        return fmean(self.windows[-third:]) / fmean(self.windows[:third])


async def held(run: Run) -> list[Figure]:
    """The rate with and without a snapshot held, and how it goes over time."""
    found = await run.interleave(
        {"held": partial(steady, run, True), "not held": partial(steady, run, False)}, rounds=5
    )
    with_, without = ([each.rate for each in found[name]] for name in ("held", "not held"))
    path = plot("held", {name: rounds[-1].line for name, rounds in found.items()}, "tasks a second")
    run.notes.append(f"held: {path}")
    return [
        Figure("held", "no snapshot held", without, "/s"),
        Figure("held", "a snapshot held open", with_, "/s"),
        Figure("held", "held / not held", ratios(with_, without), "x", Target(0.85)),
        Figure("held", "held: last third / first", [s.trend for s in found["held"]], "x", Target(0.9)),
        Figure("held", "not held: last third / first", [s.trend for s in found["not held"]], "x"),
    ]


async def steady(run: Run, hold: bool) -> Steady:
    """Windows of one run in a fresh database."""
    depth, window, windows = run.size((10_000, 5.0, 6), (300, 0.2, 3))
    warm_up = run.size(WARM_UP, 0.1)
    async with run.server.scratch(TASKQ.install) as dsn, session(dsn) as producer, session(dsn) as other:
        await fill_taskq(producer, depth)
        await producer.execute("vacuum analyze taskq.tasks")
        if hold:
            await other.execute("begin isolation level repeatable read; select count(*) from taskq.tasks")
        counts: list[tuple[float, int]] = []
        async with started(TASKQ.module, dsn, slots=SLOTS, every=EVERY) as worker:
            made, end = 0, time.monotonic() + PATIENCE
            while time.monotonic() < end:
                _, ran, nanoseconds = await worker.hear("ran")
                if ran == 0:
                    continue
                if not counts:
                    end = nanoseconds / 1e9 + warm_up + window * windows + 2 * EVERY
                counts.append((nanoseconds / 1e9, ran))
                if ran > made:
                    made, missing = ran, ran - made
                    await fill_taskq(producer, missing)
    if not counts:
        raise Silence("the worker claims nothing")
    return measured(counts, warm_up, window, windows)


def measured(counts: list[tuple[float, int]], warm_up: float, window: float, windows: int) -> Steady:
    """Cut the counts into windows."""
    begin = counts[0][0] + warm_up
    edges = [at(counts, begin + n * window) for n in range(windows + 1)]
    ten = [at(counts, begin + n * window / 10) for n in range(windows * 10 + 1)]
    return Steady([rate(a, b) for a, b in pairs(edges)], [(b[0] - begin, rate(a, b)) for a, b in pairs(ten)])


def at(counts: list[tuple[float, int]], moment: float) -> tuple[float, int]:
    """The first count from this moment on."""
    return next((count for count in counts if count[0] >= moment), counts[-1])


def pairs(points: list[tuple[float, int]]) -> list[tuple[tuple[float, int], tuple[float, int]]]:
    """Each point with its successor, where time has passed between them."""
    return [(a, b) for a, b in pairwise(points) if b[0] > a[0]]


def rate(a: tuple[float, int], b: tuple[float, int]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A session for as long as the block lasts."""
    opened = await asyncpg.connect(dsn)
    try:
        yield opened
    finally:
        await opened.close()
