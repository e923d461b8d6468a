"""Workers that play one agent role: in this process, and in one of their own, whose program is this file."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apps import remember, remembered
from support import eventually
from taskq import App, ToolCall
from taskq.agent import add_agents
from taskq.errors import LeaseLost
from taskq.worker import Worker, worker
from taskq.worker.line import DatabaseLine
from worker_process import WorkerProcess, settings_for, working

ROLE = "agent"
MANIFEST = """---
model: claude-sonnet-5-5
tools: [post, submit_result]
max_output_tokens: 1000
---
You post.
"""


def agents(world: Path, base_url: str) -> App:
    """The role, with a tool that posts to the file `posted` of `world` and then waits until `go` is there."""
    app, roles = App(), world / "roles"
    roles.mkdir(exist_ok=True)
    (roles / f"{ROLE}.md").write_text(MANIFEST)

    @app.tool(effect="unsafe")
    async def post(call: ToolCall, what: str) -> str:
        """Post it."""
        remember(str(world / "posted"), what)
        await eventually(lambda: (world / "go").exists(), timeout=60)
        return f"posted {what}"

    add_agents(app, roles, api_key="k", base_url=base_url, simulated=True)
    return app


@asynccontextmanager
async def agents_working(world: Path, base_url: str, dsn: str, **how: Any) -> AsyncIterator[Worker]:
    """A worker of the role in this process."""
    async with working(agents(world, base_url), dsn, sweep=1, **how) as running:
        yield running


@asynccontextmanager
async def agents_process(world: Path, base_url: str, dsn: str, **how: Any) -> AsyncIterator[WorkerProcess]:
    """A worker of the role in a process of its own, which learns nothing from its heartbeats: only from what
    the database says to its writes.  Those that are refused are noted in the file `refused` of `world`."""
    orders = json.dumps({"world": str(world), "base_url": base_url, "dsn": dsn, **how})
    process = WorkerProcess(await asyncio.create_subprocess_exec(sys.executable, __file__, orders))
    try:
        yield process
    finally:
        await process.kill()


def refused(world: Path) -> list[str]:
    """The writes of a process that were refused, since their lease was lost."""
    return remembered(world / "refused")


class Noting(DatabaseLine):
    """Notes the writes that are refused."""

    world: Path

    async def _patiently(self, send: Any, query: str, *args: Any) -> Any:
        try:
            return await super()._patiently(send, query, *args)
        except LeaseLost:
            remember(str(self.world / "refused"), query)
            raise


class Deaf(Worker):
    """Goes on with what it has lost."""

    def hear(self, verdicts: list[tuple[int, str]]) -> None:
        pass


def main(world: str, base_url: str, dsn: str, concurrency: int, **times: float) -> None:
    Noting.world = Path(world)
    worker.DatabaseLine = Noting  # type: ignore[misc]
    app = agents(Path(world), base_url)
    asyncio.run(Deaf(app, dsn=dsn, settings=settings_for(dsn, **times), concurrency=concurrency).run())


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
