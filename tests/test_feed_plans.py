"""What a look costs: every part of it reads a range of an index, however many tasks there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from taskq.web.feed.look import AHEAD, version_7
from taskq.web.reads import QUERIES

FILL = """
    set session_replication_role = replica;
    -- a version 7 id of this moment
    create function pg_temp.made(_at timestamptz) returns uuid language sql volatile as $$
      select encode(set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from _at) * 1000)::bigint) from 3) from 1 for 6),
        52, 1), 53, 1), 'hex')::uuid
    $$;
    insert into taskq.tasks (id, role, status, max_attempts, timeout, mission_id, started_at, finished_at,
                             created_at, run_at, priority, lease, worker_id)
    select id, 'role_' || n % 20, status, 4, '30 min', id,
           case when status in ('completed', 'in_progress') then t end,
           case when status = 'completed' then t end, t - interval '1 h', t, n % 3,
           case when status = 'in_progress' then nextval('taskq.lease_numbers') end,
           '00000000-0000-0000-0000-000000000000'
    from (values ('completed'::taskq.status, 30000), ('queued', 8000), ('blocked', 2000),
                 ('in_progress', 100)) kinds (status, count),
         generate_series(1, count) n,
         lateral (select now() - (count - n + 10) * interval '1 s' as t) x,
         lateral (select pg_temp.made(t) as id) y;
    insert into taskq.messages (task_id, seq, role, body, attempt)
    select id, n, 'user', '[]', 1 from taskq.tasks, generate_series(1, 20) n where status = 'in_progress';
    insert into taskq.tool_calls (task_id, call_id, turn, place, tool, actor, effect, input, attempt)
    select id, n::text, n, 0, 'grep', 'x', 'read', '{}', 1 from taskq.tasks, generate_series(1, 20) n
    where status = 'in_progress';
    insert into taskq.attempts (task_id, attempt, lease, kind, started_at)
    select id, 1, row_number() over (), 'unknown', now() - interval '1 day' from taskq.tasks
    where status = 'queued';
    insert into taskq.events (task_id, verb, actor, at)
    select id, 'retry', 'x', now() - interval '1 day' from taskq.tasks where status = 'queued';
    insert into taskq.logs (task_id, attempt, line, at)
    select id, 1, 'x', now() - interval '1 day' from taskq.tasks where status = 'queued';
    set session_replication_role = origin;
"""
RUNNING = "select array_agg(id) from taskq.tasks where status = 'in_progress'"
BIG = {"tasks", "messages", "attempts", "events", "logs", "tool_calls"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


@pytest.fixture
async def big(db: asyncpg.Connection) -> asyncpg.Connection:
    await db.execute(FILL)
    await db.execute("vacuum analyze")
    return db


async def plan_of(db: asyncpg.Connection, query: str, *args: Any) -> dict[str, Any]:
    """The plan of a prepared statement: with these arguments, or for any, as the session is set."""
    await db.execute(f"prepare asked as {QUERIES[query]}")
    given = ", ".join([await db.fetchval("select quote_nullable($1::text)", written(arg)) for arg in args])
    (text,) = await db.fetchrow(f"explain (analyze, buffers, format json) execute asked ({given})")
    return json.loads(text)[0]["Plan"]


def written(arg: Any) -> str:
    """An argument as Postgres writes it."""
    return "{" + ",".join(map(str, arg)) + "}" if isinstance(arg, list) else str(arg)


def scanned(plan: dict[str, Any]) -> list[str]:
    """The big tables that are read from one end to the other."""
    scans = [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    return [f"{scan['Alias']}: {scan}" for scan in scans if scan["Relation Name"] in BIG]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_look_reads_ranges_of_indexes(big: asyncpg.Connection, mode: str) -> None:
    await big.execute(f"set plan_cache_mode = {mode}")
    now = await big.fetchval("select now()")
    running = await big.fetchval(RUNNING)
    since = now - timedelta(seconds=3)
    plan = await plan_of(big, "look", since, 500, version_7(since), version_7(since + AHEAD), running)
    assert scanned(plan) == []
    assert "finishes" in {node.get("Index Name") for node in nodes(plan)}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 4000


async def test_the_throughput_reads_the_pages_of_its_time(
    big: asyncpg.Connection,
) -> None:
    plan = await plan_of(big, "throughput", timedelta(minutes=30), timedelta(minutes=1))
    assert scanned(plan) == []
    assert "finishes" in {node.get("Index Name") for node in nodes(plan)}
