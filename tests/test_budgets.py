"""Budgets: reserved at worst before a call, settled after it, on everything above the task."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from conftest import Connect
from fake_worker import FakeWorker


async def insert(db: asyncpg.Connection, parent: UUID | None = None, role: str = "r") -> UUID:
    id: UUID = await db.fetchval(
        "insert into taskq.tasks (role, parent_id) values ($1, $2) returning id", role, parent
    )
    return id


async def run_all(db: asyncpg.Connection, role: str = "r") -> FakeWorker:
    """A worker that runs every task."""
    worker = await FakeWorker(db, role).register()
    await worker.claim(1000)
    return worker


async def budget(db: asyncpg.Connection, scope: str, key: Any, **limits: Any) -> None:
    await db.execute("select taskq.set_budget($1, $2, $3, 'ann')", scope, str(key), limits)


async def reserve(db: asyncpg.Connection, id: UUID, tokens: int = 10, cost: float = 0, seq: int = 1) -> Any:
    """None, or the sentence on the budget that does not hold."""
    return await db.fetchval(
        "select taskq.reserve(t, $2, $3, $4) from taskq.tasks t where t.id = $1", id, seq, tokens, cost
    )


async def settle(db: asyncpg.Connection, id: UUID, tokens: int, cost: float = 0) -> None:
    await db.execute("select taskq.settle($1, $2, $3)", id, tokens, cost)


async def call_tool(db: asyncpg.Connection, id: UUID) -> Any:
    return await db.fetchval("select taskq.count_call(t) from taskq.tasks t where t.id = $1", id)


async def used(db: asyncpg.Connection, scope: str, key: Any) -> tuple[Any, ...]:
    """Tokens, US dollars, turns and tool calls."""
    row = await db.fetchrow(
        "select tokens_used, cost_used, turns_used, tool_calls_used from taskq.spend"
        " where scope = $1 and key = $2",
        scope,
        str(key),
    )
    return tuple(row)


async def one(db: asyncpg.Connection) -> UUID:
    """A task that runs."""
    id = await insert(db)
    await run_all(db)
    return id


async def test_a_task_without_budgets_may_do_anything_and_nothing_is_written(db) -> None:
    id = await one(db)
    assert await reserve(db, id, 10**9, 10**6) is None
    assert await call_tool(db, id) is None
    await settle(db, id, 5)
    assert await db.fetchval("select count(*) from taskq.reservations") == 0
    assert await db.fetchval("select count(*) from taskq.budgets") == 0


async def test_the_worst_case_is_used_at_once_and_the_truth_takes_its_place(db) -> None:
    id = await one(db)
    await budget(db, "task", id, tokens=1000)
    assert await reserve(db, id, 800, 0.5) is None
    assert await used(db, "task", id) == (800, Decimal("0.5"), 1, 0)
    await settle(db, id, 120, 0.07)
    assert await used(db, "task", id) == (120, Decimal("0.07"), 1, 0)
    assert await db.fetchval("select count(*) from taskq.reservations") == 0


async def test_a_call_that_did_not_happen_costs_nothing(db) -> None:
    id = await one(db)
    await budget(db, "task", id, turns=1)
    await reserve(db, id, 800, 0.5)
    await db.execute("select taskq.unreserve($1)", id)
    await db.execute("select taskq.unreserve($1)", id)
    assert await used(db, "task", id) == (0, 0, 0, 0)
    assert await reserve(db, id) is None


async def test_what_does_not_fit_is_refused_in_a_sentence_and_nothing_is_reserved(db) -> None:
    id = await one(db)
    await budget(db, "task", id, cost=1.5, tokens=1000)
    await reserve(db, id, 100, 1)
    await settle(db, id, 100, 1)
    assert await reserve(db, id, 50, 0.75, seq=2) == (
        f"budget of task {id}: 1.75 of 1.5 US dollars,"
        " of which 1 are used and 0.75 are for the next call at worst"
    )
    assert await used(db, "task", id) == (100, 1, 1, 0)
    assert await reserve(db, id, 900, 0.5, seq=2) is None  # up to the last token and cent


@pytest.mark.parametrize(
    ("limit", "unit"), [("tokens", "tokens"), ("cost", "US dollars"), ("turns", "turns")]
)
async def test_each_limit_holds(db, limit: str, unit: str) -> None:
    id = await one(db)
    await budget(db, "task", id, **{limit: 1})
    assert await reserve(db, id, 1, 1) is None
    await settle(db, id, 1, 1)
    refusal = await reserve(db, id, 1, 1, seq=2)
    assert f"2 of 1 {unit}" in refusal


async def test_tool_calls_are_counted_and_limited(db) -> None:
    id = await one(db)
    await budget(db, "mission", id, tool_calls=2)
    assert [await call_tool(db, id) for _ in range(2)] == [None, None]
    assert "3 of 2 tool calls" in await call_tool(db, id)
    assert await used(db, "mission", id) == (0, 0, 0, 2)
    assert await reserve(db, id) is None  # turns are another matter


async def test_wall_time_is_counted_once_while_an_attempt_runs(db) -> None:
    id = await one(db)
    await budget(db, "task", id, seconds=100)
    await db.execute("update taskq.tasks set started_at = started_at - interval '60 s'")
    assert await reserve(db, id) is None
    await settle(db, id, 1)
    assert await call_tool(db, id) is None
    seconds = await db.fetchval("select seconds_used from taskq.budgets")
    assert 60 <= seconds < 70
    await db.execute("update taskq.clocks set counted_at = counted_at - interval '50 s'")
    for refusal in (await reserve(db, id, seq=2), await call_tool(db, id)):
        assert "of 100" in refusal
        assert "seconds" in refusal


async def test_a_new_attempt_is_counted_from_its_own_start(db) -> None:
    id = await insert(db)
    worker = await FakeWorker(db, "r").register()
    claim = await worker.claim_one()
    await budget(db, "task", id, seconds=1000)
    await reserve(db, id)
    await worker.release(claim)
    await db.execute("update taskq.clocks set counted_at = counted_at - interval '500 s'")
    await worker.claim_one()
    await reserve(db, id, seq=2)
    assert await db.fetchval("select seconds_used from taskq.budgets") < 10


async def test_every_ancestor_the_mission_and_the_role_count(db) -> None:
    root = await insert(db)
    child = await insert(db, root)
    grandchild = await insert(db, child)
    sibling = await insert(db, root)
    await run_all(db)
    for id in (root, child, grandchild, sibling):
        await budget(db, "task", id, tokens=1000)
    await budget(db, "mission", root, tokens=1000)
    await budget(db, "role", "r", tokens=1000)
    assert await reserve(db, grandchild, 100) is None
    above = [("task", root), ("task", child), ("task", grandchild), ("mission", root), ("role", "r")]
    assert [(await used(db, *one))[0] for one in above] == [100] * 5
    assert await used(db, "task", sibling) == (0, 0, 0, 0)
    await settle(db, grandchild, 30)
    assert [(await used(db, *one))[0] for one in above] == [30] * 5


async def test_an_ancestors_budget_refuses_and_none_of_the_others_is_touched(db) -> None:
    root = await insert(db)
    child = await insert(db, root)
    await run_all(db)
    await budget(db, "task", root, tokens=50)
    await budget(db, "task", child, tokens=1000)
    assert f"budget of task {root}: 60 of 50 tokens" in await reserve(db, child, 60)
    assert await used(db, "task", child) == (0, 0, 0, 0)


async def test_a_fan_out_of_ten_never_overspends(connect: Connect) -> None:
    sessions = [await connect() for _ in range(10)]
    db = sessions[0]
    root = await insert(db)
    children = [await insert(db, root) for _ in range(10)]
    await run_all(db)
    await budget(db, "mission", root, cost=1)

    async def spend(session: asyncpg.Connection, child: UUID) -> int:
        turns = 0
        for seq in range(10):
            if await reserve(session, child, 10, 0.05, seq) is None:
                turns += 1
                assert (await used(session, "mission", root))[1] <= 1
                await settle(session, child, 10, 0.02)
        return turns

    turns = sum(await asyncio.gather(*map(spend, sessions, children)))
    assert await used(db, "mission", root) == (10 * turns, Decimal("0.02") * turns, turns, 0)
    assert 20 <= turns <= 50


async def test_overlapping_budgets_are_locked_in_one_order(connect: Connect) -> None:
    sessions = [await connect() for _ in range(10)]
    db = sessions[0]
    root = await insert(db)
    nodes = [await insert(db, root) for _ in range(3)]
    leaves = [await insert(db, node) for node in nodes for _ in range(4)]
    await run_all(db)
    for id in (root, *nodes, *leaves):
        await budget(db, "task", id, tokens=10**9)
    await budget(db, "mission", root, tokens=10**9)
    await budget(db, "role", "r", tokens=10**9)
    dice = random.Random(7)

    async def work(session: asyncpg.Connection, mine: list[UUID]) -> int:
        for seq in range(20):
            async with session.transaction():
                await reserve(session, dice.choice(mine), 10, 0, seq)
            async with session.transaction():
                for id in mine:
                    await settle(session, id, 3)
        return 20

    shares = [leaves[n :: len(sessions)] for n in range(len(sessions))]
    turns = sum(await asyncio.gather(*map(work, sessions, shares)))
    assert await used(db, "mission", root) == (3 * turns, 0, turns, 0)
    assert await used(db, "task", root) == await used(db, "role", "r") == (3 * turns, 0, turns, 0)


async def test_what_a_crash_left_reserved_stays_used(db) -> None:
    id = await insert(db)
    worker = await FakeWorker(db, "r").register()
    claim = await worker.claim_one()
    await budget(db, "task", id, tokens=250)
    assert await reserve(db, id, 100) is None
    await worker.release(claim)
    await worker.claim_one()
    assert await reserve(db, id, 100) is None
    await settle(db, id, 40)
    assert await used(db, "task", id) == (140, 0, 2, 0)
    assert "260 of 250 tokens" in await reserve(db, id, 120, seq=2)
    assert await used(db, "task", id) == (140, 0, 2, 0)


async def test_the_same_call_reserved_again_is_reserved_once(db) -> None:
    id = await one(db)
    await budget(db, "task", id, tokens=100)
    assert [await reserve(db, id, 80) for _ in range(3)] == [None] * 3
    assert await used(db, "task", id) == (80, 0, 1, 0)


async def test_a_raised_budget_lets_the_work_go_on_and_forgets_nothing(db) -> None:
    id = await one(db)
    await budget(db, "mission", id, tokens=100, turns=5)
    await reserve(db, id, 90)
    await settle(db, id, 90)
    assert await reserve(db, id, 90, seq=2) is not None
    await budget(db, "mission", id, tokens=200)
    assert await reserve(db, id, 90, seq=2) is None
    assert await used(db, "mission", id) == (180, 0, 2, 0)
    row = await db.fetchrow("select tokens, turns, share, set_by from taskq.spend")
    assert (row["tokens"], row["turns"], row["set_by"]) == (200, 5, "ann")
    assert row["share"] == pytest.approx(0.9)
    await budget(db, "mission", id, tokens=None)
    assert await reserve(db, id, 10**6, seq=3) is None


async def test_a_roles_budget_begins_anew_each_day(db) -> None:
    id = await one(db)
    await budget(db, "role", "r", tokens=100)
    await reserve(db, id, 100)
    await settle(db, id, 100)
    assert "budget of role r today: 200 of 100 tokens" in await reserve(db, id, 100, seq=2)
    await db.execute("update taskq.budgets set day = day - 1")
    assert await used(db, "role", "r") == (0, 0, 0, 0)
    assert await reserve(db, id, 100, seq=2) is None
    assert await used(db, "role", "r") == (100, 0, 1, 0)


async def test_a_call_that_ends_after_midnight_is_yesterdays(db) -> None:
    id = await one(db)
    await budget(db, "role", "r", tokens=1000)
    await budget(db, "task", id, tokens=1000)
    await reserve(db, id, 100)
    await db.execute("update taskq.budgets set day = day - 1 where scope = 'role'")
    await db.execute("update taskq.reservations set at = at - interval '1 day'")
    await settle(db, id, 30)
    assert await used(db, "role", "r") == (0, 0, 0, 0)
    assert await used(db, "task", id) == (30, 0, 1, 0)


async def test_a_budget_that_came_during_a_call_is_not_charged_for_it(db) -> None:
    id = await one(db)
    await budget(db, "task", id, tokens=1000)
    await reserve(db, id, 100)
    await budget(db, "mission", id, tokens=1000)
    await settle(db, id, 30)
    assert await used(db, "mission", id) == (0, 0, 0, 0)


async def test_what_a_role_gives_its_tasks_is_kept_as_it_was_first_declared(db) -> None:
    id = await one(db)
    for tokens in (100, 10**6):
        await db.execute("select taskq.declare_budget($1, $2)", id, {"tokens": tokens, "seconds": 60.5})
    row = await db.fetchrow("select tokens, seconds, cost, set_by from taskq.spend")
    assert tuple(row) == (100, 60.5, None, None)
    await budget(db, "task", id, tokens=500)
    assert await reserve(db, id, 400) is None


async def test_a_daily_budget_follows_the_manifest_until_a_person_sets_it(db) -> None:
    for cost in (5, 7):
        await db.execute("select taskq.declare_daily_budget('r', $1)", {"cost": cost})
    assert await db.fetchval("select cost from taskq.spend") == 7
    await budget(db, "role", "r", cost=20)
    await db.execute("select taskq.declare_daily_budget('r', $1)", {"cost": 7})
    assert await db.fetchval("select cost from taskq.spend") == 20


@pytest.mark.parametrize(
    ("scope", "key", "limits", "state"),
    [
        ("team", "x", {"tokens": 1}, "TQ001"),
        ("role", "x", {"euros": 1}, "TQ001"),
        ("task", "no id", {"tokens": 1}, "TQ003"),
        ("mission", "00000000-0000-0000-0000-000000000000", {"tokens": 1}, "TQ003"),
    ],
)
async def test_a_budget_of_nothing_is_refused(db, scope: str, key: str, limits: Any, state: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await budget(db, scope, key, **limits)
    assert refused.value.sqlstate == state


async def test_an_id_in_capitals_is_the_same_task(db) -> None:
    id = await one(db)
    await budget(db, "task", str(id).upper(), tokens=5)
    assert "of 5 tokens" in await reserve(db, id, 10)
