"""taskq worker, as a process."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

import backend
import graphs
from cli_runner import Taskq, finish, start
from support import eventually
from taskq.cli.worker import Load, find_app
from taskq.errors import SettingsError
from taskq.testing import FakeMessages, Reply, tool_use

PROGRAM = """
from taskq import App, Task

app = App()
nothing = None


@app.role("double")
async def double(task: Task) -> dict:
    return {"twice": 2 * task.payload["n"]}


@app.role("other")
async def other(task: Task) -> dict:
    return {}
"""
MANIFEST = """---
model: claude-sonnet-5-5
tools: [list_dir, submit_result]
---
Say what is there.
"""


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with a program and an agent."""
    (tmp_path / "shop_tasks.py").write_text(PROGRAM)
    (tmp_path / "broken_tasks.py").write_text("1 / 0\n")
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "LOOKER.md").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@asynccontextmanager
async def running(taskq: Taskq, *args: object, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker for the length of a block; it must drain and end with 0 on SIGTERM."""
    process = await taskq.start("worker", *args, **environ)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        code, _, error = await finish(process)
        assert code == 0, error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_worker_plays_an_app_until_it_is_told_to_stop(taskq: Taskq, program: Path) -> None:
    async with running(taskq, "--app", "shop_tasks:app", "--concurrency", 3):
        fact = await taskq.json("enqueue", "double", "n:=21", "--wait")
        assert fact["result"] == {"twice": 42}
        roles = await taskq.json("roles")
        assert [(role["role"], role["slots"]) for role in roles] == [("double", 3), ("other", 3)]


async def test_the_script_finds_modules_of_the_working_directory(dsn: str, program: Path) -> None:
    script = Path(sys.executable).with_name("taskq")
    process = await asyncio.create_subprocess_exec(
        str(script), "--database", dsn, "worker", "--app", "shop_tasks:app", "--roles", "no*",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, error = await process.communicate()
    assert process.returncode == 2
    assert b"no role matches 'no*'; there are: double, other" in error


async def test_a_worker_plays_only_the_roles_it_is_told(
    taskq: Taskq, db: asyncpg.Connection, program: Path
) -> None:
    async with running(taskq, "--app", "shop_tasks:app", "--roles", "oth*"):
        first = await graphs.insert(db, "double", payload={"n": 1})
        await taskq("enqueue", "other", "--wait")
        assert await graphs.status(db, first) == "queued"


async def test_several_processes_are_several_workers(
    taskq: Taskq, db: asyncpg.Connection, program: Path
) -> None:
    async with running(taskq, "--app", "shop_tasks:app", "--processes", 2):
        await eventually(lambda: db.fetchval("select count(*) = 2 from taskq.workers_live"), timeout=30)
        await taskq("enqueue", "double", "n:=1", "--wait")
    assert await db.fetchval("select count(*) from taskq.workers_live") == 0


async def test_offline_agents_are_played_by_a_simulated_model(
    taskq: Taskq, db: asyncpg.Connection, program: Path
) -> None:
    async with running(taskq, "--agents", "roles", "--offline", ANTHROPIC_API_KEY=""):
        fact = await taskq.json("enqueue", "LOOKER", f"directory={program}", "objective=look", "--wait")
        assert fact["status"] == "completed", fact
        row = await taskq.json("show", fact["id"])
        assert row["messages"] > 1
        assert row["simulated"] is True
        assert "simulated" in await taskq("show", UUID(fact["id"]))


async def test_workers_can_share_a_simulated_model(
    taskq: Taskq, db: asyncpg.Connection, program: Path
) -> None:
    fake = FakeMessages(Reply([tool_use("submit_result", {"summary": "shared"})]))
    async with fake.serve() as url:
        agents = ("--agents", "roles", "--offline-url", url)
        async with running(taskq, *agents, ANTHROPIC_API_KEY="a real one"):
            fact = await taskq.json("enqueue", "LOOKER", f"directory={program}", "--wait")
    assert fact["result"]["response"] == {"summary": "shared"}
    assert fact["result"]["simulated"] is True
    assert not any("a real one" in value for value in fake.requests[0].headers.values())


async def test_agents_without_a_key_are_refused_before_anything_starts(
    db: asyncpg.Connection, dsn: str, program: Path
) -> None:
    code, out, error = await finish(
        await start("--database", dsn, "worker", "--agents", "roles", ANTHROPIC_API_KEY="")
    )
    assert (code, out) == (2, "")
    assert error.startswith("taskq: ANTHROPIC_API_KEY is not set")
    assert "--offline" in error
    assert len(error.splitlines()) == 1
    assert await db.fetchval("select count(*) from taskq.workers") == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "Give --app or --agents"),
        (["--app", "shop_tasks"], "module:attribute"),
        (["--app", "no_such_module:app"], "cannot be imported"),
        (["--app", "broken_tasks:app"], "ZeroDivisionError"),
        (["--app", "shop_tasks:nothing"], "not a taskq.App"),
        (["--app", "shop_tasks:app", "--roles", "absent"], "no role matches 'absent'"),
        (["--agents", "absent"], "does not exist"),
        (["--agents", "roles", "--offline-url", "localhost:80"], "is no address: write http://"),
    ],
)
async def test_what_cannot_be_played_is_exit_code_2(
    taskq: Taskq, program: Path, args: list[str], says: str
) -> None:
    assert says in await taskq.error("worker", *args, code=2)


@pytest.mark.parametrize("processes", [1, 2])
async def test_without_the_schema_no_worker_starts(
    databases: backend.Databases, program: Path, processes: int
) -> None:
    async with databases.database() as empty:
        process = await Taskq(empty).start("worker", "--app", "shop_tasks:app", "--processes", processes)
        code, _, error = await finish(process)
        assert code == 5
        assert error.splitlines()[-1].startswith("taskq: the schema is missing")


def test_an_app_can_be_made_again_and_again(program: Path) -> None:
    sys.path.insert(0, str(program))
    try:
        load = Load("shop_tasks:app", program / "roles", "offline", "http://127.0.0.1:1", simulated=True)
        assert list(load().roles) == list(load().roles) == ["double", "other", "LOOKER"]
        with pytest.raises(SettingsError):
            find_app("shop_tasks:")
    finally:
        sys.path.remove(str(program))
