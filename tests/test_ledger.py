"""The turn log and the ledger of tool calls in SQL: fences, intents, outcomes, policies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from fake_worker import FakeWorker, Row
from graphs import ROLE, insert, row, status

ALL = {"tools": ["look", "write", "submit_result"], "repositories": ["/srv/a", "/srv/b"]}


def proposal(call_id: str = "c1", tool: str = "look", effect: str = "read", **more: Any) -> dict[str, Any]:
    return {"call_id": call_id, "tool": tool, "effect": effect, "input": '{"path": "."}', **more}


async def claim_agent(db: asyncpg.Connection, worker: FakeWorker, **columns: Any) -> Row:
    """A running task whose model has just asked for one call of `look`."""
    await insert(db, **columns)
    claim = await worker.claim_one()
    await worker.call("adopt_policy", claim, ALL)
    return claim


async def calls(db: asyncpg.Connection) -> list[tuple[Any, ...]]:
    return [
        tuple(r)
        for r in await db.fetch(
            "select call_id, tool, status, output, attempt from taskq.tool_calls order by turn, place"
        )
    ]


async def settle(
    worker: FakeWorker, claim: Row, call_id: str, seq: int, *, status: str = "success", text: str = "done"
) -> None:
    body = f'[{{"type": "tool_result", "tool_use_id": "{call_id}", "content": "{text}"}}]'
    await worker.call("settle_call", claim, call_id, status, text, None, seq, body, True)


async def test_a_message_and_its_calls_are_committed_together_and_once(db, worker):
    claim = await claim_agent(db, worker)
    for _ in range(2):  # the second time, a worker that did not hear the answer
        await worker.append(claim, 0, body='["a"]', calls=[proposal("c1"), proposal("c2")], note="looks")
    assert await calls(db) == [("c1", "look", "proposed", None, 1), ("c2", "look", "proposed", None, 1)]
    assert (await row(db, claim["id"]))["progress_note"] == "looks"
    assert await db.fetchval("select count(*) from taskq.messages") == 1


async def test_an_outcome_and_the_message_that_tells_it_are_one(db, worker):
    claim = await claim_agent(db, worker)
    await worker.append(claim, 0, calls=[proposal()])
    assert (await worker.call("intend", claim, "c1"))["verdict"] == "run"
    for _ in range(2):
        await settle(worker, claim, "c1", 1)
    assert await calls(db) == [("c1", "look", "success", "done", 1)]
    assert await db.fetchval("select array_agg(role order by seq) from taskq.messages") == [
        "assistant",
        "user",
    ]


async def test_a_zombie_intends_and_settles_nothing(db, worker):
    claim = await claim_agent(db, worker)
    await worker.append(claim, 0, calls=[proposal()])
    await worker.fail(claim, "worker_lost")
    for attempt in (
        worker.call("intend", claim, "c1"),
        settle(worker, claim, "c1", 1),
        worker.append(claim, 1),
        worker.call("park", claim, "why"),
        worker.call("adopt_policy", claim, ALL),
    ):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await attempt
        assert refusal.value.sqlstate == "TQ002"
    assert await calls(db) == [("c1", "look", "proposed", None, 1)]


async def test_a_call_that_has_ended_is_not_begun_again(db, worker):
    claim = await claim_agent(db, worker)
    await worker.append(claim, 0, calls=[proposal()])
    await worker.call("intend", claim, "c1")
    await settle(worker, claim, "c1", 1, status="error", text="no")
    with pytest.raises(asyncpg.PostgresError, match="no open tool call c1") as refusal:
        await worker.call("intend", claim, "c1")
    assert refusal.value.sqlstate == "TQ001"


async def test_a_call_outside_the_policy_is_blocked_in_the_database_too(db, worker):
    claim = await claim_agent(db, worker)
    await worker.append(claim, 0, calls=[proposal(tool="shell", effect="unsafe")])
    verdict = await worker.call("intend", claim, "c1")
    assert verdict["verdict"] == "blocked"
    assert verdict["reason"] == "shell is not among the tools of this task (look, write, submit_result)"


async def test_a_later_manifest_narrows_and_never_widens(db, worker):
    claim = await claim_agent(db, worker)
    await worker.fail(claim, "worker_lost")
    again = await worker.claim_one()
    wider = {"tools": ["shell", "look", "submit_result"], "repositories": ["/srv/c", "/srv/b"]}
    assert (await worker.call("adopt_policy", again, wider))[0]["tools"] == ["look", "submit_result"]
    await worker.fail(again, "worker_lost")
    third = await worker.claim_one()
    assert (await worker.call("adopt_policy", third, ALL))[0]["tools"] == ["look", "submit_result"]


async def test_a_childs_rights_are_within_its_parents(db, worker):
    parent = await claim_agent(db, worker)
    await insert(db, parent_id=parent["id"])
    child = await worker.claim_one()
    more = {"tools": ["write", "shell", "submit_result"], "repositories": ["/srv/b", "/srv/c"]}
    more |= {"hosts": ["docs.test"], "delegates": ["scout"]}
    policy = (await worker.call("adopt_policy", child, more))[0]
    assert policy == {
        "tools": ["write", "submit_result"],
        "repositories": ["/srv/b"],
        "hosts": [],
        "delegates": ["scout"],
    }


async def test_what_needs_approval_runs_after_it_and_names_who_gave_it(db, worker):
    claim = await claim_agent(db, worker)
    await worker.append(claim, 0, calls=[proposal(tool="write", effect="unsafe", needs_approval=True)])
    assert (await worker.call("intend", claim, "c1"))["verdict"] == "approve"
    assert (await worker.call("park", claim, "approve write?"))[0] == "awaiting_approval"
    assert "approve write?" in await db.fetchval("select taskq.explain($1)", claim["id"])
    await db.execute("select taskq.approve($1, 'someone')", claim["id"])
    again = await worker.claim_one()
    assert again["attempt"] == 1  # waiting spends none
    assert (await worker.call("intend", again, "c1"))["verdict"] == "run"
    assert await db.fetchval("select approved_by from taskq.tool_calls") == "someone"


async def test_what_people_say_is_heard_once_and_before_a_turn(db, worker):
    claim = await claim_agent(db, worker)
    said = await db.fetchval("select taskq.steer($1, 'look at tables.sql', 'someone')", claim["id"])
    ask = (0, "anthropic", ["m"], [10], [0])
    assert (await worker.call("begin_turn", claim, *ask))["verdict"] == "hear"
    await worker.append(claim, 0, "user", steers=[said])
    assert (await worker.call("begin_turn", claim, 1, *ask[1:]))["verdict"] == "ask"
    assert await db.fetchval("select seq from taskq.steers where done_at is not null") == 0


async def test_a_pause_waits_for_a_person_and_goes_on(db, worker):
    claim = await claim_agent(db, worker)
    await db.execute("select taskq.pause($1, 'let me see', 'someone')", claim["id"])
    verdict = await worker.call("begin_turn", claim, 0, "anthropic", ["m"], [10], [0])
    assert (verdict["verdict"], verdict["reason"]) == ("pause", "let me see")
    await worker.call("park", claim, verdict["reason"])
    assert await status(db, claim["id"]) == "awaiting_approval"
    await db.execute("select taskq.approve($1, 'someone')", claim["id"])
    again = await worker.claim_one()
    assert (await worker.call("begin_turn", again, 0, "anthropic", ["m"], [10], [0]))["verdict"] == "ask"


async def test_a_final_task_is_not_steered(db, worker):
    claim = await claim_agent(db, worker)
    await worker.fail(claim, final=True)
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await db.execute("select taskq.steer($1, 'on', 'someone')", claim["id"])
    assert refusal.value.sqlstate == "TQ004"


async def test_a_limit_closes_the_gate_for_all_and_costs_no_budget(db, worker):
    first = await claim_agent(db, worker)
    second = await claim_agent(db, worker)
    await db.execute("""select taskq.set_budget('task', $1, '{"tokens": 10}', 'someone')""", str(first["id"]))
    ask = (0, "anthropic", ["m"], [10], [0])
    assert (await worker.call("begin_turn", first, *ask))["verdict"] == "ask"
    await worker.call("hold_back", first, "anthropic", "m", timedelta(seconds=2), "429", False, False)
    for claim in (first, second):
        verdict = await worker.call("begin_turn", claim, *ask)
        assert verdict["verdict"] == "wait"
        assert 1 < verdict["seconds"] <= 2.5  # with its jitter
    fallback = await worker.call("begin_turn", first, 0, "anthropic", ["m", "n"], [10, 10], [0, 0])
    assert (fallback["verdict"], fallback["model"]) == ("ask", "n")


async def test_what_a_budget_does_not_hold_is_not_asked(db, worker):
    claim = await claim_agent(db, worker)
    await db.execute("""select taskq.set_budget('task', $1, '{"tokens": 10}', 'someone')""", str(claim["id"]))
    over = await worker.call("begin_turn", claim, 0, "anthropic", ["m"], [11], [0])
    assert over["verdict"] == "over"
    assert str(claim["id"]) in over["reason"]


async def test_statistics_by_tool_and_role(db, worker):
    claim = await claim_agent(db, worker)
    await worker.append(claim, 0, calls=[proposal("c1"), proposal("c2"), proposal("c3", "write")])
    for call_id, seq, how in (("c1", 1, "success"), ("c2", 2, "error"), ("c3", 3, "blocked")):
        await settle(worker, claim, call_id, seq, status=how)
    found = await db.fetch("select tool, role, calls, success, error, blocked from taskq.tool_statistics")
    assert [tuple(r) for r in found] == [("look", ROLE, 2, 1, 1, 0), ("write", ROLE, 1, 0, 0, 1)]
