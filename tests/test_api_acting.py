"""What people do over HTTP, to one task and to many."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from fake_worker import FakeWorker
from taskq import Queue
from web_client import OPERATOR, client

API = "/api/v1"


@pytest.fixture
async def http(dsn: str):
    async with client(dsn) as opened:
        yield opened


async def act(http, id: UUID | str, verb: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"{API}/tasks/{id}/{verb}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def status_of(http, id: UUID) -> str:
    return (await http.get(f"{API}/tasks/{id}")).json()["status"]


async def test_a_cancel_is_previewed_and_then_takes_down_just_that(http, queue: Queue, db) -> None:
    first = await queue.enqueue("resize", {})
    second = await queue.enqueue("montage", {}, depends_on=[first])
    other = await queue.enqueue("montage", {}, depends_on=[first], on_dependency_failure="run")
    preview = (await http.get(f"{API}/tasks/{first}/cancel")).json()
    assert (preview["count"], [task["id"] for task in preview["tasks"]]) == (2, [str(first), str(second)])
    assert await act(http, first, "cancel", reason="wrong file") == {"id": str(first), "status": "cancelled"}
    assert [await status_of(http, id) for id in (second, other)] == ["cancelled", "queued"]
    event = await db.fetchrow("select * from taskq.events where task_id = $1 and verb = 'cancel'", first)
    assert (event["actor"], event["reason"]) == (OPERATOR, "wrong file")
    assert (await http.get(f"{API}/tasks/{first}/cancel")).json() == {"count": 0, "tasks": []}


async def test_a_running_task_is_asked_to_stop_requeued_and_completed_by_nobody(http, queue, db) -> None:
    id = await queue.enqueue("resize", {})
    await (await FakeWorker(db, "resize").register()).claim_one()
    assert (await act(http, id, "cancel"))["status"] == "in_progress"
    assert (await act(http, id, "complete", 409, result=1))["title"] == "Conflict"
    assert (await act(http, id, "requeue"))["status"] == "queued"


async def test_a_failed_task_is_retried_and_a_final_one_rerun(http, queue, db) -> None:
    id = await queue.enqueue("person", {})
    assert (await act(http, id, "complete", error="no paper"))["status"] == "failed"
    assert (await act(http, id, "retry", reason="paper came"))["status"] == "queued"
    assert (await act(http, id, "complete", result={"pages": 3}))["status"] == "completed"
    assert (await http.get(f"{API}/tasks/{id}")).json()["result"] == {"pages": 3}
    again = await act(http, id, "rerun", 201)
    assert again["rerun_of"] == str(id) and await status_of(http, again["id"]) == "queued"
    assert "rerun" in (await act(http, id, "retry", 409))["detail"]


async def test_a_task_is_approved_or_rejected(http, queue) -> None:
    yes, no = [await queue.enqueue("deploy", {}, requires_approval=True) for _ in range(2)]
    assert (await act(http, yes, "approve", note="go"))["status"] == "queued"
    assert (await act(http, no, "reject", reason="not today"))["status"] == "cancelled"
    task = (await http.get(f"{API}/tasks/{yes}")).json()
    assert task["approved_by"] == OPERATOR and task["events"][-1]["reason"] == "go"


async def test_the_payload_of_a_task_that_has_not_begun_is_amended(http, queue) -> None:
    id = await queue.enqueue("resize", {"width": 1})
    assert (await act(http, id, "amend", payload={"width": 2}, reason="too small"))["status"] == "queued"
    assert (await http.get(f"{API}/tasks/{id}")).json()["payload"] == {"width": 2}
    assert (await act(http, id, "amend", 422))["errors"][0]["field"] == "payload"


async def test_an_agent_is_steered_paused_and_told(http, queue, db) -> None:
    id = await queue.enqueue("agent", {})
    assert (await act(http, id, "steer", 201, text="look at the tests first"))["message"] > 0
    assert (await act(http, id, "pause", 201, reason="wait"))["message"] > 0
    assert await act(http, id, "signal", name="go", payload=[1]) == {"id": str(id), "first": True}
    assert (await act(http, id, "signal", name="go"))["first"] is False
    task = (await http.get(f"{API}/tasks/{id}")).json()
    assert [(s["verb"], s["text"]) for s in task["steers"]] == [
        ("say", "look at the tests first"),
        ("pause", "wait"),
    ]
    assert [s["name"] for s in task["signals"]] == ["go"]
    assert (await act(http, id, "steer", 422, text="  "))["errors"][0]["field"] == "text"


async def test_no_call_awaits_an_answer_of_a_task_that_asks_for_none(http, queue) -> None:
    id = await queue.enqueue("deploy", {}, requires_approval=True)
    await act(http, id, "decline-call", 409, note="no")
    await act(http, id, "amend-call", 409, input={})


async def test_nothing_is_done_to_a_task_that_is_not_there(http) -> None:
    bodies = {
        "steer": {"text": "x"},
        "signal": {"name": "x"},
        "amend": {"payload": {}},
        "amend-call": {"input": {}},
    }
    for verb in (
        "cancel",
        "retry",
        "requeue",
        "rerun",
        "approve",
        "reject",
        "complete",
        "pause",
        "decline-call",
        *bodies,
    ):
        await act(http, uuid4(), verb, 404, **bodies.get(verb, {}))


async def test_many_are_cancelled_by_their_ids_and_each_has_its_outcome(http, queue, db) -> None:
    ids = [await queue.enqueue("resize", {}) for _ in range(3)]
    await queue.complete(ids[1], None, "bob")
    body = {"verb": "cancel", "ids": [str(id) for id in (*ids, uuid4())], "reason": "wrong directory"}
    bulk = (await http.post(f"{API}/tasks/bulk", json=body)).json()
    assert [(o["done"], o["status"]) for o in bulk["outcomes"]] == [
        (True, "cancelled"), (False, None), (True, "cancelled"), (False, None),
    ]  # fmt: skip
    assert (bulk["done"], bulk["refused"], bulk["more"]) == (2, 2, False)
    assert "rerun" in bulk["outcomes"][1]["error"]
    reasons = await db.fetch("select distinct actor, reason from taskq.events where verb = 'cancel'")
    assert [tuple(row) for row in reasons] == [(OPERATOR, "wrong directory")]


async def test_many_are_found_by_a_filter_so_many_at_a_time(http, queue, monkeypatch) -> None:
    from taskq.web.api import bulk

    monkeypatch.setattr(bulk, "MOST", 3)
    ids = {str(await queue.enqueue("deploy", {}, requires_approval=True)) for _ in range(5)}
    other = await queue.enqueue("other", {}, requires_approval=True)
    body = {
        "verb": "approve",
        "filter": {"role": ["deploy"], "status": ["awaiting_approval"]},
        "reason": "ok",
    }
    first = (await http.post(f"{API}/tasks/bulk", json=body)).json()
    second = (await http.post(f"{API}/tasks/bulk", json=body)).json()
    assert (first["done"], first["more"], second["done"], second["more"]) == (3, True, 2, False)
    assert {o["id"] for o in first["outcomes"] + second["outcomes"]} == ids
    assert await status_of(http, other) == "awaiting_approval"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ids": [str(uuid4())]}, "reason"),
        ({"reason": " ", "ids": [str(uuid4())]}, "reason"),
        ({"reason": "x"}, "ids"),
        ({"reason": "x", "ids": []}, "ids"),
        ({"reason": "x", "ids": [str(uuid4())], "filter": {"role": ["a"]}}, "ids"),
        ({"reason": "x", "filter": {}}, "filter"),
        ({"reason": "x", "filter": {"state": "x"}}, "filter.state"),
        ({"reason": "x", "ids": [str(uuid4())] * 501}, "ids"),
        ({"reason": "x", "ids": ["x"]}, "ids[0]"),
    ],
)
async def test_a_bulk_act_says_to_what_and_why(http, body: dict[str, Any], field: str) -> None:
    answer = await http.post(f"{API}/tasks/bulk", json={"verb": "cancel", **body})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.json()
