"""Agents in real workers: a small mission, and a worker process that is killed in the middle of one."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from taskq import App, Queue
from taskq.agent import add_agents
from taskq.settings import Settings
from taskq.testing import ApiError, FakeMessages, Request, by_turn, offline_script
from taskq.worker import Worker

ROLES = Path(__file__).parent.parent / "roles"
SQL = Path(__file__).parent.parent / "sql"

PROGRAM = """
import asyncio, sys
from taskq import App
from taskq.agent import add_agents
from taskq.settings import Settings
from taskq.worker import Worker

roles, base_url, dsn = sys.argv[1:]
app = App()
add_agents(app, roles, api_key="k", base_url=base_url, simulated=True)
asyncio.run(Worker(app, dsn=dsn, settings=Settings(database_url=dsn)).run())
"""


@asynccontextmanager
async def worker(dsn: str, base_url: str) -> AsyncIterator[None]:
    """A worker that plays the example roles, in this process."""
    app = App()
    add_agents(app, ROLES, api_key="k", base_url=base_url, simulated=True)
    playing = Worker(app, dsn=dsn, settings=Settings(database_url=dsn, grace=timedelta(seconds=1)))
    running = asyncio.create_task(playing.run())
    try:
        yield
    finally:
        playing.drain()
        await running


@asynccontextmanager
async def worker_process(dsn: str, base_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The same in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM), str(ROLES), base_url, dsn
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_mission_of_agents_hands_results_down(dsn: str, db: asyncpg.Connection) -> None:
    brief, design, review = uuid4(), uuid4(), uuid4()
    graph: list[tuple[UUID, str, list[UUID]]] = [
        (review, "qa-security-sabine", [design, brief]),
        (design, "SABINE_ARCHITECT", [brief]),
        (brief, "product-manager-sabine", []),
    ]
    fake = FakeMessages(latency=0)
    async with fake.serve() as base_url, worker(dsn, base_url), Queue(dsn) as queue:
        await queue.enqueue_many(
            [
                {
                    "id": id,
                    "role": role,
                    "payload": {"objective": f"Look at {SQL.name}.", "directory": str(SQL)},
                    "depends_on": depends_on,
                }
                for id, role, depends_on in graph
            ]
        )
        result = await queue.result(review, timeout=timedelta(seconds=60))
    assert result["simulated"]
    assert result["turns"] in (5, 6)  # as what it finds in the directory leads it
    assert result["tools"]["delegate"] == 1
    assert all(file.endswith(".sql") for file in result["response"]["files"])
    assert "2 results of earlier tasks" in " ".join(result["response"]["findings"])
    prompt = json.loads(
        await db.fetchval("select body from taskq.messages where task_id = $1 and seq = 0", review)
    )
    assert str(brief) in prompt[0]["text"]
    assert str(design) in prompt[0]["text"]
    assert await db.fetchval("select bool_and(simulated) from taskq.messages")
    assert not fake.refusals


async def test_a_killed_workers_agent_goes_on_elsewhere_from_its_last_turn(
    dsn: str, db: asyncpg.Connection
) -> None:
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def script(request: Request) -> object:
        """Never answers the third turn of the first worker."""
        if request.turn == 3 and not held.is_set():
            loop.call_soon_threadsafe(held.set)
            await asyncio.sleep(600)
        return offline_script(request)

    fake = FakeMessages(script, latency=0)
    async with fake.serve() as base_url, Queue(dsn) as queue:
        task = await queue.enqueue("SABINE_ARCHITECT", {"objective": "Look.", "directory": str(SQL)})
        async with worker_process(dsn, base_url) as process:
            async with asyncio.timeout(60):
                await held.wait()
            committed = await db.fetch("select seq, role, body from taskq.messages order by seq")
            assert [row["role"] for row in committed].count("assistant") == 2
            process.send_signal(signal.SIGKILL)
            await process.wait()
        async with worker(dsn, base_url):
            result = await queue.result(task, timeout=timedelta(seconds=60))
    assert result["turns"] in (4, 5)  # as what it finds in the directory leads it
    assert result["resumed_turns"] == 2
    now = await db.fetch("select seq, role, body from taskq.messages order by seq")
    assert now[: len(committed)] == committed
    asked = [request.turn for request in fake.requests]
    assert asked == [1, 2, 3, *range(3, result["turns"] + 1)]
    third, again = fake.requests[2], fake.requests[3]
    assert again.raw == third.raw


async def test_a_rate_limit_is_waited_out_by_the_queue(dsn: str, db: asyncpg.Connection) -> None:
    limits = iter([ApiError(429, retry_after=0.2)])

    def script(request: Request) -> object:
        return next(limits, None) or offline_script(request)

    async with (
        FakeMessages(script, latency=0).serve() as base_url,
        worker(dsn, base_url),
        Queue(dsn) as queue,
    ):
        task = await queue.enqueue("SABINE_ARCHITECT", {"directory": str(SQL)})
        result = await queue.result(task, timeout=timedelta(seconds=30))
    assert result["turns"] in (4, 5)  # as what it finds in the directory leads it
    assert await db.fetchval("select attempt from taskq.tasks") == 1
    assert not await db.fetch("select from taskq.attempts")
    assert "429" in await db.fetchval("select reason from taskq.gates where paused_until is not null")


async def test_a_cancelled_agent_stops(dsn: str, db: asyncpg.Connection) -> None:
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def script(request: Request) -> object:
        loop.call_soon_threadsafe(started.set)
        await asyncio.sleep(600)
        return offline_script(request)

    async with FakeMessages(script).serve() as base_url, worker(dsn, base_url), Queue(dsn) as queue:
        task = await queue.enqueue("SABINE_ARCHITECT", {"directory": str(SQL)})
        async with asyncio.timeout(30):
            await started.wait()
        await queue.cancel(task, "enough", "a person")
        done = await queue.wait(task, timeout=timedelta(seconds=5))
    assert done.status == "cancelled"


async def test_an_agent_that_cannot_be_played_fails_once_and_says_why(
    dsn: str, db: asyncpg.Connection
) -> None:
    fake = FakeMessages(by_turn(ApiError(401)), latency=0)
    async with fake.serve() as base_url, worker(dsn, base_url), Queue(dsn) as queue:
        nowhere = await queue.enqueue("SABINE_ARCHITECT", {"directory": "/no/such/directory"})
        locked_out = await queue.enqueue("SABINE_ARCHITECT", {"directory": str(SQL)})
        ends = [await queue.wait(id, timeout=timedelta(seconds=30)) for id in (nowhere, locked_out)]
    assert [(end.status, end.error_kind) for end in ends] == [
        ("failed", "validation_error"),
        ("failed", "external_service"),
    ]
    assert "directory cannot be opened" in str(ends[0].error)
    assert "ANTHROPIC_API_KEY" in str(ends[1].error)
    assert len(fake.requests) == 1


async def test_the_example_in_the_docs_is_true(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = ROLES.parent / "docs"
    how_to = (docs / "how-to" / "test-your-agents.md").read_text()
    [example] = re.findall(r"```python no-run[^\n]*\n(import asyncio.*?)```", how_to, re.S)
    [librarian] = re.findall(r"```markdown\n(.*?)```", (docs / "agents.md").read_text(), re.S)
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "librarian.md").write_text(librarian)
    (tmp_path / "shelf.txt").write_text("The second one.\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(example, "test-your-agents.md", "exec"), names)
    await names["test_the_librarian_reads_before_it_answers"](dsn)
