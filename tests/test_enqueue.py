"""A row comes in: by any INSERT, or by taskq.enqueue."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, row, status, statuses


async def enqueue(db: asyncpg.Connection, *tasks: dict[str, object]) -> list[UUID]:
    return await db.fetchval("select taskq.enqueue($1)", list(tasks))


async def is_empty(db: asyncpg.Connection) -> bool:
    return not await db.fetchval("select exists (select from taskq.tasks)")


# INSERT


async def test_a_role_is_all_that_a_task_needs(db):
    await db.execute("insert into taskq.tasks (role) values ('SABINE_ARCHITECT')")
    task = await db.fetchrow("select *, status::text as status from taskq.tasks")
    assert task["id"].version == 7
    assert (task["status"], task["payload"], task["priority"], task["depends_on"]) == ("queued", {}, 0, [])
    assert (task["max_attempts"], task["timeout"]) == (4, timedelta(minutes=30))
    assert (task["mission_id"], task["parent_id"]) == (task["id"], None)
    assert (task["attempt"], task["waiting_on"], task["requires_approval"]) == (0, 0, False)
    assert task["created_by"] == await db.fetchval("select session_user::text")
    assert task["run_at"] == task["created_at"]


async def test_ids_rise_with_time(db):
    tasks = [await insert(db) for _ in range(20)]
    assert [task.version for task in tasks] == [7] * 20
    assert [task.variant for task in tasks] == ["specified in RFC 4122"] * 20
    milliseconds = [task.int >> 80 for task in tasks]
    assert milliseconds == sorted(milliseconds)
    now = await db.fetchval("select extract(epoch from clock_timestamp()) * 1000")
    assert 0 <= now - milliseconds[-1] < 60_000


async def test_what_a_role_declares_is_the_default_of_its_tasks(db):
    await db.execute(
        "select taskq.declare_roles($1)",
        [{"name": ROLE, "timeout": "5 min", "max_attempts": 2}, {"name": "plain"}],
    )
    declared, own, plain = [
        await row(db, task)
        for task in (
            await insert(db),
            await insert(db, max_attempts=9, timeout=timedelta(hours=1)),
            await insert(db, "plain"),
        )
    ]
    assert (declared["max_attempts"], declared["timeout"]) == (2, timedelta(minutes=5))
    assert (own["max_attempts"], own["timeout"]) == (9, timedelta(hours=1))
    assert (plain["max_attempts"], plain["timeout"]) == (4, timedelta(minutes=30))


async def test_a_role_that_is_declared_anew_has_the_new_defaults(db):
    for attempts in (2, 3):
        await db.execute("select taskq.declare_roles($1)", [{"name": ROLE, "max_attempts": attempts}])
    assert (await row(db, await insert(db)))["max_attempts"] == 3


@pytest.mark.parametrize(
    "column,value,says",
    [
        ("role", "''", "role_is_a_name_of_at_most_200_characters"),
        ("role", "repeat('x', 201)", "role_is_a_name_of_at_most_200_characters"),
        ("role", "null", "role"),
        ("payload", "'[1]'", "payload_is_an_object"),
        ("payload", "'\"text\"'", "payload_is_an_object"),
        ("payload", "'null'", "payload_is_an_object"),
        ("payload", "'{'", "json"),
        ("on_dependency_failure", "'explode'", "on_dependency_failure_is_fail_run_or_wait"),
        ("max_attempts", "0", "max_attempts_is_positive"),
        ("timeout", "'0 s'", "timeout_is_positive"),
        ("timeout", "'-1 min'", "timeout_is_positive"),
        ("priority", "40000", "out of range"),
        ("run_at", "'someday'", "timestamp"),
        ("parent_id", "gen_random_uuid()", "parent_id"),
        ("concurrency_key", "'k'", "concurrency_key is not supported yet"),
        ("colour", "'red'", "colour"),
        ("status", "'completed'", "not for clients to set"),
        ("status", "'done'", "done"),
        ("lease", "7", "not for clients to set"),
        ("attempt", "3", "not for clients to set"),
        ("waiting_on", "1", "not for clients to set"),
        ("worker_id", "gen_random_uuid()", "not for clients to set"),
        ("result", "'{}'", "not for clients to set"),
        ("finished_at", "now()", "not for clients to set"),
    ],
)
async def test_a_wrong_value_is_refused_by_name_and_nothing_is_written(db, column, value, says):
    columns, values = ("role", value) if column == "role" else (f"role, {column}", f"'work', {value}")
    with pytest.raises(asyncpg.PostgresError, match=says):
        await db.execute(f"insert into taskq.tasks ({columns}) values ({values})")  # noqa: S608
    assert await is_empty(db)


async def test_one_wrong_row_refuses_the_whole_insert(db):
    with pytest.raises(asyncpg.CheckViolationError):
        await db.execute("insert into taskq.tasks (role, payload) values ('work', '{}'), ('work', '[]')")
    assert await is_empty(db)


async def test_unicode_and_depth_come_back_as_they_went_in(db):
    payload = {"text": "Grüße, 世界 🦊 \u2028 \\ \" '", "deep": [[[{"x": [1.5, None, True, -0.25]}]]]}
    assert (await row(db, await insert(db, payload=payload)))["payload"] == payload
    name = "rôle with spaces, 'quotes' and 世界"
    await insert(db, name)
    assert (await FakeWorker(db, name).claim_one())["role"] == name


async def test_a_task_that_requires_approval_awaits_it(db):
    assert await status(db, await insert(db, requires_approval=True)) == "awaiting_approval"


# missions


async def test_all_that_descends_from_a_task_is_of_its_mission(db):
    root = await insert(db)
    child = await insert(db, parent_id=root)
    grandchild = await insert(db, parent_id=child)
    found = await db.fetch("select mission_id from taskq.tasks where id = any($1)", [root, child, grandchild])
    assert {task["mission_id"] for task in found} == {root}


async def test_a_mission_may_be_named(db):
    root, other = await insert(db), await insert(db)
    assert (await row(db, await insert(db, parent_id=other, mission_id=root)))["mission_id"] == root


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
async def test_a_family_in_one_insert_is_one_mission_in_any_order(db, order):
    root, *family = [await insert(db), *ids(4)]
    parents = [root, *family]
    await db.execute(
        "insert into taskq.tasks (id, parent_id, role) "
        "select i, p, 'work' from unnest($1::uuid[], $2::uuid[]) u (i, p)",
        [family[n] for n in order],
        [parents[n] for n in order],
    )
    assert {tuple(t) for t in await db.fetch("select mission_id from taskq.tasks")} == {(root,)}


# dedup_key


async def test_a_second_live_task_with_a_dedup_key_is_refused(db):
    await insert(db, dedup_key="k")
    with pytest.raises(asyncpg.UniqueViolationError, match="one_live_task_per_dedup_key"):
        await insert(db, "other", dedup_key="k")


@pytest.mark.parametrize("live", ["blocked", "awaiting_approval", "in_progress"])
async def test_a_dedup_key_is_taken_in_every_status_that_is_not_final(db, live):
    if live == "blocked":
        await insert(db, depends_on=[await insert(db, "parent")], dedup_key="k")
    else:
        await insert(db, requires_approval=live == "awaiting_approval", dedup_key="k")
    if live == "in_progress":
        await FakeWorker(db, ROLE).claim_one()
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(db, dedup_key="k")


async def test_a_dedup_key_is_free_again_when_its_task_has_ended(db):
    first = await insert(db, dedup_key="k")
    worker = FakeWorker(db, ROLE)
    await worker.complete(await worker.claim_one())
    second = await insert(db, dedup_key="k")
    await db.execute("select taskq.cancel($1)", second)
    third = await insert(db, dedup_key="k")
    assert await statuses(db, first, second, third) == ["completed", "cancelled", "queued"]


async def test_a_retry_whose_dedup_key_is_taken_is_refused_and_says_why(db):
    first = await insert(db, dedup_key="k")
    await db.execute("select taskq.cancel($1)", first)
    await insert(db, dedup_key="k")
    with pytest.raises(asyncpg.PostgresError, match="dedup_key") as refusal:
        await db.execute("select taskq.retry($1)", first)
    assert (refusal.value.sqlstate, await status(db, first)) == ("TQ004", "cancelled")


# taskq.enqueue


async def test_enqueue_returns_the_ids_in_the_order_of_the_tasks(db):
    chosen = uuid4()
    tasks = await enqueue(db, {"role": "a"}, {"role": "b", "id": str(chosen)}, {"role": "c"})
    assert tasks[1] == chosen
    found = await db.fetch(
        "select role from taskq.tasks where id = any($1) order by array_position($1, id)", tasks
    )
    assert [task["role"] for task in found] == ["a", "b", "c"]


async def test_enqueue_of_nothing_does_nothing(db):
    assert await enqueue(db) == []


async def test_enqueue_gives_what_is_left_out_its_default_row_by_row(db):
    full = {
        "role": "a", "name": "n", "payload": {"x": 1}, "priority": 5, "max_attempts": 2, "timeout": "1 h",
        "requires_approval": True, "created_by": "someone", "traceparent": "00-0-0-00",
        "on_dependency_failure": "run",
    }  # fmt: skip
    one, two = [await row(db, task) for task in await enqueue(db, full, {"role": "b"})]
    assert {key: one[key] for key in full} == full | {"timeout": timedelta(hours=1)}
    user = await db.fetchval("select session_user::text")
    assert (two["name"], two["payload"], two["priority"], two["created_by"]) == (None, {}, 0, user)
    assert (two["max_attempts"], two["timeout"]) == (4, timedelta(minutes=30))


async def test_enqueue_takes_a_delay_in_the_databases_time(db):
    (task,) = await enqueue(db, {"role": ROLE, "delay": "90 seconds"})
    after = await row(db, task)
    assert after["run_at"] - after["created_at"] == timedelta(seconds=90)


async def test_enqueue_takes_a_graph_in_any_order(db):
    one, two, three = ids(3)
    await enqueue(
        db,
        {"role": ROLE, "id": str(three), "depends_on": [str(one), str(two)]},
        {"role": ROLE, "id": str(two), "depends_on": [str(one)]},
        {"role": ROLE, "id": str(one)},
    )
    assert await FakeWorker(db, ROLE).drain() == 3


async def test_enqueue_returns_the_live_task_with_the_dedup_key(db):
    (first,) = await enqueue(db, {"role": ROLE, "dedup_key": "k"})
    assert await enqueue(db, {"role": ROLE, "dedup_key": "k"}, {"role": ROLE, "dedup_key": "l"}) != [
        first,
        first,
    ]
    (again, other) = await enqueue(db, {"role": ROLE, "dedup_key": "k"}, {"role": "other"})
    assert again == first
    assert await status(db, other) == "queued"
    assert await db.fetchval("select count(*) from taskq.tasks where dedup_key = 'k'") == 1


async def test_what_depends_on_a_task_that_was_there_already_depends_on_that_one(db):
    (first,) = await enqueue(db, {"role": "parent", "dedup_key": "k"})
    parent, child = ids(2)
    given = await enqueue(
        db,
        {"role": ROLE, "id": str(child), "depends_on": [str(parent)], "parent_id": str(parent)},
        {"role": "parent", "id": str(parent), "dedup_key": "k"},
    )
    assert given == [child, first]
    after = await row(db, child)
    assert (after["depends_on"], after["parent_id"], after["mission_id"]) == ([first], first, first)
    parents = FakeWorker(db, "parent")
    await parents.complete(await parents.claim_one())
    assert await status(db, child) == "queued"


@pytest.mark.parametrize(
    "task,says",
    [
        ({"role": ROLE, "colour": "red"}, 'unknown column "colour"'),
        ({"role": ROLE, "status": "completed"}, 'unknown column "status"'),
        ({"role": ROLE, "lease": 7}, 'unknown column "lease"'),
        ({"role": ROLE, "rerun_of": str(uuid4())}, 'unknown column "rerun_of"'),
        ({}, "role"),
        ({"role": ROLE, "payload": [1]}, "payload_is_an_object"),
        ({"role": ROLE, "delay": "soon"}, "interval"),
        ({"role": ROLE, "depends_on": "x"}, "array|uuid"),
        ({"role": ROLE, "id": "x"}, "uuid"),
    ],
)
async def test_enqueue_refuses_what_is_wrong_and_writes_nothing(db, task, says):
    with pytest.raises(asyncpg.PostgresError, match=says):
        await enqueue(db, {"role": ROLE}, task)
    assert await is_empty(db)


async def test_enqueue_of_an_id_that_exists_is_refused(db):
    task = await insert(db)
    with pytest.raises(asyncpg.UniqueViolationError, match="tasks_pkey"):
        await enqueue(db, {"role": ROLE, "id": str(task), "dedup_key": "k"})


async def test_enqueue_joins_the_callers_transaction(db, connect):
    undo = db.transaction()
    await undo.start()
    await enqueue(db, {"role": ROLE})
    assert await is_empty(await connect())
    await undo.rollback()
    assert await is_empty(db)
