"""taskq token, role, amend, decline; enqueue --dry-run."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

import graphs
from cli_runner import Taskq
from fake_worker import FakeWorker


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


# token


async def test_a_token_is_shown_once_and_alone(taskq: Taskq, db: asyncpg.Connection) -> None:
    result = await taskq.run("token", "create", "ci", "--scope", "read", "--scope", "dispatch")
    assert result.exit_code == 0
    secret = result.stdout.removesuffix("\n")
    assert re.fullmatch(r"tq_[\w-]{43}", secret)
    assert "token ci may dispatch, read" in result.stderr
    row = await db.fetchrow("select * from taskq.credentials()")
    assert row["digest"] == sha256(secret.encode()).digest()
    assert (row["name"], row["scopes"], row["expires_at"]) == ("ci", ["dispatch", "read"], None)
    for command in ("list", "list --json"):
        shown = await taskq("token", *command.split())
        assert "ci" in shown
        assert secret not in shown
        assert row["digest"].hex() not in shown


async def test_a_token_as_json_has_its_secret_in_it(taskq: Taskq, db: asyncpg.Connection) -> None:
    made = await taskq.json("token", "create", "ci", "--scope", "admin", "--expires", "90d", "--actor", "ann")
    assert made.keys() == {"id", "name", "scopes", "secret"}
    (row,) = await taskq.json("token", "list")
    assert (row["id"], row["name"], row["scopes"], row["created_by"]) == (made["id"], "ci", ["admin"], "ann")
    assert "digest" not in row
    assert await db.fetchval("select expires_at > now() + interval '89 days' from taskq.tokens")
    assert "good for 89 d" in await taskq("token", "list")


@pytest.mark.parametrize("by", ["name", "id"])
async def test_a_token_is_revoked_by_its_name_or_id(taskq: Taskq, db: asyncpg.Connection, by: str) -> None:
    made = await taskq.json("token", "create", "ci", "--scope", "read")
    assert "revoked" in await taskq("token", "revoke", made[by], "--actor", "ann")
    assert await db.fetch("select from taskq.credentials()") == []
    assert "revoked by ann" in await taskq("token", "list")
    assert "there is no live token" in await taskq.error("token", "revoke", made[by], code=3)


async def test_a_token_that_cannot_be_is_refused(taskq: Taskq, db: asyncpg.Connection) -> None:
    assert "no tokens" in await taskq("token", "list")
    await taskq.error("token", "create", "ci", code=2)
    await taskq.error("token", "create", "ci", "--scope", "write", code=2)
    await taskq("token", "create", "ci", "--scope", "read")
    said = await taskq.error("token", "create", "ci", "--scope", "read", code=2)
    assert "there is a live token called ci" in said
    await db.execute("update taskq.tokens set expires_at = now()")
    assert "expired" in await taskq("token", "list")


# role


async def test_a_role_is_paused_and_resumed(taskq: Taskq, db: asyncpg.Connection) -> None:
    task = await graphs.insert(db)
    assert (
        await taskq("role", "pause", "work", "--reason", "a bad deploy", "--actor", "ann") == "work: paused\n"
    )
    assert await taskq("role", "pause", "work") == "work: was paused already\n"
    assert "paused by ann" in await taskq("explain", task)
    assert "paused; nobody plays it" in await taskq("roles")
    assert (await taskq.json("roles"))[0]["paused"] is True
    assert await taskq.json("role", "resume", "work") == {"role": "work", "paused": False, "changed": True}
    assert await taskq("role", "resume", "work") == "work: was not paused\n"
    events = await db.fetch("select verb, actor, reason from taskq.events where role = 'work' order by id")
    assert tuple(events[0]) == ("pause_role", "ann", "a bad deploy")
    assert len(events) == 2


# amend, decline


async def test_a_payload_is_amended(taskq: Taskq, db: asyncpg.Connection) -> None:
    task = await graphs.insert(db, payload={"x": 1})
    out = await taskq("amend", task, "--payload", '{"x": 2}', "--reason", "a typo", "--actor", "ann")
    assert out == f"{task.hex[-12:]}  queued\n"
    assert (await graphs.row(db, task))["payload"] == {"x": 2}
    event = await db.fetchrow("select verb, actor, reason from taskq.events")
    assert tuple(event) == ("amend", "ann", "a typo")
    assert "must be a JSON object" in await taskq.error("amend", task, "--payload", "[]", code=2)
    await taskq.error("amend", task, "--payload", "{", code=2)
    worker = await FakeWorker(db, "work").register()
    await worker.claim_one()
    assert "it has begun" in await taskq.error("amend", task, "--payload", "{}", code=4)


async def test_a_call_is_declined(taskq: Taskq, db: asyncpg.Connection) -> None:
    worker = await FakeWorker(db, "work").register()
    task = await graphs.insert(db)
    claim = await worker.claim_one()
    call = {"call_id": "c1", "tool": "write", "effect": "unsafe", "input": "{}", "needs_approval": True}
    await worker.append(claim, 0, calls=[call])
    await worker.call("park", claim, "approve write?")
    assert await taskq.json("decline", task, "--note", "not now", "--actor", "ann") == [
        {"id": str(task), "status": "queued"}
    ]
    row = await db.fetchrow("select declined_by, declined_note from taskq.tool_calls")
    assert tuple(row) == ("ann", "not now")
    await taskq.error("decline", task, code=4)


# dry run


async def test_a_dry_run_inserts_nothing(taskq: Taskq, db: asyncpg.Connection) -> None:
    out = await taskq("enqueue", "work", "x:=1", "--requires-approval", "--dry-run")
    assert out == "awaiting_approval  work  no live worker plays role work\n"
    assert await taskq.json("enqueue", "work", "--dry-run") == {
        "role": "work", "status": "queued", "note": "no live worker plays role work",
    }  # fmt: skip
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_a_dry_run_of_a_file_names_the_labels(
    taskq: Taskq, db: asyncpg.Connection, tmp_path: Path
) -> None:
    await FakeWorker(db, "work").register()
    file = tmp_path / "tasks.json"
    graph = [{"id": "one", "role": "work"}, {"id": "two", "role": "work", "depends_on": ["one"]}]
    file.write_text(json.dumps(graph))
    assert await taskq("enqueue", "--file", file, "--dry-run") == "queued  work  one\nblocked  work  two\n"
    assert [fact["label"] for fact in await taskq.json("enqueue", "--file", file, "--dry-run")] == [
        "one",
        "two",
    ]
    file.write_text(json.dumps([{"role": "work", "depends_on": [str(UUID(int=1))]}]))
    assert "which does not exist" in await taskq.error("enqueue", "--file", file, "--dry-run", code=2)
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_nothing_is_waited_for_after_a_dry_run(taskq: Taskq) -> None:
    assert "nothing to wait for" in await taskq.error("enqueue", "work", "--dry-run", "--wait", code=2)
