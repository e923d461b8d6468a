"""What people do to a task, and what is kept of it: who, what and why."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from graphs import insert, row, status, statuses
from support import eventually


async def call(db: asyncpg.Connection, function: str, *args: Any) -> Any:
    marks = ", ".join(f"${n}" for n in range(1, len(args) + 1))
    return await db.fetchval(f"select taskq.{function}({marks})::text", *args)


async def events(db: asyncpg.Connection, task: UUID) -> list[tuple[Any, ...]]:
    rows = await db.fetch(
        'select verb, "from"::text, "to"::text, actor, reason from taskq.events '
        "where task_id = $1 order by id",
        task,
    )
    return [tuple(event) for event in rows]


# cancel


async def test_what_waits_is_cancelled_at_once_and_it_is_kept_who_did_it_and_why(db):
    task = await insert(db)
    assert await call(db, "cancel", task, "no need", "someone") == "cancelled"
    after = await row(db, task)
    assert (after["error_kind"], after["error"]) == ("cancelled", "no need")
    assert await events(db, task) == [("cancel", "queued", "cancelled", "someone", "no need")]


async def test_the_actor_is_the_database_user_unless_somebody_is_named(db):
    task = await insert(db)
    await call(db, "cancel", task)
    user = await db.fetchval("select session_user::text")
    assert await events(db, task) == [("cancel", "queued", "cancelled", user, "cancelled")]


async def test_what_runs_is_asked_to_stop_and_its_worker_is_told_at_once(db, connect, worker):
    heard: list[str] = []
    ear = await connect()
    await ear.add_listener("taskq_worker", lambda _c, _p, _n, payload: heard.append(payload))
    task = await insert(db)
    claim = await worker.claim_one()
    assert await call(db, "cancel", task, "no need", "someone") == "in_progress"
    await eventually(lambda: heard == [str(worker.id)])
    assert await worker.heartbeat(claim) == {claim["lease"]: "cancel"}
    assert await worker.stop(claim) == "cancelled"
    after = await row(db, task)
    assert (str(after["status"]), after["error"], after["lease"]) == ("cancelled", "no need", None)
    assert await events(db, task) == [
        ("ask_to_stop", "in_progress", "in_progress", "someone", "no need"),
        ("cancel", "in_progress", "cancelled", "someone", "no need"),
    ]
    assert await db.fetchval("select kind::text from taskq.attempts where task_id = $1", task) == "cancelled"


async def test_a_second_request_to_stop_does_not_move_the_time_of_the_first(db, worker):
    task = await insert(db)
    await worker.claim_one()
    await call(db, "cancel", task)
    first = (await row(db, task))["cancel_requested_at"]
    await call(db, "cancel", task)
    assert (await row(db, task))["cancel_requested_at"] == first


async def test_a_task_that_completes_though_asked_to_stop_is_completed(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    await call(db, "cancel", task)
    assert await worker.complete(claim) == []
    assert await status(db, task) == "completed"


async def test_a_task_that_fails_after_it_was_asked_to_stop_is_cancelled_and_not_retried(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    await call(db, "cancel", task)
    assert await worker.fail(claim) == "cancelled"


async def test_cancelling_what_is_cancelled_says_so_and_changes_nothing(db):
    task = await insert(db)
    await call(db, "cancel", task)
    before = await row(db, task)
    assert await call(db, "cancel", task, "again", "someone") == "cancelled"
    assert await row(db, task) == before
    assert len(await events(db, task)) == 1


# approve, reject, complete


async def test_an_approval_keeps_who_and_why(db):
    task = await insert(db, requires_approval=True)
    assert await call(db, "approve", task, "someone", "looks good") == "queued"
    after = await row(db, task)
    assert (after["approved_by"], after["approved_at"] is not None) == ("someone", True)
    assert await events(db, task) == [("approve", "awaiting_approval", "queued", "someone", "looks good")]


async def test_a_rejection_keeps_who_and_why(db):
    task = await insert(db, requires_approval=True)
    assert await call(db, "reject", task, "someone", "too dear") == "cancelled"
    after = await row(db, task)
    assert (after["error_kind"], after["error"]) == ("rejected", "too dear")
    assert await events(db, task) == [("reject", "awaiting_approval", "cancelled", "someone", "too dear")]


async def test_a_person_completes_a_task_with_a_result(db):
    task = await insert(db, "a_person")
    assert await call(db, "complete", task, {"signed": True}, "someone") == "completed"
    after = await row(db, task)
    assert (after["result"], after["started_at"] is not None) == ({"signed": True}, True)
    assert await events(db, task) == [("complete", "queued", "completed", "someone", None)]


async def test_a_person_fails_a_task_with_a_reason(db):
    task = await insert(db, "a_person")
    assert await call(db, "complete", task, None, "someone", "could not") == "failed"
    after = await row(db, task)
    assert (after["error"], after["error_kind"], after["result"]) == ("could not", "unknown", None)
    assert await events(db, task) == [("complete", "queued", "failed", "someone", "could not")]


# requeue


async def test_a_requeued_task_is_taken_from_its_worker_who_is_told(db, connect, worker):
    heard: list[str] = []
    ear = await connect()
    await ear.add_listener("taskq_worker", lambda _c, _p, _n, payload: heard.append(payload))
    task = await insert(db)
    claim = await worker.claim_one()
    await call(db, "cancel", task)
    assert await call(db, "requeue", task, "wrong machine", "someone") == "queued"
    await eventually(lambda: heard == [str(worker.id)] * 2)
    after = await row(db, task)
    assert (after["attempt"], after["cancel_requested_at"]) == (0, None)
    assert await worker.heartbeat(claim) == {claim["lease"]: "lost"}
    assert (await events(db, task))[-1] == ("requeue", "in_progress", "queued", "someone", "wrong machine")


# retry


async def test_a_retry_gives_one_more_attempt_at_least(db, worker):
    task = await insert(db, max_attempts=1)
    assert await worker.fail(await worker.claim_one()) == "failed"
    assert await call(db, "retry", task, "fixed", "someone") == "queued"
    after = await row(db, task)
    assert (after["attempt"], after["max_attempts"], after["error"], after["finished_at"]) == (
        1,
        2,
        None,
        None,
    )
    assert (await worker.claim_one())["attempt"] == 2
    assert (await events(db, task))[-1] == ("revive", "failed", "blocked", "someone", "fixed")


async def test_a_retry_of_what_has_attempts_left_changes_their_number_not(db, worker):
    task = await insert(db)
    await worker.fail(await worker.claim_one(), final=True)
    await call(db, "retry", task)
    assert (await row(db, task))["max_attempts"] == 4


async def test_a_retry_of_a_queued_task_runs_it_now(db, worker):
    task = await insert(db)
    await worker.fail(await worker.claim_one(), after=None)
    assert await worker.claim() == []
    assert await call(db, "retry", task, "now", "someone") == "queued"
    assert (await worker.claim_one())["id"] == task
    assert (await events(db, task))[-1] == ("retry", "queued", "queued", "someone", "now")


async def test_a_retry_of_what_can_run_already_does_not_take_its_place_in_the_line(db):
    task = await insert(db)
    before = (await row(db, task))["run_at"]
    await call(db, "retry", task)
    assert (await row(db, task))["run_at"] == before


async def test_a_cancelled_task_that_ran_once_runs_again_after_a_retry(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    await call(db, "cancel", task)
    await worker.stop(claim)
    await call(db, "retry", task)
    again = await worker.claim_one()
    assert await worker.heartbeat(again) == {}, "the old request to stop is forgotten"


# rerun


async def test_a_rerun_is_a_new_task_that_names_the_old_one(db, worker):
    parent = await insert(db, "parent")
    await call(db, "complete", parent)
    root = await insert(db, "root")
    old = await insert(
        db, name="n", payload={"x": 1}, priority=3, depends_on=[parent], on_dependency_failure="run",
        max_attempts=2, parent_id=root, traceparent="t", dedup_key="k",
    )  # fmt: skip
    await worker.complete(await worker.claim_one(), result={"n": 1})
    new = UUID(await call(db, "rerun", old, "once more", "someone"))
    was, now = await row(db, old), await row(db, new)
    same = ["role", "name", "payload", "priority", "depends_on", "on_dependency_failure", "requires_approval"]
    same += ["max_attempts", "timeout", "parent_id", "mission_id", "traceparent", "dedup_key"]
    assert {key: now[key] for key in same} == {key: was[key] for key in same}
    assert (now["rerun_of"], now["created_by"], now["attempt"], now["result"]) == (old, "someone", 0, None)
    assert str(was["status"]) == "completed"
    assert await events(db, new) == [("rerun", None, None, "someone", "once more")]
    assert (await worker.claim_one())["id"] == new


async def test_a_rerun_of_a_root_is_a_mission_of_its_own(db):
    root = await insert(db)
    await call(db, "cancel", root)
    new = UUID(await call(db, "rerun", root))
    assert (await row(db, new))["mission_id"] == new


async def test_a_rerun_of_a_task_that_waited_for_a_child_does_not_hang_on_the_old_child(db, worker):
    task = await insert(db)
    claim = await worker.claim_one()
    child = await insert(db, "child")
    await worker.wait(claim, child)
    await call(db, "cancel", child)
    await worker.complete(await worker.claim_one())
    new = UUID(await call(db, "rerun", task))
    assert await status(db, new) == "queued"


async def test_a_rerun_while_a_live_task_has_the_dedup_key_is_refused(db):
    old = await insert(db, dedup_key="k")
    await call(db, "cancel", old)
    await insert(db, dedup_key="k")
    with pytest.raises(asyncpg.UniqueViolationError):
        await call(db, "rerun", old)


# what is kept


async def test_the_way_of_success_writes_no_event_and_no_attempt(db, worker):
    first = await insert(db)
    second = await insert(db, depends_on=[first])
    await worker.drain()
    assert await statuses(db, first, second) == ["completed", "completed"]
    assert await db.fetchval("select count(*) from taskq.events") == 0
    assert await db.fetchval("select count(*) from taskq.attempts") == 0


async def test_a_failure_and_its_retries_leave_events(db, worker):
    task = await insert(db, max_attempts=2)
    for _ in range(2):
        await worker.fail(await worker.claim_one(), "tool_error", "it broke")
    actor = f"worker {worker.id}"
    assert await events(db, task) == [
        ("retry", "in_progress", "queued", actor, "tool_error: it broke"),
        ("fail", "in_progress", "failed", actor, "it broke"),
    ]


async def test_a_cascade_names_who_started_it(db):
    parent = await insert(db)
    child = await insert(db, depends_on=[parent])
    await call(db, "cancel", parent, "no need", "someone")
    ((verb, start, end, actor, _),) = await events(db, child)
    assert (verb, start, end, actor) == ("cascade", "blocked", "cancelled", "someone")


async def test_the_messages_of_an_agent_come_back_byte_for_byte(db, worker):
    await insert(db)
    claim = await worker.claim_one()
    body = '[{"z": 1, "a": "\\u0000 \\ud800", "a": 1.0}]'
    await worker.append(claim, 0, body=body, stop_reason="end_turn", usage={"output_tokens": 7})
    message = await db.fetchrow("select * from taskq.messages")
    assert (message["body"], message["stop_reason"], message["model"]) == (body, "end_turn", "a-model")
    assert (message["usage"], message["simulated"], message["attempt"]) == ({"output_tokens": 7}, True, 1)


async def test_a_message_is_committed_once(db, worker):
    """The same one again comes from a worker that did not hear the answer; another one is refused."""
    await insert(db)
    claim = await worker.claim_one()
    for _ in range(2):
        await worker.append(claim, 0, "user", '["hello"]')
    with pytest.raises(asyncpg.PostgresError, match="has another message 0") as refusal:
        await worker.append(claim, 0, "user", '["good day"]')
    assert refusal.value.sqlstate == "TQ001"
    assert await db.fetchval("select array_agg(body) from taskq.messages") == ['["hello"]']
