"""taskq enqueue."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

import graphs
from cli_runner import Taskq, finish
from fake_worker import FakeWorker
from support import eventually


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


async def test_it_prints_the_id_of_the_row(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = UUID((await taskq("enqueue", "resize")).strip())
    assert (await graphs.row(db, id))["role"] == "resize"
    other = UUID((await taskq.json("enqueue", "resize"))["id"])
    assert await graphs.status(db, other) == "queued"


async def test_a_payload_is_json_or_pairs(taskq: Taskq, db: asyncpg.Connection) -> None:
    id = UUID((await taskq("enqueue", "r", '{"a": [1, {"b": null}]}')).strip())
    assert (await graphs.row(db, id))["payload"] == {"a": [1, {"b": None}]}
    id = UUID((await taskq("enqueue", "r", "path=a=b.png", "zip=01234", "n:=3", "deep:=[1]")).strip())
    assert (await graphs.row(db, id))["payload"] == {"path": "a=b.png", "zip": "01234", "n": 3, "deep": [1]}


@pytest.mark.parametrize("payload", ["{", "word", "=x", ":=1", "n:=", "n:=NaN", '{"a": Infinity}'])
async def test_what_is_no_payload_is_refused(taskq: Taskq, db: asyncpg.Connection, payload: str) -> None:
    assert "Invalid value" in await taskq.error("enqueue", "r", payload, code=2)
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_every_option_reaches_its_column(taskq: Taskq, db: asyncpg.Connection) -> None:
    parent, first, second = [UUID((await taskq("enqueue", "r")).strip()) for _ in range(3)]
    id = await taskq(
        "enqueue", "r", "--name", "a name", "--priority", -3, "--delay", "2min", "--depends-on", first,
        "--depends-on", second.hex[-10:], "--on-dependency-failure", "run", "--requires-approval",
        "--dedup-key", "k", "--mission", parent, "--parent", parent.hex[-12:], "--timeout", "90s",
        "--max-attempts", 2, "--actor", "ann",
    )  # fmt: skip
    row = await graphs.row(db, UUID(id.strip()))
    assert row["run_at"] - row["created_at"] == timedelta(minutes=2)
    assert {name: row[name] for name in ("name", "priority", "depends_on", "on_dependency_failure")} == {
        "name": "a name", "priority": -3, "depends_on": [first, second], "on_dependency_failure": "run",
    }  # fmt: skip
    assert row["requires_approval"]
    assert (row["dedup_key"], row["mission_id"], row["parent_id"]) == ("k", parent, parent)
    assert (row["timeout"], row["max_attempts"], row["created_by"]) == (timedelta(seconds=90), 2, "ann")


async def test_a_live_dedup_key_prints_the_first_id(taskq: Taskq) -> None:
    first = await taskq("enqueue", "r", "--dedup-key", "k")
    assert await taskq("enqueue", "r", "--dedup-key", "k") == first


async def test_a_refused_task_is_exit_code_2(taskq: Taskq) -> None:
    error = await taskq.error("enqueue", "r", "--depends-on", uuid4(), code=2)
    assert "does not exist" in error
    assert len(error.splitlines()) == 1


async def test_wait_ends_when_the_task_does(taskq: Taskq, db: asyncpg.Connection) -> None:
    worker = await FakeWorker(db, "good", "bad").register()
    good = await taskq.start("enqueue", "good", "--wait")
    (task,) = await eventually(lambda: worker.claim(1))
    await worker.complete(task, result={"n": 1})
    code, out, _ = await finish(good)
    assert (code, out) == (0, f'{task["id"]}\ncompleted: {{"n": 1}}\n')

    bad = await taskq.start("enqueue", "bad", "--wait", "--json")
    (task,) = await eventually(lambda: worker.claim(1))
    await worker.fail(task, "tool_error", "no \x1b[31mway", final=True)
    code, out, _ = await finish(bad)
    assert code == 1
    assert json.loads(out) == {
        "id": str(task["id"]), "status": "failed", "result": None,
        "error_kind": "tool_error", "error": "no \x1b[31mway",
    }  # fmt: skip
    assert "\x1b" not in out


GRAPH = [
    {"id": "last", "role": "join", "depends_on": ["left", "right"], "mission_id": "first", "timeout": "2min"},
    {"id": "left", "role": "work", "depends_on": ["first"], "parent_id": "first"},
    {"id": "right", "role": "work", "depends_on": ["first"], "parent_id": "first"},
    {"id": "first", "role": "split", "payload": {"n": 2}},
]


async def test_a_file_is_a_whole_graph_with_labels(
    taskq: Taskq, db: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(GRAPH))
    printed = (await taskq("enqueue", "--file", file)).split()
    ids = {label: UUID(id) for id, label in zip(printed[::2], printed[1::2], strict=True)}
    rows = {label: await graphs.row(db, id) for label, id in ids.items()}
    assert set(rows["last"]["depends_on"]) == {ids["left"], ids["right"]}
    assert {row["mission_id"] for row in rows.values()} == {ids["first"]}
    assert rows["left"]["parent_id"] == ids["first"]
    assert {label: row["status"] for label, row in rows.items()} == {
        "first": "queued", "left": "blocked", "right": "blocked", "last": "blocked",
    }  # fmt: skip
    assert {id.version for id in ids.values()} == {7}


async def test_a_graph_is_read_from_stdin(taskq: Taskq, db: asyncpg.Connection) -> None:
    facts = await taskq.json("enqueue", "--file", "-", input=json.dumps(GRAPH))
    assert [fact["label"] for fact in facts] == ["last", "left", "right", "first"]
    assert await db.fetchval("select count(*) from taskq.tasks") == 4


async def test_a_graph_may_join_what_is_there(taskq: Taskq, db: asyncpg.Connection) -> None:
    there, chosen = UUID((await taskq("enqueue", "r")).strip()), uuid4()
    graph = [{"id": str(chosen), "role": "r", "depends_on": [str(there)]}, {"role": "r"}]
    facts = await taskq.json("enqueue", "--file", "-", "--mission", there, input=json.dumps(graph))
    assert facts[0] == {"id": str(chosen)}
    rows = [await graphs.row(db, UUID(fact["id"])) for fact in facts]
    assert rows[0]["depends_on"] == [there]
    assert {row["mission_id"] for row in rows} == {there}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "no JSON"),
        ("{}", "array of tasks"),
        ("[1]", "array of tasks"),
        ('[{"payload": {}}]', "task 1 of the file has no role"),
        ('[{"role": "r", "id": 7}]', "id must be a label"),
        ('[{"role": "r", "depends_on": "x"}]', "must be an array"),
        ('[{"role": "r", "depends_on": ["x"]}]', "no task of the file has the id 'x'"),
        ('[{"role": "r", "id": "a"}, {"role": "r", "id": "a"}]', "2 tasks of the file have the id 'a'"),
        ('[{"role": "r", "colour": "red"}]', 'unknown column "colour"'),
        ('[{"role": "r", "id": "a", "depends_on": ["a"]}]', "depends on itself"),
        (
            '[{"role": "r", "id": "a", "depends_on": ["b"]}, {"role": "r", "id": "b", "depends_on": ["a"]}]',
            "cycle",
        ),
    ],
)
async def test_a_graph_that_is_none_is_refused_whole(
    taskq: Taskq, db: asyncpg.Connection, text: str, says: str
) -> None:
    assert says in await taskq.error("enqueue", "--file", "-", code=2, input=text)
    assert await db.fetchval("select count(*) from taskq.tasks") == 0


async def test_a_file_and_a_role_exclude_each_other(taskq: Taskq) -> None:
    await taskq.error("enqueue", "r", "--file", "-", code=2, input="[]")
    await taskq.error("enqueue", "--file", "-", "--priority", 3, code=2, input="[]")
    assert await taskq.json("enqueue", "--file", "-", input="[]") == []
