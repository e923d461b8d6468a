"""One attempt of a run, in a process of its own, which may be struck at any place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anthropic
import httpx2

from bench.chaos.naive import Naive
from bench.chaos.script import EFFECTS, SUBMIT, Play, name_of, play_of
from bench.chaos.strikes import Strikes
from bench.chaos.world import tools
from taskq.agent import Claude, House, Manifest, Player, Prices
from taskq.agent.shapes import Turn
from taskq.database import Pool
from taskq.task import Attempt, Message, Task
from taskq.worker.floors import NOWHERE
from taskq.worker.line import DatabaseLine, Held

LEASE = timedelta(seconds=60)
PRICES = Prices.load()


@dataclass(frozen=True)
class Order:
    """Which attempt to play, and where to die; `strike` is for `Strikes`."""

    dsn: str
    base_url: str
    directory: str
    seed: int
    loop: str
    strike: dict[str, Any]


class StruckClaude(Claude):
    """Dies before, in the middle of, or after an answer."""

    strikes: Strikes

    async def turn(self, request: dict[str, Any]) -> Turn:
        turn = 1 + sum(message["role"] == "assistant" for message in request["messages"])
        return await self.strikes.around("ask", turn, lambda: Claude.turn(self, request))


class StruckLine(DatabaseLine):
    """Dies before, in the middle of, or after whatever it sends to the database."""

    def __init__(self, pool: Pool, worker: UUID, strikes: Strikes, play: Play) -> None:
        super().__init__(pool, worker)
        self._strikes, self._play, self._turns = strikes, play, 0

    async def messages(self, task: Attempt) -> list[Message]:
        found = await self._strikes.around("messages", "", lambda: DatabaseLine.messages(self, task))
        self._turns = sum(message.role == "assistant" for message in found)
        return found

    async def _patiently(self, send: Callable[..., Awaitable[Any]], query: str, *args: Any) -> Any:
        place, subject = self._place(query, args)
        answer = await self._strikes.around(place, subject, lambda: send(query, *args))
        self._turns += place == "append_turn"
        return answer

    @asynccontextmanager
    async def transaction(self, task: Attempt) -> AsyncIterator[Held]:
        async with super().transaction(task) as held:
            struck = StruckTransaction(held, self)
            yield struck  # type: ignore[misc]  # it has the methods that a tool and the executor use
            self._strikes.pass_by("commit book", "before", struck.subject)
        self._strikes.pass_by("commit book", "after", struck.subject)

    def _place(self, query: str, args: tuple[Any, ...]) -> tuple[str, str]:
        """args: the worker, the task, the lease, then the statement's own."""
        if query == "append_turn":
            return ("append_turn", str(self._turns + 1)) if args[4] == "assistant" else ("tell", "")
        if query in ("intend", "settle_call"):
            return f"{query.partition('_')[0]} {self._play.tools[args[3]]}", args[3]
        return query, str(self._turns + 1) if query == "begin_turn" else ""


class StruckTransaction:
    """Dies within a transaction."""

    def __init__(self, held: Held, line: StruckLine) -> None:
        self._held, self._line, self.subject = held, line, ""
        self.execute = held.execute

    async def call(self, query: str, *args: Any) -> Any:
        self.subject = args[0]
        return await self._line._strikes.around(
            f"settle {self._line._play.tools[args[0]]}", args[0], lambda: self._held.call(query, *args)
        )


async def play(order: Order) -> None:
    """Claim the run's task, play it, and hand in its result."""
    pool, worker = Pool(order.dsn, size=1), uuid4()
    name = name_of(order.seed, order.loop)
    world = Path(order.directory) / name
    strikes = Strikes(world / "diary", **order.strike)

    async def exchange(want: int, *done: list[Any]) -> list[Any]:
        finished = done or ([], [], [])
        return await pool.fetch("exchange", worker, [name], want, LEASE, *finished, *NOWHERE, None)

    [claimed] = await strikes.around("claim", "", lambda: exchange(1))
    task = task_of(claimed, StruckLine(pool, worker, strikes, play_of(order.seed)))
    claude = open_claude(order, strikes)
    here = tools(world, strikes)
    if order.loop == "naive":
        result = await Naive(task, pool, claude, here, strikes).to_its_end()
    else:
        manifest = Manifest(name, "claude-sonnet-5-5", "You act.", tools=(*EFFECTS, SUBMIT))
        result = await Player(manifest, House(claude, here, world / "home", PRICES)).play(task)
    done = [[task.id], [task.lease], [json.dumps(result)]]
    await strikes.around("complete", "", lambda: exchange(0, *done))


def open_claude(order: Order, strikes: Strikes) -> Claude:
    """A client without certificates: they take longer to read than the rest of an attempt."""
    transport = httpx2.AsyncHTTPTransport(trust_env=False, verify=False)
    http_client = anthropic.DefaultAsyncHttpxClient(transport=transport, trust_env=False)
    claude = StruckClaude("k", base_url=order.base_url, simulated=True, http_client=http_client)
    claude.strikes = strikes
    return claude


def task_of(row: Any, line: DatabaseLine) -> Task:
    """What a handler is given for a claimed row."""
    task = Task()
    for name in ("id", "role", "name", "attempt", "lease", "mission_id", "parent_id"):
        setattr(task, name, row[name])
    task.payload, task.parents, task._line = json.loads(row["payload"]), {}, line
    return task
