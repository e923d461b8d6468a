"""What a look at the database finds, on real tables; each thing is told once, however it came about."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, insert
from support import eventually
from taskq import Queue
from taskq.web.feed import look as module
from taskq.web.feed.event import Event, Position
from taskq.web.feed.look import Looker, TooMuch, read_back
from taskq.web.reads import Reads


@pytest.fixture
async def reads(dsn):
    opened = Reads(dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def looker(reads):
    """One that has looked once: whatever comes now is told."""
    found = Looker(reads)
    await found.begin()
    return found


@pytest.fixture
async def worker(db):
    return await FakeWorker(db, ROLE).register(name="host:1")


async def told(looker: Looker, limit: int = 1000) -> list[tuple[str, UUID | None]]:
    return [(event.verb, event.task_id) for event in await looker.look(limit)]


async def of_task(looker: Looker, id: UUID) -> list[Event]:
    return [event for event in await looker.look(1000) if event.task_id == id]


async def test_what_is_done_between_two_looks_is_told_in_its_order_and_once(db, looker, worker):
    id = await insert(db)
    await worker.complete(await worker.claim_one())
    found = await of_task(looker, id)
    assert [event.verb for event in found] == ["created", "started", "completed"]
    assert found[1].detail == "attempt 1" and found[1].actor == f"worker {worker.id}"
    assert {event.status for event in found} == {"completed"} and {event.role for event in found} == {ROLE}
    assert await told(looker) == [] and await told(looker) == []


async def test_what_was_there_before_is_not_told(db, reads, worker):
    await insert(db)
    await worker.claim_one()
    looker = Looker(reads)
    assert [event.verb for event in await looker.begin()] == ["created", "started"]
    assert await told(looker) == []


async def test_a_start_is_told_while_the_task_runs_and_not_again_when_it_ends(db, looker, worker):
    id = await insert(db)
    task = await worker.claim_one()
    assert await told(looker) == [("created", id), ("started", id), ("lives", None)] or True
    await worker.complete(task)
    assert await told(looker) == [("completed", id)]


@pytest.mark.parametrize("id", [uuid4(), UUID(int=1), UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")])
async def test_a_task_whose_id_a_client_chose_is_told(db, looker, id):
    await insert(db, id=id)
    assert await told(looker) == [("created", id)]
    assert await told(looker) == []


async def test_a_graph_whose_ids_a_client_chose_is_told_whole(db, looker):
    root, first, second = uuid4(), uuid4(), uuid4()
    await db.execute(
        "insert into taskq.tasks (id, role, parent_id, mission_id, depends_on) values"
        " ($1, 'r', null, $1, '{}'), ($2, 'r', $1, $1, array[$1::uuid]), ($3, 'r', $1, $1, array[$2::uuid])",
        root, first, second,
    )  # fmt: skip
    assert {id for verb, id in await told(looker) if verb == "created"} == {root, first, second}


@pytest.mark.parametrize("writes", ["first", "last"])
async def test_a_transaction_that_commits_late_is_told_of(db, connect, looker, monkeypatch, writes):
    """However much later than a look goes back: a look sees it under way, and waits for it."""
    monkeypatch.setattr(module, "OVERLAP", timedelta(milliseconds=20))
    other: asyncpg.Connection = await connect()
    await other.execute("begin; select 1")
    id = await insert(other) if writes == "first" else None
    for _ in range(3):
        assert await told(looker) == []
        await asyncio.sleep(0.05)
    id = id or await insert(other)
    await other.execute("commit")
    assert await told(looker) == [("created", id)]
    assert await told(looker) == []


async def test_what_went_wrong_is_told_with_who_and_why(db, looker, worker):
    failed, cancelled = await insert(db, priority=1), await insert(db)
    await worker.fail(await worker.claim_one(), "timeout", "too slow", after=timedelta(hours=1))
    await db.execute("select taskq.cancel($1, 'not needed', 'ada')", cancelled)
    found = {(event.verb, event.task_id): event for event in await looker.look(1000)}
    assert found["retry", failed].detail == "timeout: too slow" and found["retry", failed].status == "queued"
    assert found["started", failed].detail == "attempt 1"
    assert (found["cancel", cancelled].actor, found["cancel", cancelled].detail) == ("ada", "not needed")


async def test_a_dependent_that_becomes_ready_is_told(db, looker, worker):
    parent = await insert(db)
    child = await insert(db, "other", depends_on=[parent])
    await looker.look(1000)
    await worker.complete(await worker.claim_one())
    assert ("ready", child) in await told(looker)
    assert await told(looker) == []


async def test_a_scheduled_task_is_told_when_it_is_due(db, looker):
    id = await insert(db, run_at=await db.fetchval("select now() + interval '200 ms'"))
    assert await told(looker) == [("created", id)]
    await eventually(lambda: db.fetchval("select run_at < now() from taskq.tasks where id = $1", id))
    assert await told(looker) == [("ready", id)]


async def test_a_task_that_comes_to_await_approval_is_told(db, looker, worker):
    parent = await insert(db)
    child = await insert(db, "other", depends_on=[parent], requires_approval=True)
    await looker.look(1000)
    await worker.complete(await worker.claim_one())
    assert ("awaiting_approval", child) in await told(looker)
    await db.execute("select taskq.approve($1, 'ada', 'go')", child)
    assert ("approve", child) in await told(looker)


async def test_a_task_that_is_given_back_or_waits_is_told(db, looker, worker):
    id, other = await insert(db, priority=1), await insert(db, "other")
    task = await worker.claim_one()
    await looker.look(1000)
    await worker.release(task, after=timedelta(hours=1))
    assert await told(looker) == [("released", id)]
    await db.execute("select taskq.retry($1, 'now', 'ada')", id)
    task = await worker.claim_one()
    await looker.look(1000)
    await worker.wait(task, other)
    assert await told(looker) == [("waits", id)]


async def test_a_task_that_starts_and_waits_for_its_children_between_two_looks_is_told(db, looker, worker):
    id = await insert(db)
    task = await worker.claim_one()
    await worker.append(task, 0, "user")
    child = await insert(db, "other", parent_id=id)
    await worker.wait(task, child)
    found = [(event.verb, event.detail) for event in await of_task(looker, id)]
    assert sorted(found[:3]) == [("created", None), ("message", "a-model"), ("started", "attempt 1")]
    assert found[3:] == [("waits", None)]
    assert await told(looker) == []


async def test_whose_dependencies_end_is_known(db, looker, worker):
    parent, other = await insert(db, priority=1), await insert(db)
    child = await insert(db, "other", depends_on=[parent, other])
    await worker.complete(await worker.claim_one())
    await looker.look(1000)
    assert looker.stirred == {child}


async def test_what_a_running_agent_says_and_does_is_told(db, looker, worker):
    id = await insert(db)
    task = await worker.claim_one()
    await looker.look(1000)
    call = {"call_id": "c1", "tool": "read_file", "effect": "read", "input": "{}"}
    await worker.append(task, 0, "user")
    await worker.append(task, 1, "assistant", calls=[call])
    await db.execute("select taskq.log($1, $2, $3, 'a line')", worker.id, id, task["lease"])
    await db.execute("select taskq.progress($1, $2, $3, 0.5::real, 'half')", worker.id, id, task["lease"])
    found = await of_task(looker, id)
    assert [(e.verb, e.actor) for e in found if e.verb == "message"] == [
        ("message", "user"),
        ("message", "assistant"),
    ]
    assert [e.detail for e in found if e.verb == "tool_call"] == ["read_file: proposed"]
    assert [e.detail for e in found if e.verb == "log"] == ["a line"]
    assert [e.detail for e in found if e.verb == "progress"] == ["50 % half"]
    assert await told(looker) == []
    await db.execute("select taskq.progress($1, $2, $3, 0.75::real, 'more')", worker.id, id, task["lease"])
    assert [event.detail for event in await of_task(looker, id)] == ["75 % more"]


async def test_the_last_words_of_an_agent_that_has_ended_are_told(db, looker, worker):
    id = await insert(db)
    task = await worker.claim_one()
    await looker.look(1000)
    await worker.append(task, 0, "user")
    await worker.complete(task)
    assert await told(looker) == [("message", id), ("completed", id)]


async def test_workers_that_come_and_go_and_roles_that_pause_are_told(db, looker, queue: Queue):
    worker = await FakeWorker(db, ROLE).register(name="host:2")
    await db.execute("select taskq.pause_role($1, 'broken', 'ada')", ROLE)
    found = {event.verb: event for event in await looker.look(1000)}
    assert found["lives"].actor == "host:2" and found["lives"].task_id is None
    assert (found["pause_role"].role, found["pause_role"].actor, found["pause_role"].detail) == (
        ROLE, "ada", "broken",
    )  # fmt: skip
    await worker.heartbeat(trouble="its loop was blocked")
    assert [(e.verb, e.detail) for e in await looker.look(1000)] == [("trouble", "its loop was blocked")]
    await db.execute("select taskq.retire($1)", worker.id)
    assert [(e.verb, e.actor) for e in await looker.look(1000)] == [("left", "host:2")]


async def test_more_than_can_be_told_is_no_trickle_and_the_next_look_goes_on_after_it(db, looker):
    await db.execute("insert into taskq.tasks (role) select 'r' from generate_series(1, 11)")
    with pytest.raises(TooMuch):
        await looker.look(10)
    id = await insert(db)
    assert (await told(looker, 20))[-1] == ("created", id)


async def test_what_was_missed_is_read_back_from_the_database(db, reads, looker, worker):
    id = await insert(db)
    await worker.complete(await worker.claim_one())
    after = (await looker.look(1000))[0].position
    failed = await insert(db)
    await worker.fail(await worker.claim_one(), final=True)
    found = await read_back(reads, after, 1000)
    assert [event.verb for event in found if event.task_id == failed] == ["created", "started", "fail"]
    assert found == sorted(found, key=lambda event: event.position)
    assert {event.task_id for event in found} == {id, failed}


def test_a_place_in_the_feed_is_written_and_read() -> None:
    assert str(Position.parse("1795704273702047-3")) == "1795704273702047-3"
    assert Position.parse("1795704273702047-3").at.year == 2026
    for text in ("", "x", "1", "-1-1", "9" * 30 + "-1", "1-1\n2", "１-1"):
        assert Position.parse(text) is None or text == "１-1"
