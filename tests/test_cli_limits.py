"""taskq budget, gate."""

from __future__ import annotations

import asyncpg
import pytest

import graphs
from cli_runner import Taskq


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


async def test_a_budget_is_set_raised_and_shown(taskq: Taskq, db: asyncpg.Connection) -> None:
    assert await taskq("budget") == "no budgets\n"
    id = await graphs.insert(db)
    out = await taskq(
        "budget", "mission", id.hex[-12:], "--cost", "20", "--seconds", "10min", "--actor", "ann"
    )
    assert "0 of 20" in out
    assert "0 of 600" in out
    (shown,) = await taskq.json("budget", "mission", id, "--cost", "30", "--tokens", "1_000_000")
    assert (shown["cost"], shown["tokens"], shown["seconds"]) == ("30.000000", 1_000_000, 600)
    await taskq("budget", "mission", id, "--seconds", "none")
    row = await db.fetchrow("select cost, seconds, set_by from taskq.budgets")
    assert (row["cost"], row["seconds"]) == (30, None)


async def test_the_budgets_of_one_scope_are_shown(taskq: Taskq, db: asyncpg.Connection) -> None:
    await taskq("budget", "role", "writer", "--turns", "5")
    await taskq("budget", "task", await graphs.insert(db), "--turns", "6")
    assert [row["key"] for row in await taskq.json("budget", "role")] == ["writer"]
    assert len(await taskq.json("budget")) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("budget", "--cost", "5"),
        ("budget", "role", "--cost", "5"),
        ("budget", "role", "r", "--cost", "much"),
        ("budget", "role", "r", "--tokens", "-5"),
        ("budget", "team", "r", "--tokens", "5"),
        ("gate", "set", "p", "m", "--requests", "0", "--tokens", "none"),
        ("gate", "set", "p", "m", "--requests", "5"),
    ],
)
async def test_what_makes_no_sense_is_wrong_usage(taskq: Taskq, words: tuple[str, ...]) -> None:
    await taskq.error(*words, code=2)


async def test_gates_are_set_shown_and_resumed(taskq: Taskq, db: asyncpg.Connection) -> None:
    assert await taskq("gate") == "no gates: no provider was asked yet\n"
    await taskq("gate", "set", "p", "*", "--requests", "50", "--tokens", "none", "--actor", "ann")
    await db.execute("select taskq.pause_gate('p', 'm', '10 min', 'overloaded')")
    await db.execute("select taskq.exhaust_gate('p', 'no money')")
    out = await taskq("gate")
    for words in ("50", "ann", "until resumed", "no money", "overloaded", "for 10 min"):
        assert words in out
    assert [row["model"] for row in await taskq.json("gate")] == ["*", "m"]
    assert await taskq("gate", "resume", "p", "--actor", "ann") == "p *: resumed\n"
    assert await taskq("gate", "resume", "p", "m") == "p m: resumed\n"
    assert await taskq("gate", "resume", "p", "m") == "p m: was not paused\n"
