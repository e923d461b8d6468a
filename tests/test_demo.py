"""The demo: a mission of agents that survives a killed worker, and says so truthfully."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from cli_runner import Taskq, finish, start
from support import eventually
from taskq import App, Queue
from taskq.agent import add_agents
from taskq.cli.demo.app import app as roles_of_the_demo
from taskq.cli.demo.facts import ACTOR, FORCED, Kill, establish
from taskq.cli.demo.script import demo_script
from taskq.cli.demo.stage import QUERIES
from taskq.database import Pool
from taskq.settings import Settings
from taskq.testing import FakeMessages
from taskq.worker import Worker

TOP = Path(__file__).resolve().parents[1]
LIMIT = 120.0
SENTENCES = (
    "all tasks completed: 9 of 9 tasks",
    "the killed worker's turns were resumed: ",
    "nothing ran twice after its commit: ",
    "less than 3 s from the kill to the restart: ",
    "a rate limit was waited out by all, and cost no attempt: claude-sonnet-5-5 was paused for 1 s by a 429",
    "a stream that was cut cost one attempt, and no finished turn: of design turn 2 broke off",
    'what failed its check was put right before it counted: check, a child of review, failed "schema"',
    "every tool call is settled: ",
    "the spend is settled and within its budget: ",
    "a person's approval is on record: by demo",
    "everything is stamped simulated: ",
    "Mission Control showed the mission while it ran: ",
)


def processes_of(directory: Path) -> list[str]:
    """Command lines that name a directory, or run in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(directory) in line and int(process.name) != os.getpid():
            found.append(line)
    return found


async def test_from_nothing_to_a_finished_mission_with_a_killed_worker(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, TOP / "bin" / "demo", "--directory", tmp_path / "home",
        cwd=tmp_path, env={**os.environ, "ANTHROPIC_API_KEY": ""},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    code, out, err = await finish(process, LIMIT)
    assert code == 0, out + err
    lines = out.splitlines()
    for sentence in SENTENCES:
        assert any(line.startswith(f"✔ {sentence}") for line in lines), (sentence, out)
    assert "✘" not in out
    assert "insert into taskq.tasks" in out
    assert lines.index(next(line for line in lines if "watch it: http" in line)) < lines.index(
        next(line for line in lines if line.startswith("▶ "))
    )
    assert "▶ SIGKILL to worker" in out
    assert "worker_lost" in out
    for happened in ("▶ 429: ", "▶ the model's answer to design broke off", "▶ what check handed in fails"):
        assert happened in out
    assert "in_progress → completed" in out
    await eventually(lambda: not processes_of(tmp_path))


async def test_a_fact_that_does_not_hold_fails_the_demo(
    dsn: str, db: asyncpg.Connection, tmp_path: Path
) -> None:
    async def spoil() -> None:
        await eventually(lambda: db.fetchval("select exists (select from taskq.tasks)"), timeout=30)
        await db.execute("select taskq.cancel(id, 'spoilt', 'a test') from taskq.tasks where name = 'brief'")

    demo = Taskq(dsn).on_terminal("demo", "--directory", tmp_path, "--offline")
    (code, out), _ = await asyncio.gather(demo, spoil())
    assert code == 1
    assert "└── " in out
    assert "✘ " in out
    assert "all tasks completed: 0 of 8 tasks" in out
    assert "demo-worker-1.log" in out
    assert await db.fetchval("select count(*) from taskq.workers") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_all_that_the_demo_started(
    number: signal.Signals, dsn: str, db: asyncpg.Connection, tmp_path: Path
) -> None:
    process = await start("--database", dsn, "demo", "--directory", tmp_path, "--offline")
    await eventually(
        lambda: db.fetchval("select exists (select from taskq.tasks where status = 'in_progress')"),
        timeout=30,
    )
    process.send_signal(number)
    code, out, err = await finish(process, LIMIT)
    assert code == 130, out + err
    # what a worker that had to be killed leaves behind is cancelled by the next one that looks
    assert await db.fetchval(
        "select bool_and(status = 'cancelled' or cancel_requested_at is not null) from taskq.tasks"
    )
    assert not processes_of(tmp_path)


async def test_with_json_the_facts_are_all_that_is_on_stdout(
    dsn: str, tmp_path: Path, db: asyncpg.Connection
) -> None:
    process = await start("--database", dsn, "demo", "--directory", tmp_path, "--offline", "--json")
    await eventually(lambda: db.fetchval("select exists (select from taskq.tasks)"), timeout=30)
    await db.execute("select taskq.cancel(id) from taskq.tasks where name = 'brief'")
    code, out, err = await finish(process)
    assert code == 1
    assert {fact["sentence"]: fact["holds"] for fact in json.loads(out)}["all tasks completed"] is False
    assert "✘ all tasks completed" in err


KEPT = ("messages", "tool_calls", "attempts", "checks", "gates", "reservations", "budgets")
ONCE = "nothing ran twice after its commit"
LIMITED, CUT, CHECKED = (sentence for sentence, *_ in FORCED)
SETTLED = "every tool call is settled"
SPENT = "the spend is settled and within its budget"
DENIALS = (
    (ONCE, "update taskq.messages set seq = seq + 10 where seq > 2"),
    (ONCE, "update taskq.messages set attempt = 3 where seq = 0"),
    (ONCE, "update taskq.messages set role = 'user' where seq = 3"),
    (
        ONCE,
        "update taskq.messages a set body = b.body from taskq.messages b"
        " where a.task_id = b.task_id and a.seq = 4 and b.seq = 2",
    ),
    (ONCE, "delete from taskq.tool_calls where tool = 'grep'"),
    (ONCE, "update taskq.tool_calls set call_id = 'another' where tool = 'grep'"),
    (
        LIMITED,
        "update taskq.messages m set created_at = g.paused_until - interval '500 ms' + seq * interval '1 ms'"
        " from taskq.gates g, taskq.tasks t"
        " where g.paused_until is not null and t.id = m.task_id and t.name = 'brief'",
    ),
    (LIMITED, "delete from taskq.gates"),
    (CUT, "update taskq.attempts set kind = 'unknown'"),
    (CHECKED, "update taskq.checks set passed = true"),
    (CHECKED, "update taskq.checks set passed = false"),
    (SETTLED, "update taskq.tool_calls set status = 'started', finished_at = null where tool = 'grep'"),
    (SPENT, "update taskq.messages set cost = null where seq = 1"),
    (SPENT, "update taskq.budgets set cost = 0.01"),
    (SPENT, "update taskq.budgets set cost_used = 0.01"),
    (
        SPENT,
        "insert into taskq.reservations (task_id, lease, seq, tokens, cost, scopes, keys)"
        " select id, 1, 1, 1, 1, '{}', '{}' from taskq.tasks limit 1",
    ),
    ("everything is stamped simulated", "update taskq.messages set simulated = false where seq = 1"),
)


async def played(dsn: str, db: asyncpg.Connection) -> UUID:
    """A mission that was played in this process, without a crash; its id."""
    fake = FakeMessages(demo_script())
    app = App()
    async with fake.serve() as base_url, Queue(dsn) as queue:
        add_agents(app, TOP / "roles", api_key="offline", base_url=base_url, simulated=True)
        for role in roles_of_the_demo.roles.values():
            app.add(role)
        worker = Worker(app, dsn=dsn, settings=Settings(database_url=dsn))
        working = asyncio.create_task(worker.run())
        async with db.transaction():
            mission: UUID = await db.fetchval(QUERIES["mission"], str(TOP / "sql"))
            await db.execute(QUERIES["budget"], str(mission))
        asked = await eventually(lambda: db.fetchval(QUERIES["awaiting_approval"], mission), timeout=60)
        await queue.approve(asked, ACTOR)
        await eventually(lambda: db.fetchval("select bool_and(finished_at is not null) from taskq.tasks"))
        worker.drain()
        await working
    return mission


async def test_each_fact_is_a_question_that_the_database_can_deny(dsn: str, db: asyncpg.Connection) -> None:
    mission = await played(dsn, db)
    reader = Pool(dsn, queries=QUERIES)

    async def false() -> set[str]:
        kill = Kill(uuid4(), datetime.now(UTC))
        return {f.sentence for f in await establish(reader, mission, kill, offline=True) if not f.holds}

    async def false_after(statement: str) -> set[str]:
        """What does not hold any more after this statement, which is undone again."""
        for table in KEPT:
            await db.execute(f"create table kept_{table} as table taskq.{table}")
        await db.execute(statement)
        denied = await false() - unkilled
        for table in KEPT:
            await db.execute(f"truncate taskq.{table}; insert into taskq.{table} table kept_{table}")
            await db.execute(f"drop table kept_{table}")
        assert await false() == unkilled
        return denied

    unkilled = {"the killed worker's turns were resumed", "less than 3 s from the kill to the restart"}
    try:
        assert await false() == unkilled
        for sentence, statement in DENIALS:
            assert await false_after(statement) == {sentence}, statement
        await db.execute("update taskq.tasks set approved_by = 'nobody' where requires_approval")
        assert await false() - unkilled == {"a person's approval is on record"}
    finally:
        await reader.close()


async def test_with_a_real_model_nothing_is_asked_that_only_the_simulated_one_brings_about(
    dsn: str, db: asyncpg.Connection
) -> None:
    reader = Pool(dsn, queries=QUERIES)
    try:
        sentences = [fact.sentence for fact in await establish(reader, uuid4(), None, offline=False)]
    finally:
        await reader.close()
    assert "nothing is stamped simulated" in sentences
    assert not {sentence for sentence, *_ in FORCED} & set(sentences)
