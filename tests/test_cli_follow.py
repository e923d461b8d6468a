"""taskq show of missions, and --follow until all have ended."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import asyncpg
import pytest

import graphs
from cli_runner import Taskq, finish
from fake_worker import FakeWorker
from support import eventually


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


async def mission(db: asyncpg.Connection) -> list[UUID]:
    """One, then two, then one."""
    first = await graphs.insert(db, name="the mission")
    second, third = [await graphs.insert(db, parent_id=first, depends_on=[first]) for _ in range(2)]
    return [first, second, third, await graphs.insert(db, parent_id=first, depends_on=[second, third])]


async def test_the_root_of_a_mission_is_shown_with_its_tree(taskq: Taskq, db: asyncpg.Connection) -> None:
    first, *_, last = await mission(db)
    text = await taskq("show", first)
    assert text.startswith(str(first))
    assert "mission the mission  0 of 4 ended" in text
    row = await taskq.json("show", first)
    assert len(row["mission"]) == 4
    assert "mission the mission" not in await taskq("show", last)
    assert "mission" not in await taskq.json("show", last)


async def test_a_mission_is_found_from_any_of_its_tasks(taskq: Taskq, db: asyncpg.Connection) -> None:
    first, *_, last = await mission(db)
    text = await taskq("show", last, "--mission")
    assert text == await taskq("show", first, "--mission")
    assert len(text.splitlines()) == 5
    assert first.hex[-12:] in text.splitlines()[1]


async def follow_mission(process: asyncio.subprocess.Process, db: asyncpg.Connection, last: UUID) -> str:
    """Work on the mission once the process is watching; a line comes first."""
    assert process.stdout is not None
    seen = (await process.stdout.readline()).decode()
    worker = await FakeWorker(db, "work").register()
    task = await worker.claim_one()
    await db.execute("select taskq.progress($1, $2, $3, 0.5, 'half')", worker.id, task["id"], task["lease"])
    while "half" not in seen:
        seen += (await process.stdout.readline()).decode()
    await worker.complete(task)
    await worker.drain()
    assert await graphs.status(db, last) == "completed"
    return seen


async def test_follow_prints_each_change_until_all_have_ended(taskq: Taskq, db: asyncpg.Connection) -> None:
    first, second, third, last = await mission(db)
    process = await taskq.start("show", first.hex[-12:], "--follow")
    seen = await follow_mission(process, db, last)
    code, rest, error = await finish(process)
    assert (code, error) == (0, "")
    lines = (seen + rest).splitlines()
    assert "\x1b" not in seen + rest
    assert [line.split()[1:5] for line in lines[:1]] == [[first.hex[-12:], "work", "the", "mission:"]]
    assert any("50%  half" in line for line in lines)
    for id in (first, second, third, last):
        assert "completed" in [line for line in lines if id.hex[-12:] in line][-1]
    assert any("blocked → completed" in line for line in lines)


async def test_follow_with_json_prints_json_lines(taskq: Taskq, db: asyncpg.Connection) -> None:
    first, *_, last = await mission(db)
    process = await taskq.start("show", last, "--mission", "--follow", "--json")
    seen = await follow_mission(process, db, last)
    code, rest, _ = await finish(process)
    assert code == 0
    changes = [json.loads(line) for line in (seen + rest).splitlines()]
    assert changes[0]["id"] == str(first)
    assert changes[0]["from"] is None
    assert {c["id"] for c in changes if c["status"] == "completed"} == {
        str(row["id"]) for row in await db.fetch("select id from taskq.tasks")
    }


async def test_follow_of_one_task_that_does_not_complete_is_exit_code_1(
    taskq: Taskq, db: asyncpg.Connection
) -> None:
    id = await graphs.insert(db)
    process = await taskq.start("show", id, "--follow")
    assert process.stdout is not None
    assert (await process.stdout.readline()).decode().rstrip().endswith("work: queued")
    await taskq("cancel", id, "--reason", "no need")
    code, out, _ = await finish(process)
    assert code == 1
    assert "queued → cancelled  cancelled: no need" in out


async def test_follow_of_what_has_ended_ends_at_once(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db)
    await taskq("complete", id)
    (line,) = (await taskq("show", id, "--follow")).splitlines()
    assert "work: completed" in line


async def test_a_terminal_gets_a_live_tree(taskq: Taskq, db: asyncpg.Connection) -> None:
    first, *_, last = await mission(db)
    seen = bytearray()
    watching = asyncio.create_task(taskq.on_terminal("show", first, "--follow", seen=seen))
    await eventually(lambda: b"0 of 4 ended" in seen)
    await (await FakeWorker(db, "work").register()).drain()
    async with asyncio.timeout(30):
        code, output = await watching
    assert code == 0
    assert "└── " in output
    assert "\x1b[?25h" in output  # the cursor is back
    assert output.index("0 of 4 ended") < output.index("4 of 4 ended")
    assert last.hex[-12:] in output
