"""taskq cancel, retry, requeue, rerun, approve, reject, complete."""

from __future__ import annotations

import getpass
from uuid import UUID, uuid4

import asyncpg
import pytest

import graphs
from cli_runner import Taskq
from fake_worker import FakeWorker


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


async def last_event(db: asyncpg.Connection, id: UUID) -> tuple[str, str, str | None]:
    row = await db.fetchrow("select * from taskq.events where task_id = $1 order by id desc limit 1", id)
    return row["verb"], row["actor"], row["reason"]


async def test_cancel_says_the_status_and_records_who_and_why(taskq: Taskq, db: asyncpg.Connection) -> None:
    first, second = await graphs.insert(db), await graphs.insert(db)
    out = await taskq("cancel", first, second.hex[-12:], "--reason", "no need", "--actor", "ann")
    assert out == f"{first.hex[-12:]}  cancelled\n{second.hex[-12:]}  cancelled\n"
    assert await last_event(db, first) == ("cancel", "ann", "no need")
    third = await graphs.insert(db)
    assert await taskq.json("cancel", third) == [{"id": str(third), "status": "cancelled"}]
    assert await last_event(db, third) == ("cancel", getpass.getuser(), "cancelled")


async def test_cancel_asks_what_runs_to_stop(taskq: Taskq, db: asyncpg.Connection) -> None:
    worker = await FakeWorker(db, "work").register()
    id = await graphs.insert(db)
    await worker.claim_one()
    assert "in_progress, asked to stop" in await taskq("cancel", id)
    assert (await graphs.row(db, id))["cancel_requested_at"]


async def test_a_preview_touches_nothing(taskq: Taskq, db: asyncpg.Connection) -> None:
    root = await graphs.insert(db, "root")
    child = await graphs.insert(db, "child", depends_on=[root])
    grandchild = await graphs.insert(db, "grandchild", depends_on=[child])
    await graphs.insert(db, "stays", depends_on=[root], on_dependency_failure="run")
    out = await taskq("cancel", root, "--preview")
    assert "takes 2 dependents with it" in out
    assert "grandchild" in out
    assert "stays" not in out
    (fact,) = await taskq.json("cancel", root, "--preview")
    assert [task["id"] for task in fact["takes_with"]] == [str(child), str(grandchild)]
    assert await graphs.statuses(db, root, child, grandchild) == ["queued", "blocked", "blocked"]
    await taskq("cancel", root)
    assert await graphs.statuses(db, root, child, grandchild) == ["cancelled"] * 3


async def test_a_preview_of_what_has_ended_is_refused(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db)
    await taskq("complete", id)
    assert "completed" in await taskq.error("cancel", id, "--preview", code=4)


async def test_retry_revives_what_failed(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db)
    behind = await graphs.insert(db, depends_on=[id])
    await taskq("complete", id, "--error", "no way")
    assert await graphs.statuses(db, id, behind) == ["failed", "failed"]
    assert await taskq("retry", id, "--reason", "again") == f"{id.hex[-12:]}  queued\n"
    assert await graphs.statuses(db, id, behind) == ["queued", "blocked"]
    await taskq("complete", id, "--error", "no way")
    assert await taskq.json("retry", id) == [{"id": str(id), "status": "queued"}]


async def test_requeue_takes_a_task_from_its_worker(taskq: Taskq, db: asyncpg.Connection) -> None:
    worker = await FakeWorker(db, "work").register()
    id = await graphs.insert(db)
    await worker.claim_one()
    assert await taskq("requeue", id, "--actor", "ann") == f"{id.hex[-12:]}  queued\n"
    assert await last_event(db, id) == ("requeue", "ann", None)
    await worker.claim_one()
    assert await taskq.json("requeue", id) == [{"id": str(id), "status": "queued"}]


async def test_rerun_prints_the_id_of_the_new_task(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db, payload={"n": 1})
    await taskq("complete", id)
    new = UUID((await taskq("rerun", id)).strip())
    assert (await graphs.row(db, new))["rerun_of"] == id
    (fact,) = await taskq.json("rerun", id)
    assert fact["id"] == str(id)
    assert (await graphs.row(db, UUID(fact["new_id"])))["payload"] == {"n": 1}


async def test_approve_and_reject(taskq: Taskq, db: asyncpg.Connection) -> None:
    yes, no, also = [await graphs.insert(db, requires_approval=True) for _ in range(3)]
    assert await taskq("approve", yes, "--note", "fine", "--actor", "ann") == f"{yes.hex[-12:]}  queued\n"
    assert await last_event(db, yes) == ("approve", "ann", "fine")
    assert (
        await taskq("reject", no, "--reason", "too dear", "--actor", "bob") == f"{no.hex[-12:]}  cancelled\n"
    )
    assert await last_event(db, no) == ("reject", "bob", "too dear")
    assert await taskq.json("approve", also) == [{"id": str(also), "status": "queued"}]


async def test_complete_takes_any_json(taskq: Taskq, db: asyncpg.Connection) -> None:
    for text, result in [('{"a": 1}', {"a": 1}), ("[1]", [1]), ('"done"', "done"), ("7", 7)]:
        id = await graphs.insert(db, "a person")
        assert await taskq("complete", id, text) == f"{id.hex[-12:]}  completed\n"
        assert (await graphs.row(db, id))["result"] == result
    id = await graphs.insert(db)
    assert await taskq.json("complete", id) == [{"id": str(id), "status": "completed"}]
    assert (await graphs.row(db, id))["result"] is None


async def test_complete_can_say_that_it_failed(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db, "a person")
    assert await taskq("complete", id, "--error", "no time") == f"{id.hex[-12:]}  failed\n"
    assert (await graphs.row(db, id))["error"] == "no time"
    await taskq.error("complete", id, "{", code=2)
    await taskq.error("complete", id, "{}", "--error", "x", code=2)


async def test_a_status_that_does_not_allow_it_is_exit_code_4(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db)
    for verb in ("approve", "reject", "requeue", "rerun"):
        error = await taskq.error(verb, id, code=4)
        assert f"cannot {verb} task {id}: it is queued" in error
        assert len(error.splitlines()) == 1
    await taskq("complete", id)
    assert "rerun" in await taskq.error("retry", id, code=4)


async def test_one_refusal_does_not_keep_the_others(taskq: Taskq, db: asyncpg.Connection) -> None:
    good, done = await graphs.insert(db), await graphs.insert(db)
    await taskq("complete", done)
    gone = uuid4()
    facts = await taskq.json("cancel", done, gone, good, code=4)
    assert [("error" in fact, fact["id"]) for fact in facts] == [
        (True, str(done)), (True, str(gone)), (False, str(good)),
    ]  # fmt: skip
    assert await graphs.status(db, good) == "cancelled"


async def test_steer_and_pause_are_kept_for_the_agents_next_turn(
    taskq: Taskq, db: asyncpg.Connection
) -> None:
    first, second = await graphs.insert(db), await graphs.insert(db)
    assert (
        await taskq("steer", first, "Look at b.txt, too.", "--actor", "ann") == f"{first.hex[-12:]}  sent\n"
    )
    assert await last_event(db, first) == ("steer", "ann", "Look at b.txt, too.")
    out = await taskq("pause", first, second, "--reason", "let me see", "--actor", "ann")
    assert out == f"{first.hex[-12:]}  asked to pause\n{second.hex[-12:]}  asked to pause\n"
    assert await taskq.json("pause", second) == [{"id": str(second), "status": "asked to pause"}]
    rows = await db.fetch("select task_id, verb, text, actor from taskq.steers order by id")
    assert [tuple(row) for row in rows] == [
        (first, "say", "Look at b.txt, too.", "ann"),
        (first, "pause", "let me see", "ann"),
        (second, "pause", "let me see", "ann"),
        (second, "pause", "paused", getpass.getuser()),
    ]


async def test_what_has_ended_is_not_steered(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = await graphs.insert(db)
    await taskq("complete", id)
    assert "completed" in await taskq.error("steer", id, "Once more.", code=4)
    assert "completed" in await taskq.error("pause", id, code=4)
