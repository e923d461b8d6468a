"""A stage for agents: a task in a real database, a real conversation with the fake Messages API, and a worker
that dies when it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from fake_worker import FakeWorker
from taskq.agent import Claude, House, Manifest, Player, Prices
from taskq.database import Pool
from taskq.database.refusals import Unreachable
from taskq.task import Attempt, Task
from taskq.testing import FakeMessages
from taskq.tool import Tool
from taskq.worker.line import DatabaseLine

ROLE = "agent"
ALL = ("list_dir", "read_file", "grep", "submit_result")
COMMITS = ("append_turn", "settle_call")


class Killed(BaseException):
    """The worker is gone: nothing in it may catch this."""


class DyingLine(DatabaseLine):
    """The worker's line to the database, of a worker that dies.

    :param dies_before, dies_after: the worker is gone just before (after) it commits its n-th message.
    :param drops_before, drops_after: there the connection is lost, once.
    """

    def __init__(self, pool: Pool, worker: UUID, **strikes: int) -> None:
        super().__init__(pool, worker)
        self._strikes = strikes
        self._appended = 0
        self.notes: list[str | None] = []

    async def progress(self, task: Attempt, fraction: float | None, note: str | None) -> None:
        self.notes.append(note)
        await super().progress(task, fraction, note)

    async def _patiently(self, send: Callable[..., Awaitable[Any]], query: str, *args: Any) -> Any:
        async def struck(query: str, *args: Any) -> Any:
            self._appended += 1
            self._strike("before")
            answer = await send(query, *args)
            self._strike("after")
            return answer

        if query == "append_turn":
            self.notes.append(args[-1])
        return await super()._patiently(struck if query in COMMITS else send, query, *args)

    def _strike(self, when: str) -> None:
        if self._strikes.get(f"dies_{when}") == self._appended:
            raise Killed
        if self._strikes.get(f"drops_{when}") == self._appended:
            raise Unreachable("the connection is gone")


class Stage:
    """One task of one agent role, on one session."""

    def __init__(
        self, session: asyncpg.Connection, pool: Pool, fake: FakeMessages, claude: Claude, directory: Path
    ) -> None:
        self.session, self.pool, self.fake, self.claude = session, pool, fake, claude
        self.directory = directory
        self.worker = FakeWorker(session, ROLE)
        self.manifest = manifest()
        self.tools: dict[str, Tool] = {}

    async def put(self, payload: dict[str, Any] | None = None, **columns: Any) -> UUID:
        """Insert the task; it looks at the stage's directory."""
        payload = {"objective": "Tell what is here.", "directory": str(self.directory), **(payload or {})}
        names = "".join(f", {name}" for name in columns)
        marks = "".join(f", ${n}" for n in range(3, len(columns) + 3))
        return await self.session.fetchval(
            f"insert into taskq.tasks (role, payload, max_attempts{names}) values ($1, $2, 100{marks})"  # noqa: S608
            " returning id",
            ROLE,
            payload,
            *columns.values(),
        )

    async def claim(self, parents: dict[UUID, Any] | None = None, **strikes: int) -> Task:
        """Claim the task with a line that fails as it is told."""
        await self.worker.register()
        row = await self.worker.claim_one()
        self.line = DyingLine(self.pool, self.worker.id, **strikes)
        self.claimed = row
        return task_of(row, self.line, parents)

    async def play(self, parents: dict[UUID, Any] | None = None, **strikes: int) -> dict[str, Any]:
        """Claim the task and play one attempt of it."""
        return await self.player().play(await self.claim(parents, **strikes))

    def player(self) -> Player:
        """Who plays the stage's manifest."""
        return Player(self.manifest, House(self.claude, self.tools, self.directory / ".home", Prices.load()))

    async def lose(self) -> None:
        """The attempt ended badly, and the task is queued again at once."""
        assert await self.worker.fail(self.claimed, "worker_lost", after=timedelta(0)) == "queued"

    async def rows(self) -> list[asyncpg.Record]:
        """The committed messages."""
        return await self.session.fetch("select * from taskq.messages order by seq")

    async def contents(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """Who said what, as committed."""
        return [(row["role"], json.loads(row["body"])) for row in await self.rows()]

    async def calls(self) -> list[tuple[str, str]]:
        """The ledger: tools and how their calls stand, in order."""
        rows = await self.session.fetch("select tool, status from taskq.tool_calls order by turn, place")
        return [(row["tool"], row["status"]) for row in rows]


def manifest(**changes: Any) -> Manifest:
    """A manifest with all tools."""
    fields: dict[str, Any] = {
        "name": ROLE,
        "model": "claude-sonnet-5-5",
        "instructions": "You look.",
        "tools": ALL,
    }
    return Manifest(**{**fields, **changes})


def task_of(row: asyncpg.Record, line: DatabaseLine, parents: dict[UUID, Any] | None = None) -> Task:
    """What a handler would be given for a claimed row."""
    task = Task()
    for name in ("id", "role", "name", "payload", "attempt", "lease", "mission_id"):
        setattr(task, name, row[name])
    task.parents = parents or {}
    task._line = line
    return task


@asynccontextmanager
async def staged(db: asyncpg.Connection, dsn: str, directory: Path) -> AsyncIterator[Callable[..., Any]]:
    """`s = await set_up(script)`: a task and a worker that dies when it is told to."""
    async with AsyncExitStack() as stack:

        async def set_up(script: Any) -> Stage:
            fake = FakeMessages(script, latency=0)
            base_url = await stack.enter_async_context(fake.serve())
            claude = Claude("k", base_url=base_url, simulated=True)
            stack.push_async_callback(claude.close)
            pool = Pool(dsn, size=2)
            stack.push_async_callback(pool.close)
            made = Stage(db, pool, fake, claude, directory)
            await made.put()
            return made

        yield set_up
