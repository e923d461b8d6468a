"""Tasks over HTTP: put in, listed, looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from taskq import Queue
from web_client import OPERATOR, client

API = "/api/v1"


@pytest.fixture
async def http(dsn: str):
    async with client(dsn) as opened:
        yield opened


async def create(http: httpx2.AsyncClient, role: str = "resize", **columns: Any) -> str:
    answer = await http.post(f"{API}/tasks", json={"role": role, **columns})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def listed(http: httpx2.AsyncClient, **query: Any) -> list[str]:
    """The names on all pages."""
    names: list[str] = []
    while True:
        answer = await http.get(f"{API}/tasks", params=query)
        assert answer.status_code == 200, answer.text
        names += [task["name"] for task in answer.json()["tasks"]]
        if (cursor := answer.json()["next"]) is None:
            return names
        query["cursor"] = cursor


async def test_a_task_is_put_in_with_its_columns_and_by_whom(http, db: asyncpg.Connection) -> None:
    parent = await create(http)
    id = await create(
        http, name="small", payload={"path": "ä.png"}, priority=3, delay=90, timeout=1.5, max_attempts=2,
        depends_on=[parent], on_dependency_failure="run", dedup_key="a", parent_id=parent,
    )  # fmt: skip
    row = await db.fetchrow("select * from taskq.tasks where id = $1", UUID(id))
    assert (row["name"], row["payload"], row["priority"]) == ("small", {"path": "ä.png"}, 3)
    assert (row["timeout"], row["max_attempts"]) == (timedelta(seconds=1.5), 2)
    assert (row["depends_on"], row["on_dependency_failure"]) == ([UUID(parent)], "run")
    assert (row["created_by"], str(row["mission_id"])) == (OPERATOR, parent)
    assert timedelta(seconds=80) < row["run_at"] - row["created_at"] < timedelta(seconds=100)


async def test_a_live_task_with_the_dedup_key_is_found_in_place_of_a_new_one(http, db) -> None:
    first = await http.post(f"{API}/tasks", json={"role": "resize", "dedup_key": "a.png"})
    again = await http.post(f"{API}/tasks", json={"role": "resize", "dedup_key": "a.png"})
    assert first.json()["existing"] is False
    assert again.json() == {"id": first.json()["id"], "existing": True}
    assert await db.fetchval("select count(*) from taskq.tasks") == 1


async def test_a_graph_is_put_in_at_once_and_its_labels_become_ids(http, db) -> None:
    tasks = [
        {"role": "montage", "id": "last", "depends_on": ["first", "second"], "parent_id": "first"},
        {"role": "resize", "id": "first"},
        {"role": "resize", "id": "second", "mission_id": "first"},
    ]
    answer = await http.post(f"{API}/tasks/graph", json={"tasks": tasks})
    assert answer.status_code == 201, answer.text
    last, first, second = (UUID(task["id"]) for task in answer.json()["tasks"])
    row = await db.fetchrow("select * from taskq.tasks where id = $1", last)
    assert (set(row["depends_on"]), row["status"], row["mission_id"]) == ({first, second}, "blocked", first)


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({}, "role"),
        ({"role": ""}, "role"),
        ({"role": "r" * 201}, "role"),
        ({"role": "resize", "payload": []}, "payload"),
        ({"role": "resize", "colour": "red"}, "colour"),
        ({"role": "resize", "priority": 40000}, "priority"),
        ({"role": "resize", "max_attempts": 0}, "max_attempts"),
        ({"role": "resize", "timeout": 0}, "timeout"),
        ({"role": "resize", "run_at": "soon"}, "run_at"),
        ({"role": "resize", "depends_on": ["x"]}, "depends_on[0]"),
        ({"role": "resize", "depends_on": [str(uuid4())]}, "depends_on"),
        ({"role": "resize", "parent_id": str(uuid4())}, "parent_id"),
        ({"role": "resize", "payload": {"a": "\0"}}, "payload.a"),
        ({"role": "resize", "name": "\0"}, "name"),
    ],
)
async def test_what_is_refused_names_its_field(http, db, task: dict[str, Any], field: str) -> None:
    answer = await http.post(f"{API}/tasks", json=task)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["field"] for error in problem["errors"]] == [field], problem
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_a_refused_graph_names_the_task_and_the_field_and_leaves_nothing(http, db) -> None:
    for tasks, field in [
        ([{"role": "a"}, {"role": "b", "depends_on": ["x"]}], "tasks[1].depends_on[0]"),
        ([{"role": "a", "id": "x"}, {"role": "b", "id": "x"}], "tasks[1].id"),
        ([{"role": "a"}, {"role": "b", "timeout": -1}], "tasks[1].timeout"),
        ([{"role": "a"}, {"role": "b", "parent_id": str(uuid4())}], "tasks[1].parent_id"),
        ([{"role": "a"}, {"role": "b", "depends_on": [str(uuid4())]}], "tasks[1].depends_on"),
    ]:
        answer = await http.post(f"{API}/tasks/graph", json={"tasks": tasks})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field], answer.json()
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_the_list_goes_on_where_it_was_while_tasks_come_in(http) -> None:
    for number in range(5):
        await create(http, name=str(number))
    first = (await http.get(f"{API}/tasks", params={"limit": 2})).json()
    assert [task["name"] for task in first["tasks"]] == ["4", "3"]
    await create(http, name="new")
    second = (await http.get(f"{API}/tasks", params={"limit": 2, "cursor": first["next"]})).json()
    assert [task["name"] for task in second["tasks"]] == ["2", "1"]
    third = (await http.get(f"{API}/tasks", params={"limit": 2, "cursor": second["next"]})).json()
    assert ([task["name"] for task in third["tasks"]], third["next"]) == (["0"], None)


async def test_tasks_whose_ids_clients_chose_have_their_place_in_time(http) -> None:
    chosen = [f"{digit * 8}-0000-4000-8000-000000000000" for digit in "f0a5"]
    for number, id in enumerate(chosen):
        await create(http, name=f"own {number}")
        await create(http, name=f"chosen {number}", id=id)
    expected = [f"{kind} {number}" for number in (3, 2, 1, 0) for kind in ("chosen", "own")]
    assert [sorted(pair) for pair in pairs(await listed(http, limit=1))] == [
        sorted(pair) for pair in pairs(expected)
    ]


def pairs(names: list[str]) -> list[list[str]]:
    return [names[n : n + 2] for n in range(0, len(names), 2)]


async def test_ids_that_differ_only_where_time_stands_are_all_listed(http) -> None:
    ids = [f"{digit * 8}-0000-4000-8000-000000000001" for digit in "abcdef"]
    graph = {"tasks": [{"role": "resize", "id": id, "name": id[0]} for id in ids]}
    assert (await http.post(f"{API}/tasks/graph", json=graph)).status_code == 201
    assert sorted(await listed(http, limit=1)) == list("abcdef")


async def test_the_list_is_filtered(http) -> None:
    root = await create(http, name="root")
    await create(http, "montage", name="child", parent_id=root, requires_approval=True)
    await create(http, "other", name="100%_sure", payload={"text": 'say "hi" to Ärger'})
    assert await listed(http, role="montage") == ["child"]
    assert await listed(http, role=["montage", "other"]) == ["100%_sure", "child"]
    assert await listed(http, status="awaiting_approval") == ["child"]
    assert await listed(http, status=["awaiting_approval", "queued"], limit=1) == [
        "100%_sure",
        "child",
        "root",
    ]
    assert await listed(http, mission=root) == ["child", "root"]
    assert await listed(http, text="ärger") == ["100%_sure"]
    assert await listed(http, text="0%_S") == ["100%_sure"]
    assert await listed(http, text="0__s") == []
    assert await listed(http, text=root[-12:]) == ["root"]


async def test_the_list_is_filtered_by_the_time_of_creation(http, db) -> None:
    await create(http, name="before")
    moment = await db.fetchval("select clock_timestamp() from pg_sleep(0.005)")
    await db.execute("select pg_sleep(0.005)")
    await create(http, name="after")
    assert await listed(http, since=moment.isoformat()) == ["after"]
    assert await listed(http, until=moment.isoformat()) == ["before"]
    assert await listed(http, until=moment.isoformat(), since=moment.isoformat()) == []


async def test_a_text_is_looked_for_page_by_page_however_rare_it_is(http, monkeypatch) -> None:
    from taskq.web.api import listing

    monkeypatch.setattr(listing, "TEXT_WINDOW", 3)
    for number in range(8):
        await create(http, name=f"task {number}")
    first = (await http.get(f"{API}/tasks", params={"text": "task 0"})).json()
    assert first["tasks"] == [] and first["next"]
    assert await listed(http, text="task 0") == ["task 0"]
    assert await listed(http, text="task", limit=2) == [f"task {n}" for n in reversed(range(8))]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"status": "done"}, "status[0]"),
        ({"mission": "null"}, "mission"),
        ({"since": "0"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "Ww"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"color": "red"}, "color"),
        ({"text": "\0"}, "text"),
    ],
)
async def test_a_wrong_parameter_is_named(http, query: dict[str, Any], field: str) -> None:
    answer = await http.get(f"{API}/tasks", params=query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field], answer.json()


async def test_a_task_is_shown_with_all_that_there_is_to_know(http, queue: Queue) -> None:
    first = await create(http)
    id = await create(http, payload={"n": 123456789012345678901234567890}, depends_on=[first], name="b")
    child = await create(http, depends_on=[id], parent_id=id)
    await queue.cancel(UUID(id), "not needed", "bob")
    task = (await http.get(f"{API}/tasks/{id}")).json()
    assert task["payload"] == {"n": 123456789012345678901234567890}
    assert (task["status"], task["error_kind"], task["name"]) == ("cancelled", "cancelled", "b")
    assert [(d["id"], d["status"], d["met"]) for d in task["dependencies"]] == [(first, "queued", False)]
    assert [d["id"] for d in task["dependents"]] == [child] == [c["id"] for c in task["children"]]
    assert [(e["verb"], e["from"], e["actor"], e["reason"]) for e in task["events"]] == [
        ("cancel", "blocked", "bob", "not needed")
    ]
    assert task["explain"].startswith("cancelled") and task["timeout"] == 1800
    assert task["counts"]["dependents"] == 1


async def test_numbers_and_times_that_only_postgres_knows_break_no_answer(http, db) -> None:
    await db.execute(
        """insert into taskq.tasks (role, payload, run_at)
           values ('big', '{"n": 1e400}', '20000-01-01'), ('big', '{}', 'infinity'),
                  ('big', '{}', '-infinity')"""
    )
    tasks = (await http.get(f"{API}/tasks")).json()["tasks"]
    assert len(tasks) == 3
    for task in tasks:
        assert (await http.get(f"{API}/tasks/{task['id']}")).status_code == 200


async def test_the_conversation_goes_out_as_it_is_page_by_page(http, db) -> None:
    id = await create(http)
    await db.execute(
        """insert into taskq.messages (task_id, seq, role, body, attempt, usage)
           select $1, n, 'user', '[{"type": "text", "text": "\\u0000 ' || n || '"}]', 1, '{"input_tokens": 3}'
           from generate_series(0, 4) n""",
        UUID(id),
    )
    await db.execute(
        """insert into taskq.messages (task_id, seq, role, body, attempt)
           values ($1, 5, 'user', 'no {json', 1)""",
        UUID(id),
    )
    first = (await http.get(f"{API}/tasks/{id}/messages", params={"limit": 4})).json()
    assert [m["body"][0]["text"] for m in first["messages"]] == [f"\0 {n}" for n in range(4)]
    assert first["messages"][0]["usage"] == {"input_tokens": 3} and first["next"] == 3
    rest = (await http.get(f"{API}/tasks/{id}/messages", params={"limit": 4, "after": 3})).json()
    assert [m["body"] for m in rest["messages"]][1:] == ["no {json"] and rest["next"] is None


async def test_log_and_timeline_are_shown(http, db) -> None:
    id = await create(http)
    await db.execute(
        "insert into taskq.logs (task_id, attempt, line) values ($1, 1, 'one'), ($1, 1, 'two')", UUID(id)
    )
    log = (await http.get(f"{API}/tasks/{id}/logs", params={"limit": 1})).json()
    assert [line["line"] for line in log["logs"]] == ["one"] and log["next"]
    log = (await http.get(f"{API}/tasks/{id}/logs", params={"after": log["next"]})).json()
    assert [line["line"] for line in log["logs"]] == ["two"] and log["next"] is None
    timeline = (await http.get(f"{API}/tasks/{id}/timeline")).json()["timeline"]
    assert [t["what"] for t in timeline] == ["created", "log", "log"]


async def test_of_a_task_that_is_not_there_nothing_is_shown(http) -> None:
    for what in ("", "/explain", "/messages", "/logs", "/timeline", "/cancel"):
        answer = await http.get(f"{API}/tasks/{uuid4()}{what}")
        assert (answer.status_code, answer.json()["status"]) == (404, 404), what
