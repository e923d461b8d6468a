"""An agent whose process is stopped for longer than its lease, and wakes up: it writes nothing."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import asyncpg

from agent_process import ROLE, agents_process, agents_working, refused
from apps import remembered
from support import eventually
from taskq import Queue
from taskq.testing import FakeMessages, Reply, Request, by_turn, text, tool_use

POST = Reply([text("I post."), tool_use("post", {"what": "once"})])
SUBMIT = Reply([tool_use("submit_result", {"summary": "Done."})])
TABLES = (
    *("tasks", "attempts", "events", "logs", "messages", "tool_calls", "policies", "steers", "steps"),
    *("budgets", "reservations", "clocks", "gates"),
)
TIMES = {"lease": 1.5, "heartbeat": 0.5}


async def everything(session: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of everything that an attempt could change, as text."""
    return {
        table: [row[0] for row in await session.fetch(f"select t::text from taskq.{table} t order by 1")]  # noqa: S608
        for table in TABLES
    }


async def test_an_agent_that_wakes_up_after_its_lease_writes_nothing(
    dsn: str, db: asyncpg.Connection, tmp_path: Path
) -> None:
    woken, held = asyncio.Event(), []
    loop = asyncio.get_running_loop()
    play = by_turn(POST, SUBMIT)

    async def script(request: Request) -> object:
        """The first answer to the task `in a turn` takes until the zombie has woken up."""
        if request.task == "in a turn" and not held:
            held.append(request)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(woken.wait(), loop))
        return SUBMIT if request.task == "in a turn" else play(request)

    fake = FakeMessages(script)
    async with (
        fake.serve() as base_url,
        Queue(dsn) as queue,
        agents_process(tmp_path, base_url, dsn, concurrency=2, **TIMES) as zombie,
    ):
        in_turn = await queue.enqueue(ROLE, {}, name="in a turn")
        in_tool = await queue.enqueue(ROLE, {}, name="in a tool")
        for id in (in_turn, in_tool):
            await db.execute("select taskq.set_budget('mission', $1, '{\"tokens\": 1000000}')", str(id))
        await eventually(lambda: held and remembered(tmp_path / "posted"), timeout=30)
        zombie.send(signal.SIGSTOP)

        async with agents_working(tmp_path, base_url, dsn, **TIMES):
            done = [await queue.wait(id, timeout=timedelta(seconds=20)) for id in (in_turn, in_tool)]
        assert [one.status for one in done] == ["completed", "completed"]
        before = await everything(db)

        (tmp_path / "go").touch()
        woken.set()
        zombie.send(signal.SIGCONT)
        await eventually(lambda: sorted(refused(tmp_path)) == ["append_turn", "settle_call"], timeout=20)
        zombie.send(signal.SIGTERM)
        await zombie.ends()
        assert await everything(db) == before
    assert remembered(tmp_path / "posted") == ["once"]
    assert [
        tuple(row) for row in await db.fetch("select tool, status from taskq.tool_calls order by tool")
    ] == [
        ("post", "unknown"),
        ("submit_result", "success"),
        ("submit_result", "success"),
    ]
    assert not fake.refusals
