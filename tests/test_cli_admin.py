"""taskq migrate, tend, verify."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest
from click.testing import CliRunner

import backend
import graphs
from cli_runner import Taskq
from fake_worker import FakeWorker
from taskq import schema
from taskq.cli import cli


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


async def test_migrate_twice_check_and_down(databases: backend.Databases) -> None:
    head = schema.newest_revision()
    async with databases.database() as empty:
        taskq = Taskq(empty)
        assert "missing" in await taskq("migrate", "--check", code=1)
        assert await taskq("migrate") == f"up to date: revision {head} (was empty)\n"
        assert await taskq("migrate") == f"up to date: revision {head}\n"
        assert await taskq("migrate", "--check") == f"up to date: revision {head}\n"
        assert (await taskq.json("migrate", "--check"))["is_current"] is True
        down = await taskq.json("migrate", "--down", "--yes")
        assert (down["was"], down["is_current"]) == (head, False)
        assert down["revision"] != head
        await taskq("migrate", "--check", code=1)
        await taskq("migrate")
        assert (await taskq.json("list")) == []


async def test_down_asks_first(taskq: Taskq, db: asyncpg.Connection) -> None:
    await graphs.insert(db)
    result = await taskq.run("migrate", "--down", input="n\n")
    assert result.exit_code == 1
    assert "every task" in result.stderr
    assert await db.fetchval("select count(*) from taskq.tasks") == 1
    await db.close()  # a session with prepared statements on tables must not be in the way
    for _ in range(3):  # one revision, and those below it
        said = await taskq("migrate", "--down", input="y\n")
    assert "missing" in said


async def test_check_and_down_exclude_each_other(taskq: Taskq) -> None:
    await taskq.error("migrate", "--check", "--down", code=2)


async def test_tend_reaps(taskq: Taskq, db: asyncpg.Connection) -> None:
    assert (await taskq.json("tend"))["reaped"] == 0
    worker = await FakeWorker(db, "work").register(direct=False)
    id = await graphs.insert(db)
    await worker.claim_one()
    await db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s'")
    assert "reaped: 1" in await taskq("tend")
    assert await graphs.status(db, id) == "queued"


async def outcomes(taskq: Taskq, code: int = 0) -> dict[str, str]:
    report = await taskq.json("verify", code=code)
    assert report["ok"] is (code == 0)
    return {check["name"]: check["outcome"] for check in report["checks"]}


async def test_verify_finds_nothing_wrong_with_a_busy_queue(taskq: Taskq, db: asyncpg.Connection) -> None:
    worker = await FakeWorker(db, "work").register()
    first, second, third = [await graphs.insert(db) for _ in range(3)]
    await graphs.insert(db, depends_on=[first, second])
    await graphs.insert(db, depends_on=[first], on_dependency_failure="run")
    await graphs.insert(db, depends_on=[third], requires_approval=True)
    await db.execute("select taskq.complete($1, null, null, 'no')", first)
    await worker.claim_one()
    assert set((await outcomes(taskq)).values()) == {"ok"}
    head, *lines = (await taskq("verify")).splitlines()
    assert head.split() == ["CHECK", "OUTCOME", "FINDING", "WHAT", "TO", "DO"]
    assert [line.split()[0] for line in lines] == [
        "database", "clocks", "bell", "schema", "dependencies", "counters", "leases",
        "orphaned", "stuck", "stale", "players", "workers",
    ]  # fmt: skip


async def test_verify_finds_a_wrong_counter(taskq: Taskq, db: asyncpg.Connection) -> None:
    first = await graphs.insert(db)
    second = await graphs.insert(db, depends_on=[first])
    await db.execute("update taskq.tasks set waiting_on = 2 where id = $1", second)
    assert (await outcomes(taskq, code=1))["counters"] == "fail"
    assert "✘ fail" in await taskq("verify", code=1)


async def test_verify_finds_a_task_that_runs_too_early(taskq: Taskq, db: asyncpg.Connection) -> None:
    first = await graphs.insert(db)
    second = await graphs.insert(db, depends_on=[first])
    await db.execute("alter table taskq.tasks disable trigger guard")
    await db.execute("update taskq.tasks set status = 'queued', waiting_on = 0 where id = $1", second)
    assert (await outcomes(taskq, code=1))["dependencies"] == "fail"


async def test_verify_finds_a_lease_of_nobody(taskq: Taskq, db: asyncpg.Connection) -> None:
    await graphs.insert(db)
    await (await FakeWorker(db, "work").register()).claim_one()
    await db.execute("update taskq.tasks set worker_id = null")
    assert (await outcomes(taskq, code=1))["leases"] == "fail"


async def test_verify_warns_of_what_wants_a_person(taskq: Taskq, db: asyncpg.Connection) -> None:
    await graphs.insert(db, "unplayed")
    worker = await FakeWorker(db, "work").register()
    await graphs.insert(db)
    task = await worker.claim_one()
    await db.execute("update taskq.tasks set run_at = now() - interval '1 h' where role = 'unplayed'")
    await db.execute(
        "update taskq.tasks set lease_expires_at = now() - interval '1 h' where id = $1", task["id"]
    )
    await db.execute("update taskq.workers set heartbeat_at = now() - interval '1 h'")
    found = await outcomes(taskq)
    assert {name for name, outcome in found.items() if outcome == "warn"} == {
        "orphaned", "stuck", "stale", "players",
    }  # fmt: skip
    assert "nobody plays unplayed" in await taskq("verify")


async def test_verify_hears_when_the_bell_is_lost(dsn: str, databases: backend.Databases) -> None:
    # another database on the same server stands for a pooler: LISTEN is accepted, and nothing ever comes
    environ = {"TASKQ_DATABASE_URL": dsn, "TASKQ_LISTEN_URL": databases.maintenance}
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["verify", "--json"], env=environ)
    bell = next(check for check in json.loads(result.stdout)["checks"] if check["name"] == "bell")
    assert result.exit_code == 1
    assert bell["outcome"] == "fail"
    assert "TASKQ_LISTEN_URL" in bell["advice"]


async def test_verify_says_what_it_cannot_reach(databases: backend.Databases) -> None:
    nowhere = Taskq("postgresql://nobody@127.0.0.1:1/none")
    assert await outcomes(nowhere, code=1) == {"database": "fail"}
    async with databases.database() as empty:
        found = await outcomes(Taskq(empty), code=1)
        assert found["schema"] == "fail"
        assert "counters" not in found
