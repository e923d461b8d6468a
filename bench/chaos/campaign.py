"""Many runs, side by side, of our loop and of one without a ledger; and the figures of all."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from bench.chaos.attempt import Order
from bench.chaos.run import Nursery, nursery, play, strikes_of
from bench.chaos.script import play_of, recorder
from bench.chaos.strikes import PLACES, without_ledger
from bench.chaos.verdict import Verdict, judge
from bench.chaos.world import SQL
from bench.contenders import TASKQ
from bench.harness import Figure, Target
from bench.harness import Run as Bench
from bench.process import log_file
from taskq.testing import FakeMessages, Request

LANES = 2
NONE = Target(0, at_least=False)


@dataclass
class Campaign:
    """The verdicts on all runs, and why the model refused requests."""

    ledger: list[Verdict] = field(default_factory=list)
    naive: list[Verdict] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Sentences on what should not be."""
        found = [fault for verdict in self.ledger for fault in verdict.faults]
        return [*found, *(f"the model refused a request: {why}" for why in self.refused)]

    @property
    def struck(self) -> set[str]:
        """The places, with their phases, at which a run was killed."""
        return {f"{place}:{phase}" for verdict in self.ledger for place, phase, _ in verdict.run.kills}


async def campaign(dsn: str, seeds: Iterable[int], directory: Path, *, baseline: bool = True) -> Campaign:
    """Play the runs of these seeds, on a fresh database with the schema.

    :param baseline: the same kills of the loop without a ledger, too.
    """
    found, left = Campaign(), iter(list(seeds))
    heard: dict[str, list[Request]] = {}
    fake = FakeMessages(recorder(heard))
    session = await asyncpg.connect(dsn)
    try:
        await session.execute(SQL)
    finally:
        await session.close()

    async def lane(base_url: str) -> None:
        session = await asyncpg.connect(dsn)
        try:
            with log_file().open("ab") as log:
                async with nursery(log) as forks:
                    for seed in left:
                        order = Order(dsn, base_url, "", seed, "ledger", {})
                        await one(session, forks, order, directory, heard, found, baseline)
        finally:
            await session.close()

    async with fake.serve() as base_url, asyncio.TaskGroup() as lanes:
        for _ in range(LANES):
            lanes.create_task(lane(base_url))
    found.refused = [error.message for error in fake.refusals]
    return found


async def one(
    session: asyncpg.Connection,
    forks: Nursery,
    order: Order,
    directory: Path,
    heard: dict[str, list[Request]],
    found: Campaign,
    baseline: bool,
) -> None:
    """A run of our loop, then one of the other."""
    run = await play(session, forks, order, directory, strikes_of(order.seed))
    found.ledger.append(await judge(session, run, heard[run.name]))
    if baseline:
        same = [without_ledger(play_of(order.seed), *kill) for kill in run.kills]
        order = Order(order.dsn, order.base_url, "", order.seed, "naive", {})
        run = await play(session, forks, order, directory, same)
        found.naive.append(await judge(session, run, heard[run.name]))


async def chaos(run: Bench) -> list[Figure]:
    """200 seeded runs."""
    seeds = range(run.size(200, 4))
    run.progress.step(f"{len(seeds)} runs", of=1)
    async with run.server.scratch(TASKQ.install) as dsn:
        with tempfile.TemporaryDirectory() as directory:
            found = await campaign(dsn, seeds, Path(directory))
    run.notes += found.faults[:20]
    return figures(found)


def figures(found: Campaign) -> list[Figure]:
    """What was found, ours and the baseline's."""
    interrupted = sum(verdict.interrupted for verdict in found.ledger)
    reported = sum(verdict.reported for verdict in found.ledger)

    def line(what: str, value: float, unit: str = "", target: Target | None = None) -> Figure:
        return Figure("chaos", what, [value], unit, target)

    kills = [len(verdict.run.kills) for verdict in found.ledger]
    repeats = [v.repeated / max(1, len(v.run.kills)) for v in found.ledger]
    lines = [
        line("runs", len(found.ledger)),
        line("kills", sum(kills)),
        line(f"places struck, of {len(PLACES)}", len(found.struck & set(PLACES))),
        line("faults of any kind", len(found.faults), target=NONE),
        line("requests refused as no valid history", len(found.refused), target=NONE),
        line("repeated model calls per kill, the most", max(repeats), target=Target(1, at_least=False)),
        line("unsafe calls interrupted", interrupted),
        line(
            "of these, reported unknown or verified",
            reported / interrupted if interrupted else 1.0,
            "x",
            Target(1),
        ),
    ]
    for name, verdicts, target in (("", found.ledger, NONE), ("without a ledger: ", found.naive, None)):
        booked, done = (sum(getattr(v, what) for v in verdicts) for what in ("booked_twice", "done_twice"))
        lines += [
            line(f"{name}kills", sum(len(v.run.kills) for v in verdicts)) if name else None,
            line(f"{name}double transactional effects", booked, target=target),
            line(f"{name}double unsafe effects", done, target=target),
        ]
    return [figure for figure in lines if figure is not None]
