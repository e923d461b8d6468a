"""Missions, roles, workers, the ledger and templates over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from fake_worker import FakeWorker
from support import eventually
from taskq import Queue
from web_client import OPERATOR, client

API = "/api/v1"


@pytest.fixture
async def http(dsn: str):
    async with client(dsn) as opened:
        yield opened


async def get(http, path: str, **query: Any) -> Any:
    answer = await http.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(http, path: str, **body: Any) -> Any:
    answer = await http.post(f"{API}{path}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def mission(queue: Queue, name: str) -> tuple[UUID, UUID, UUID]:
    """A root, a child, and a child that waits for that."""
    root = await queue.enqueue("lead", {}, name=name)
    first = await queue.enqueue("work", {}, parent_id=root)
    return root, first, await queue.enqueue("work", {}, parent_id=root, depends_on=[first])


async def test_missions_are_listed_with_what_they_did_and_spent(http, queue, db) -> None:
    root, first, _ = await mission(queue, "one")
    await queue.enqueue("lone", {})
    await queue.complete(first)
    await db.execute(
        """insert into taskq.messages (task_id, seq, role, body, attempt, usage, cost) values
           ($1, 0, 'assistant', '[]', 1, '{"input_tokens": 5, "output_tokens": 7}', 0.25),
           ($2, 0, 'assistant', '[]', 1, '{"input_tokens": 1, "cache_read_input_tokens": 10}', 0.5),
           ($2, 1, 'user', '[]', 1, null, null)""",
        root,
        first,
    )
    [found] = (await get(http, "/missions"))["missions"]
    assert (found["id"], found["name"], found["total"], found["counts"]) == (
        str(root), "one", 3, {"queued": 2, "completed": 1},
    )  # fmt: skip
    assert (found["cost"], found["tokens"], found["turns"], found["finished_at"]) == (0.75, 23, 2, None)
    assert found["progress"] == pytest.approx(1 / 3)


async def test_missions_are_paged_the_newest_first(http, queue) -> None:
    roots = [str((await mission(queue, str(n)))[0]) for n in range(5)]
    found, cursor = [], None
    while True:
        page = await get(http, "/missions", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [m["id"] for m in page["missions"]]
        if (cursor := page["next"]) is None:
            break
    assert found == roots[::-1]


async def test_the_task_of_an_agent_is_a_mission_before_it_has_children(http, queue, db) -> None:
    await db.execute("insert into taskq.roles (name, kind) values ('lead', 'agent')")
    waiting = await queue.enqueue("lead", {}, requires_approval=True)
    queued = await queue.enqueue("lead", {})
    assert [m["id"] for m in (await get(http, "/missions"))["missions"]] == [str(queued), str(waiting)]


async def test_a_mission_is_shown_as_a_graph_with_its_critical_path(http, queue, db) -> None:
    root, first, second = await mission(queue, "one")
    await db.execute("alter table taskq.tasks disable trigger user")
    await db.execute(
        """update taskq.tasks set status = 'completed', started_at = now() - interval '20 s',
             finished_at = now() - interval '10 s' where id = $1""",
        first,
    )
    await queue.set_budget("mission", str(root), {"cost": 3}, "ada")
    shown = await get(http, f"/missions/{root}")
    assert {node["id"] for node in shown["nodes"]} == {str(root), str(first), str(second)}
    assert [(e["from"], e["to"], e["on_failure"]) for e in shown["edges"]] == [
        (str(first), str(second), "fail")
    ]
    path = shown["critical_path"]
    assert path["ids"] == [str(root), str(first), str(second)]
    assert (path["seconds"], path["remaining"]) == (pytest.approx(20), pytest.approx(10))
    assert shown["counts"] == {"queued": 1, "blocked": 1, "completed": 1} and shown["more"] is False
    assert shown["spend"]["budget"]["cost"] == 3
    assert (await http.get(f"{API}/missions/{uuid4()}")).status_code == 404


async def test_roles_and_workers_say_who_plays_what(http, queue, db) -> None:
    await queue.enqueue("resize", {})
    await FakeWorker(db, "resize").register(name="host:1")
    [role] = (await get(http, "/roles"))["roles"]
    assert (role["role"], role["ready"], role["played_by"]) == ("resize", 1, ["host:1"])
    [worker] = (await get(http, "/workers"))["workers"]
    assert (worker["name"], worker["roles"], worker["running"]) == ("host:1", ["resize"], 0)


async def test_a_role_is_paused_and_resumed_whatever_it_is_called(http, queue, db) -> None:
    for name, path in (("a/b pause", "a%2Fb%20pause"), ("résumé", "r%C3%A9sum%C3%A9")):
        await queue.enqueue(name, {})
        expected = {"role": name, "paused": True, "changed": True}
        assert await post(http, f"/roles/{path}/pause", reason="printer burns") == expected
        assert (await post(http, f"/roles/{path}/pause"))["changed"] is False
        role = next(r for r in (await get(http, "/roles"))["roles"] if r["role"] == name)
        assert (role["paused"], role["paused_by"], role["paused_reason"]) == (True, OPERATOR, "printer burns")
        assert await post(http, f"/roles/{path}/resume") == {**expected, "paused": False}
    assert (await http.post(f"{API}/roles/{'x' * 201}/pause")).status_code == 422


async def test_dispatch_says_what_can_run_and_what_cannot(http, queue, db) -> None:
    await queue.enqueue("resize", {})
    await queue.enqueue("nobody", {})
    await FakeWorker(db, "resize").register()
    roles = {role["role"]: role for role in (await post(http, "/tasks/dispatch"))["roles"]}
    assert "1 can run now" in roles["resize"]["why"] and "no live worker" in roles["nobody"]["why"]


async def test_a_dry_run_says_what_would_become_of_a_graph_and_writes_nothing(http, queue, db) -> None:
    tasks = [{"role": "resize", "id": "a"}, {"role": "montage", "depends_on": ["a"]}]
    checked = (await post(http, "/tasks/check", tasks=tasks))["tasks"]
    assert [(task["role"], task["status"]) for task in checked] == [
        ("resize", "queued"),
        ("montage", "blocked"),
    ]
    assert "no live worker plays role resize" in checked[0]["note"]
    answer = await http.post(
        f"{API}/tasks/check", json={"tasks": [{"role": "r", "depends_on": [str(uuid4())]}]}
    )
    assert answer.json()["errors"][0]["field"] == "tasks[0].depends_on"
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_what_waits_and_what_should_not_is_listed_with_why(http, queue, db) -> None:
    first = await queue.enqueue("resize", {})
    blocked = [str(await queue.enqueue("montage", {}, depends_on=[first])) for _ in range(3)]
    found, cursor = [], {}
    while cursor is not None:
        page = await get(http, "/tasks/blocked", limit=2, **cursor)
        found += page["tasks"]
        cursor = {"cursor": page["next"]} if page["next"] else None
    assert [task["id"] for task in found] == blocked and "waits for 1" in found[0]["why"]
    assert [task["id"] for task in (await get(http, "/tasks/orphaned"))["tasks"]] == [str(first)]
    assert (await get(http, "/tasks/stale"))["tasks"] == [] == (await get(http, "/tasks/stuck"))["tasks"]
    await db.execute("update taskq.tasks set run_at = now() - interval '6 min' where id = $1", first)
    await eventually(lambda: stale(http, str(first)))


async def stale(http, id: str) -> bool:
    return [task["id"] for task in (await get(http, "/tasks/stale"))["tasks"]] == [id]


async def test_what_is_stuck_or_can_be_retried_is_listed(http, queue, db) -> None:
    stuck = await queue.enqueue("resize", {})
    await (await FakeWorker(db, "resize").register()).claim_one()
    await db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s' where id = $1", stuck)
    assert [task["why"] for task in (await get(http, "/tasks/stuck"))["tasks"]] == ["its lease ran out"]
    failed = await queue.enqueue("person", {})
    await queue.enqueue("montage", {}, depends_on=[failed])
    await queue.complete(failed, error="no paper")
    [task] = (await get(http, "/tasks/retryable"))["tasks"]
    assert task["id"] == str(failed) and "no paper" in task["why"]


async def test_the_ledger_is_listed_filtered_and_paged(http, queue, db) -> None:
    id = await queue.enqueue("agent", {})
    await db.execute(
        """insert into taskq.tool_calls (task_id, call_id, turn, place, tool, actor, effect, status, input,
             output, attempt, proposed_at, started_at, finished_at)
           select $1, 'call ' || n, n / 2, n % 2, case n % 2 when 0 then 'read_file' else 'run' end, 'agent',
             case n % 2 when 0 then 'read' else 'unsafe' end, 'success', repeat('x', 3000), 'ok', 1,
             now() + n * interval '1 s', now(), now() + interval '2 s' from generate_series(0, 5) n""",
        id,
    )

    async def all_of(path: str, **query: Any) -> list[Any]:
        found: list[Any] = []
        while True:
            page = await get(http, path, limit=2, **query)
            found += page["calls"]
            if page["next"] is None:
                return found
            query["cursor"] = page["next"]

    assert [c["call_id"] for c in await all_of("/audit/tools")] == [f"call {n}" for n in range(5, -1, -1)]
    assert [c["call_id"] for c in await all_of("/audit/tools", tool="run")] == ["call 5", "call 3", "call 1"]
    assert len(await all_of("/audit/tools", effect="read", status="success")) == 3
    assert await all_of("/audit/tools", status=["error", "unknown"]) == []
    assert len(await all_of("/audit/tools", mission=str(id))) == 6
    assert await all_of("/audit/tools", mission=str(uuid4())) == []
    calls = await all_of(f"/tasks/{id}/calls")
    assert [c["call_id"] for c in calls] == [f"call {n}" for n in range(6)]
    assert (len(calls[0]["input"]), calls[0]["took"]) == (3000, 2)
    assert len((await all_of("/audit/tools"))[0]["input"]) == 2000
    assert (await http.get(f"{API}/tasks/{uuid4()}/calls")).status_code == 404


async def test_a_template_is_kept_shown_replaced_and_taken_away(http) -> None:
    path = f"{API}/templates/nightly%2Fbuild"
    task = {"role": "build", "payload": {"branch": "main"}, "timeout": 60.0}
    assert (await http.put(path, json=task)).json() == {"name": "nightly/build"}
    assert (await http.get(path)).json()["task"] == {**(await http.get(path)).json()["task"], **task}
    await http.put(path, json={**task, "priority": 5})
    [kept] = (await get(http, "/templates"))["templates"]
    assert (kept["name"], kept["created_by"], kept["task"]["priority"]) == ("nightly/build", OPERATOR, 5)
    created = await http.post(f"{API}/tasks", json=kept["task"])
    assert created.status_code == 201, created.text
    assert (await http.put(path, json={"role": ""})).json()["errors"][0]["field"] == "role"
    assert (await http.delete(path)).status_code == 200
    assert (await http.delete(path)).status_code == (await http.get(path)).status_code == 404
