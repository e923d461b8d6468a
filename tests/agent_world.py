"""A world of agents: a real database, a worker in this process, a Messages API that follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from support import eventually
from taskq import App, Done, Queue
from taskq.agent import Claude, House, Manifest, Prices, role
from taskq.agent.redaction import Redactor
from taskq.settings import Settings
from taskq.testing import FakeMessages, Reply, text, tool_use
from taskq.tool import Tool
from taskq.worker import Worker

PATIENCE = timedelta(seconds=30)
MODEL = "claude-sonnet-5-5"


def agent(name: str, *tools: str, **fields: Any) -> Manifest:
    """A role: may use these tools, and hand in."""
    return Manifest(
        name=name,
        model=fields.pop("model", MODEL),
        instructions=fields.pop("instructions", "You work."),
        tools=(*tools, "submit_result"),
        **fields,
    )


def done(summary: str = "Done.", **fields: Any) -> Reply:
    """The model hands in."""
    return Reply([tool_use("submit_result", {"summary": summary, **fields})])


def calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """The model asks for tools."""
    return Reply([text("I do that."), *(tool_use(name, given) for name, given in wanted)])


class World:
    """What a test looks at and acts on."""

    def __init__(
        self, dsn: str, db: asyncpg.Connection, home: Path, fake: FakeMessages, queue: Queue
    ) -> None:
        self.dsn, self.db, self.home, self.fake, self.queue = dsn, db, home, fake, queue
        self._stack = AsyncExitStack()
        self._claude: Claude | None = None

    async def work(
        self, *manifests: Manifest, tools: Sequence[Tool] = (), slots: int = 4, secrets: Sequence[str] = ()
    ) -> Worker:
        """Start a worker that plays these roles; it ends with the world, or when it is drained."""
        app = App()
        house = House(
            await self._api(),
            {tool.name: tool for tool in tools},
            self.home,
            Prices.load(),
            Redactor(secrets),
        )
        for manifest in manifests:
            app.add(role(manifest, house))
        settings = Settings(database_url=self.dsn, grace=timedelta(seconds=1), home=self.home)
        worker = Worker(app, dsn=self.dsn, settings=settings, concurrency=slots)
        running = asyncio.create_task(worker.run())

        async def leave() -> None:
            worker.drain()
            await running

        self._stack.push_async_callback(leave)
        return worker

    async def _api(self) -> Claude:
        if self._claude is None:
            base_url = await self._stack.enter_async_context(self.fake.serve())
            self._claude = Claude("k", base_url=base_url, simulated=True)
            self._stack.push_async_callback(self._claude.close)
        return self._claude

    async def rest(self) -> None:
        """No more workers."""
        await self._stack.aclose()
        self._claude = None

    async def ask(self, role: str, objective: str = "Do it.", **columns: Any) -> UUID:
        """Put a task in."""
        payload = {"objective": objective, **columns.pop("payload", {})}
        return await self.queue.enqueue(role, payload, **columns)

    async def end(self, id: UUID) -> Done:
        """How a task ends."""
        return await self.queue.wait(id, timeout=PATIENCE)

    async def becomes(self, id: UUID, status: str) -> asyncpg.Record:
        """The task's row, as soon as it has this status."""

        async def has_it() -> asyncpg.Record | None:
            return await self.db.fetchrow(
                "select * from taskq.tasks where id = $1 and status::text = $2", id, status
            )

        return await eventually(has_it, timeout=PATIENCE.total_seconds())

    async def ledger(self, id: UUID) -> list[asyncpg.Record]:
        """The tool calls of a task, in order."""
        return await self.db.fetch(
            "select * from taskq.tool_calls where task_id = $1 order by turn, place", id
        )

    async def outcomes(self, id: UUID) -> list[tuple[str, str]]:
        """Tools and how their calls stand."""
        return [(row["tool"], row["status"]) for row in await self.ledger(id)]

    async def told(self, id: UUID) -> list[dict[str, Any]]:
        """The blocks that the model of a task was sent, in order."""
        rows = await self.db.fetch(
            "select body from taskq.messages where task_id = $1 and role = 'user' order by seq", id
        )
        return [block for row in rows for block in json.loads(row["body"])]

    async def children(self, id: UUID) -> list[asyncpg.Record]:
        """The tasks that a task has put in, in order."""
        return await self.db.fetch("select * from taskq.tasks where parent_id = $1 order by id", id)


@asynccontextmanager
async def world(dsn: str, db: asyncpg.Connection, home: Path, script: Any) -> AsyncIterator[World]:
    """A world whose models follow a script."""
    async with Queue(dsn) as queue:
        made = World(dsn, db, home, FakeMessages(script, latency=0), queue)
        try:
            yield made
        finally:
            await made.rest()
