"""One run, from its task to its end: attempt after attempt, each dead worker's task queued again at once."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import asyncpg

from bench.chaos.attempt import Order
from bench.chaos.script import name_of, play_of
from bench.chaos.strikes import PLACES

ROOT = Path(__file__).resolve().parent.parent.parent
NEVER: dict[str, Any] = {"at": None, "nth": 0}
MOST_KILLS = 3
MOST_ATTEMPTS = MOST_KILLS + 2
PUT = "insert into taskq.tasks (role, name, max_attempts) values ($1::text, $1::text, 100) returning id"
HELD = "select * from taskq.tasks where id = $1 for no key update"
REAP = """
select taskq.reap_task(t, 'its process was killed') from taskq.tasks t
where id = $1 and status = 'in_progress'
"""
STATUS = "select status::text from taskq.tasks where id = $1"
RETRY = "select taskq.retry($1, 'go on', 'chaos')"
INTERRUPTED = (
    "select call_id from taskq.tool_calls where task_id = $1 and status = 'started' and effect = 'unsafe'"
)


class Nursery:
    """The process that forks a child for each attempt; see nursery.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    async def play(self, order: Order) -> int:
        """The exit code of the attempt, or minus the signal that ended it."""
        self._stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        return int(await self._stdout.readline())

    async def end(self) -> None:
        self._stdin.close()
        await self._process.wait()


@asynccontextmanager
async def nursery(log: IO[bytes]) -> AsyncIterator[Nursery]:
    """One for as long as the block lasts; it complains to `log`."""
    command = (sys.executable, "-m", "bench.chaos.nursery")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=log)
    running = Nursery(process)
    try:
        yield running
    finally:
        await running.end()


@dataclass
class Run:
    """A run that has ended.

    :param kills: the places at which it was killed, each as place, phase, subject.
    :param interrupted: the unsafe calls that a kill left begun, by their ids.
    :param status: of its task.
    """

    seed: int
    loop: str
    task: UUID
    world: Path
    kills: list[list[str]] = field(default_factory=list)
    interrupted: set[str] = field(default_factory=set)
    status: str = ""

    @property
    def name(self) -> str:
        return name_of(self.seed, self.loop)


def strikes_of(seed: int) -> list[dict[str, Any]]:
    """Where a run is struck: the first one goes round all the places, the others come anywhere."""
    dice = random.Random(seed + 1_000_000)
    order = random.Random(0).sample(PLACES, len(PLACES))
    at = order[seed % len(order)]
    tool = at.partition(":")[0].partition(" ")[2]
    tools = [*play_of(seed).tools.values()]
    often = tools.count(tool) if tool else len(play_of(seed).turns) if at.startswith(TURNS) else 1
    first = {"at": at, "nth": dice.randint(1, often), "delay": dice.uniform(0, 0.004)}
    others = [
        {"at": None, "nth": dice.randint(1, 60), "delay": dice.uniform(0, 0.004)}
        for _ in range(dice.randint(0, MOST_KILLS - 1))
    ]
    return [first, *others]


TURNS = ("begin_turn", "ask", "append_turn")


async def play(
    session: asyncpg.Connection,
    nursery: Nursery,
    order: Order,
    directory: Path,
    strikes: list[dict[str, Any]],
) -> Run:
    """A run that is struck once an attempt, as listed, and then left to its end.

    :raises RuntimeError: an attempt failed by itself.
    """
    name = name_of(order.seed, order.loop)
    world = directory / name
    world.mkdir()
    run = Run(order.seed, order.loop, await session.fetchval(PUT, name), world)
    for strike in [*strikes, *[NEVER] * MOST_ATTEMPTS]:
        code = await nursery.play(Order(**{**asdict(order), "directory": str(directory), "strike": strike}))
        if code not in (0, -9):
            raise RuntimeError(f"{name}: the attempt struck at {strike} ended with {code}; see the log")
        await queue_again(session, run)
        if run.status == "completed":
            break
    if (diary := world / "diary").exists():
        run.kills = [json.loads(line) for line in diary.read_text(encoding="utf-8").splitlines()]
    return run


async def queue_again(session: asyncpg.Connection, run: Run) -> None:
    """The process is dead: what the reaper does, at once; the third time, what a person does then."""
    async with session.transaction():
        await session.execute(HELD, run.task)  # what it had sent has come to its end by then
        await session.execute(REAP, run.task)
        run.interrupted |= {row["call_id"] for row in await session.fetch(INTERRUPTED, run.task)}
    run.status = await session.fetchval(STATUS, run.task)
    if run.status == "failed":
        await session.execute(RETRY, run.task)
