"""taskq list, show, explain, roles; parts of ids; what a terminal gets to see."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

import graphs
from cli_runner import Taskq
from fake_worker import FakeWorker

NASTY = "[red]x[/red] \x1b[31m\x07\u202e\r\n:smile:"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]")


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


async def test_list_shows_the_newest_first(taskq: Taskq, db: asyncpg.Connection) -> None:
    assert await taskq("list") == "no tasks\n"
    assert await taskq.json("list") == []
    old = await graphs.insert(db, "old", created_at=await hours_ago(db, 2))
    chosen = await graphs.insert(db, "chosen", id=uuid4(), created_at=await hours_ago(db, 1))
    new = await graphs.insert(db, "new")
    assert [row["id"] for row in await taskq.json("list")] == [str(new), str(chosen), str(old)]
    assert [row["id"] for row in await taskq.json("list", "--limit", 1)] == [str(new)]
    head, *lines = (await taskq("list")).splitlines()
    assert head.split() == ["ID", "STATUS", "ROLE", "AGE", "TOOK", "ABOUT"]
    assert [line.split()[0] for line in lines] == [id.hex[-12:] for id in (new, chosen, old)]
    assert lines[2].split()[1:] == ["○", "queued", "old", "2", "h"]


async def test_list_filters(taskq: Taskq, db: asyncpg.Connection) -> None:
    root = await graphs.insert(db, "root")
    child = await graphs.insert(db, "child", parent_id=root, depends_on=[root])
    other = await graphs.insert(db, "other", id=uuid4(), requires_approval=True)

    async def listed(*args: object) -> set[str]:
        return {row["id"] for row in await taskq.json("list", *args)}

    assert await listed("--status", "blocked") == {str(child)}
    assert await listed("--status", "blocked", "--status", "awaiting_approval") == {str(child), str(other)}
    assert await listed("--role", "root", "--role", "other") == {str(root), str(other)}
    assert await listed("--mission", root) == {str(root), str(child)}
    assert await listed("--mission", root.hex[-8:], "--status", "queued") == {str(root)}


async def test_a_part_of_an_id_is_enough(taskq: Taskq, db: asyncpg.Connection) -> None:
    ids = [
        await graphs.insert(db, id=UUID(text))
        for text in ("01a20000-0000-7000-8000-aaaaaa111111", "01a20000-0000-7000-8000-aaaaaa222222",
                     "f1a20000-0000-4000-8000-bbbbbb333333")
    ]  # fmt: skip
    for given, meant in [
        ("111111", ids[0]), ("AAAAAA111111", ids[0]), ("8000-aaaaaa222222", ids[1]), ("f1a200", ids[2]),
        ("bbbbbb333333", ids[2]), (ids[1], ids[1]), (ids[1].hex, ids[1]),
    ]:  # fmt: skip
        assert (await taskq.json("explain", given))[0]["id"] == str(meant)


async def test_a_part_of_an_id_must_name_one_task(taskq: Taskq, db: asyncpg.Connection) -> None:
    ids = [await graphs.insert(db, id=UUID(int=0x01A2 << 112 | n << 60 | 0x123456)) for n in range(7)]
    error = await taskq.error("show", "01a2000000", code=2)
    assert "more than one task" in error
    assert sum(str(id) in error for id in ids) == 5
    assert len(error.splitlines()) == 1
    await taskq.error("show", "123456", code=2)
    assert "taskq list" in await taskq.error("show", "abcdef", code=3)
    for bad in ("12345", "xyzxyz", "0" * 33, "%%%%%%"):
        assert "is no id" in await taskq.error("show", bad, code=2)


async def test_one_wrong_id_keeps_all_from_being_touched(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db)
    await taskq.error("cancel", id, "abcdef", code=3)
    assert await graphs.status(db, id) == "queued"


async def full_story(db: asyncpg.Connection) -> dict[str, UUID]:
    """A task that failed once, said something, and is now done; with one before it and one behind it."""
    first = await graphs.insert(db, "first", payload={"n": 1})
    task = await graphs.insert(
        db, "story", name=NASTY, payload={"text": NASTY}, depends_on=[first], requires_approval=True
    )
    last = await graphs.insert(db, "last", depends_on=[task])
    worker = await FakeWorker(db, "first", "story").register(name="here:1")
    await worker.drain()
    await db.execute("select taskq.approve($1, 'ann', 'go on')", task)
    await worker.fail(await worker.claim_one(), "tool_error", NASTY)
    claim = await worker.claim_one()
    await db.execute("select taskq.log($1, $2, $3, $4)", worker.id, task, claim["lease"], NASTY)
    await worker.append(claim, 0, "user")
    await worker.complete(claim, result={"said": NASTY})
    return {"first": first, "task": task, "last": last}


async def test_show_tells_it_all(taskq: Taskq, db: asyncpg.Connection) -> None:
    ids = await full_story(db)
    text = await taskq("show", ids["task"])
    for part in (
        str(ids["task"]), "✔ completed", "ago in attempt 2", "approved", "by ann",
        "2 of 4, 30 min each", "1, simulated", "Waits for", "Waited for by", ids["first"].hex[-12:],
        ids["last"].hex[-12:], "Attempts that did not succeed", "tool_error", "Events", "go on", "Log",
        "here:1",
    ):  # fmt: skip
        assert part in text
    row = await taskq.json("show", ids["task"])
    assert (row["payload"], row["result"]) == ({"text": NASTY}, {"said": NASTY})
    assert [edge["id"] for edge in row["dependencies"]] == [str(ids["first"])]
    assert [edge["id"] for edge in row["dependents"]] == [str(ids["last"])]
    assert [attempt["kind"] for attempt in row["attempts"]] == ["tool_error"]
    assert [event["verb"] for event in row["events"]] == ["approve", "retry"]
    assert [log["line"] for log in row["logs"]] == [NASTY]
    assert (row["messages"], row["simulated"], row["timeout"]) == (1, True, 1800)
    assert row["explain"].startswith("completed")


async def test_text_from_rows_is_neither_markup_nor_control(taskq: Taskq, db: asyncpg.Connection) -> None:
    ids = await full_story(db)
    failed = await graphs.insert(db, NASTY.replace("\r\n", ""), name=NASTY)
    await db.execute("select taskq.complete($1, null, $2, $2)", failed, NASTY)
    outputs = [
        await taskq("show", ids["task"]),
        await taskq("show", ids["task"], "--json"),
        await taskq("show", failed),
        await taskq("list"),
        await taskq("list", "--json"),
        await taskq("roles"),
        await taskq("explain", failed),
        await taskq.error("cancel", failed, code=4),
    ]
    for output in outputs:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", output), output
    assert "[red]x[/red]" in outputs[0]
    assert ":smile:" in outputs[0]
    code, terminal = await taskq.on_terminal("show", ids["task"])
    assert code == 0
    assert "[red]x[/red]" in terminal
    assert "\x07" not in terminal
    assert "\u202e" not in terminal


async def test_colours_are_for_terminals_only(taskq: Taskq, db: asyncpg.Connection) -> None:
    await graphs.insert(db)
    assert "\x1b" not in await taskq("list")
    assert COLOUR.search((await taskq.on_terminal("list"))[1])
    assert not COLOUR.search((await taskq.on_terminal("list", NO_COLOR="1"))[1])


async def test_a_list_fits_a_terminal_of_80_columns(taskq: Taskq, db: asyncpg.Connection) -> None:
    for status in ("approval", "failed", "queued"):
        id = await graphs.insert(
            db, "a-role-with-quite-a-long-name", name="a name that says what it is about, at length",
            requires_approval=status == "approval",
        )  # fmt: skip
        if status == "failed":
            await db.execute("select taskq.complete($1, null, null, $2)", id, "it could not be done " * 9)
    _, output = await taskq.on_terminal("list")
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 80
    assert lines[3].startswith(f"{(await taskq.json('list'))[2]['id'][-12:]}  ? awaiting_approval  a-role")
    assert await count_of(taskq, "it could not be done") == 1


async def count_of(taskq: Taskq, text: str) -> int:
    """Lines with this text where nothing needs to fit."""
    return sum(text in line for line in (await taskq("list")).splitlines())


async def test_explain_is_one_line_each(taskq: Taskq, db: asyncpg.Connection) -> None:
    first = await graphs.insert(db, "lonely")
    second = await graphs.insert(db, depends_on=[first])
    assert "no live worker plays role lonely" in await taskq("explain", first)
    lines = (await taskq("explain", first, second)).splitlines()
    assert [line.split()[0] for line in lines] == [first.hex[-12:], second.hex[-12:]]
    facts = await taskq.json("explain", first, second)
    assert facts[1]["explain"].startswith("blocked: waits for 1")


async def test_roles_says_who_plays_what(taskq: Taskq, db: asyncpg.Connection) -> None:
    assert "no tasks" in await taskq("roles")
    await FakeWorker(db, "played").register(name="here:1", concurrency=7)
    for role in ("played", "unplayed", "unplayed"):
        await graphs.insert(db, role)
    await graphs.insert(db, "unplayed", run_at=await hours_ago(db, -1))
    head, *lines = (await taskq("roles")).splitlines()
    assert head.split()[:3] == ["ROLE", "READY", "LATER"]
    assert [line.split() for line in lines] == [
        ["played", "1", "0", "0", "0", "0", "0", "7", "here:1"],
        ["unplayed", "2", "1", "0", "0", "0", "0", "0", "nobody", "plays", "it"],
    ]
    facts = await taskq.json("roles")
    assert [(f["role"], f["ready"], f["slots"], f["played_by"]) for f in facts] == [
        ("played", 1, 7, ["here:1"]), ("unplayed", 2, 0, []),
    ]  # fmt: skip


async def hours_ago(db: asyncpg.Connection, hours: int) -> Any:
    return await db.fetchval("select now() - $1::interval", timedelta(hours=hours))
