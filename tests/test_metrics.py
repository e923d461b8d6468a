"""The figures: how much, how fast, how well; whether all is well; what probes and Prometheus are told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fake_worker import FakeWorker
from graphs import ROLE, insert
from support import eventually
from taskq.settings import Settings
from taskq.web.house import House, open_house
from taskq.web.prometheus import exposition
from taskq.web.reads import Reads
from web_client import client, client_of

OLD = "update taskq.tasks set {0} where id = $1"


@pytest.fixture
async def worker(db):
    return await FakeWorker(db, ROLE).register(name="host:1")


async def change(db, id, what: str) -> None:
    """Make a task older than it is: triggers look away."""
    await db.execute("set session_replication_role = replica")
    await db.execute(OLD.format(what), id)
    await db.execute("set session_replication_role = origin")


async def get(dsn: str, path: str) -> Any:
    async with client(dsn) as http:
        answer = await http.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()


async def test_the_figures_count_what_there_is_and_what_ended(db, dsn, worker):
    for waited, took in ((1, 10), (2, 20), (3, 30)):
        id = await insert(db)
        await worker.complete(await worker.claim_one())
        await change(
            db, id,
            f"run_at = finished_at - interval '{waited + took} s', created_at = now() - interval '1 h', "
            f"started_at = finished_at - interval '{took} s'",
        )  # fmt: skip
    await insert(db, priority=9)
    await worker.fail(await worker.claim_one(), "tool_error", final=True)
    await insert(db, priority=9)
    await worker.fail(await worker.claim_one(), "timeout", after=timedelta(hours=1))
    stale = await insert(db)
    await change(db, stale, "run_at = now() - interval '6 min'")
    await insert(db, "other", requires_approval=True)
    running = await insert(db, priority=9)
    await worker.claim_one()
    await change(db, running, "heartbeat_at = now() - interval '11 min'")

    figures = await get(dsn, "/metrics/tasks")
    assert figures["status"] == {
        "blocked": 0, "awaiting_approval": 1, "queued": 2, "in_progress": 1, "completed": 3, "failed": 1,
        "cancelled": 0,
    }  # fmt: skip
    assert (figures["stale"], figures["stuck"]) == (1, 1)
    assert figures["ended"]["success_rate"] == 0.75
    assert figures["errors"] == {"tool_error": 1, "timeout": 1}
    by_role = {of["role"]: of for of in figures["roles"]}
    assert by_role[ROLE]["errors"] == figures["errors"] and by_role["other"]["errors"] == {}
    assert by_role[ROLE]["now"]["workers"] == 1 and by_role["other"]["now"]["awaiting_approval"] == 1
    hours = {of["hour"]: of["ended"]["completed"] for of in figures["hours"]}
    assert sum(hours.values()) == 3
    ended = figures["ended"]["duration_seconds"]
    assert ended["p50"] < 20 < ended["p95"] < ended["p99"] <= 30
    assert 0 < figures["ended"]["wait_seconds"]["p50"] <= 2


async def test_an_empty_queue_has_figures_too(dsn):
    figures = await get(dsn, "/metrics/tasks")
    assert figures["ended"] == {
        "completed": 0, "failed": 0, "cancelled": 0, "success_rate": None, "wait_seconds": None,
        "duration_seconds": None,
    }  # fmt: skip
    assert figures["roles"] == figures["hours"] == []


async def test_the_throughput_has_a_row_for_every_bucket(db, dsn, worker):
    ids = [await insert(db) for _ in range(3)]
    await worker.complete(*await worker.claim(3))
    await change(db, ids[0], "finished_at = now() - interval '3 min', started_at = now() - interval '3 min'")
    reads = Reads(dsn)
    rows = await reads.fetch("throughput", timedelta(minutes=5), timedelta(minutes=1))
    await reads.close()
    assert len(rows) == 5 and sum(row["completed"] for row in rows) == 3
    assert rows[-1]["completed"] + rows[-2]["completed"] == 2
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert {row["at"].second for row in rows} == {0} and rows[-1]["at"] > datetime.now(UTC) - timedelta(
        minutes=2
    )
    assert next(row["wait_p50"] for row in rows if row["completed"]) is not None


async def test_all_is_well_until_something_is_not(db, dsn):
    status = await get(dsn, "/orchestration/status")
    assert status["well"] and status["alerts"] == [] and status["workers"] == 0
    assert status["database"]["latency_seconds"] > 0 and status["database"]["revision"]
    await insert(db, "nobodys")
    status = await get(dsn, "/orchestration/status")
    assert not status["well"] and [a["what"] for a in status["alerts"]] == ["no_workers"]
    worker = await FakeWorker(db, ROLE).register()
    await worker.heartbeat(trouble="its loop was blocked")
    await insert(db)
    await worker.claim_one()
    await db.execute(
        "update taskq.tasks set lease_expires_at = now() - interval '1 s' where status = 'in_progress'"
    )
    await db.execute("select taskq.pause_role($1, 'broken', 'ada')", ROLE)
    status = await get(dsn, "/orchestration/status")
    assert {(a["severity"], a["what"], a["role"]) for a in status["alerts"]} == {
        ("warning", "unplayed", "nobodys"),
        ("warning", "stuck", None),
        ("warning", "trouble", None),
        ("info", "paused", ROLE),
    }
    assert status["unplayed"] == ["nobodys"] and status["slots"] == 10
    assert [(p["role"], p["actor"], p["reason"]) for p in status["paused"]] == [(ROLE, "ada", "broken")]


@pytest.mark.parametrize("until", ["now() + interval '1 min'", "'infinity'"])
async def test_a_gate_that_is_paused_is_an_alert(db, dsn, until):
    await db.execute(
        f"insert into taskq.gates (provider, model, paused_until, reason) values ('p', 'm', {until}, 'busy')"  # noqa: S608
    )
    status = await get(dsn, "/orchestration/status")
    [gate] = status["gates"]
    assert gate["name"] == "p/m" and (gate["seconds"] is None) == ("infinity" in until)
    assert [alert["what"] for alert in status["alerts"]] == ["gate_paused"]


async def test_prometheus_can_read_the_metrics(db, dsn, worker):
    await insert(db, 'a "role"\nof two lines \\')
    await insert(db)
    await worker.complete(await worker.claim_one())
    async with client(dsn) as http:
        answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["taskq_tasks", 'a "role"\nof two lines \\', "queued"] == 1
    assert samples["taskq_ended_tasks", "completed", ROLE] == 1
    assert samples["taskq_workers", ROLE] == 1 and samples["taskq_database_up",] == 1
    assert 0 <= samples["taskq_wait_seconds", "0.95", ROLE] < 60
    assert samples["taskq_serve_statements_total",] > 0


async def test_the_metrics_say_that_the_database_is_away():
    async with away() as house, client_of(house) as http:
        assert b"taskq_database_up 0.0" in await exposition(house)
        assert (await http.get("/metrics")).status_code == 503, "nobody knows who may read them"
        ready = await http.get("/readyz")
        assert ready.status_code == 503 and "cannot be reached" in ready.json()["why"]
        assert (await http.get("/healthz")).json() == {"ok": True, "why": ""}


def away() -> Any:
    return open_house(Settings(database_url="postgresql://taskq@127.0.0.1:1/taskq"), "ada")


async def test_it_is_ready_when_the_schema_is_that_of_this_version(db, dsn):
    async with client(dsn) as http:
        assert (await http.get("/readyz")).json() == {"ok": True, "why": ""}
        await db.execute("update taskq.alembic_version set version_num = '0001'")
        await eventually(lambda: says(http, "at revision 0001"))
        await db.execute("drop schema taskq cascade")
        await eventually(lambda: says(http, "the schema is missing"))


async def says(http: Any, why: str) -> bool:
    answer = await http.get("/readyz")
    return answer.status_code == 503 and why in answer.json()["why"]


async def test_what_is_slow_to_count_is_shown_while_it_is_counted_again(dsn, db):
    reads = Reads(dsn)
    day = timedelta(hours=24)
    [first] = await reads.fetch("figures", day, fresh=0, stale=60)
    id = await insert(db)
    await db.execute("select taskq.cancel($1, 'no', 'ada')", id)
    assert await reads.fetch("figures", day, fresh=0, stale=60) == [first]

    async def counted() -> bool:
        rows = await reads.fetch("figures", day, fresh=10, stale=60)
        return rows[0]["cancelled"] == 1

    await eventually(counted)
    assert reads.sent == 2
    await reads.close()


async def test_who_asks_the_same_at_the_same_time_shares_an_answer_until_something_changes(dsn, db):
    reads = Reads(dsn)
    await asyncio.gather(*(reads.fetch("load", fresh=60) for _ in range(20)))
    assert reads.sent == 1
    reads.forget()
    await asyncio.gather(*(reads.fetch("load", fresh=60) for _ in range(20)))
    assert reads.sent == 2
    await reads.close()


async def test_a_statement_that_failed_is_sent_again(db, dsn, house_away: House):
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await house_away.reads.fetch("load")


@pytest.fixture
async def house_away():
    async with away() as house:
        yield house
