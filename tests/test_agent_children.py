"""Agents that give work to others: to other agents, and to people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agent_world import World, agent, calls, done, world
from support import eventually
from taskq.testing import Pieces, Reply, Request, by_role, by_turn, text, tool_use
from taskq.tool import ToolCall, from_function

SetUp = Callable[[Any], Any]


@pytest.fixture
async def set_up(dsn: str, db: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[SetUp]:
    """`w = await set_up(script)`"""
    async with AsyncExitStack() as stack:
        yield lambda script: stack.enter_async_context(world(dsn, db, tmp_path, script))


def give(role: str, objective: str = "A part.", **more: Any) -> tuple[str, dict[str, Any]]:
    """A call of delegate."""
    return "delegate", {"role": role, "objective": objective, **more}


async def test_one_worker_with_one_slot_finishes_a_tree_of_three_levels(set_up: SetUp) -> None:
    script = by_role(
        {
            "top": by_turn(calls(give("middle")), done("The top has it.")),
            "middle": by_turn(calls(give("leaf")), done("The middle has it.")),
            "leaf": done("The leaf has it."),
        }
    )
    w: World = await set_up(script)
    await w.work(
        agent("top", "delegate", delegates=("middle",)),
        agent("middle", "delegate", delegates=("le*",)),
        agent("leaf"),
        slots=1,
    )
    top = await w.ask("top")
    end = await w.end(top)
    assert (end.status, end.result["response"]["summary"]) == ("completed", "The top has it.")
    [middle] = await w.children(top)
    [leaf] = await w.children(middle["id"])
    assert [task["attempt"] for task in (await w.queue.show(top), middle, leaf)] == [1, 1, 1]
    assert {middle["mission_id"], leaf["mission_id"]} == {top}
    [call] = [row for row in await w.ledger(top) if row["tool"] == "delegate"]
    assert (call["status"], call["artifact"]) == ("success", str(middle["id"]))
    assert "The middle has it." in call["output"]
    assert not w.fake.refusals
    assert not await w.db.fetch("select from taskq.attempts")


async def test_children_of_one_turn_run_side_by_side_and_are_told_in_order(set_up: SetUp) -> None:
    w: World

    async def leaf(request: Request) -> Reply:
        """Nobody is done before both are here."""
        await eventually(lambda: len([r for r in w.fake.requests if r.turn == 1]) == 3)
        return done(f"{request.task} is done.")

    both = calls(give("leaf", name="first"), give("leaf", name="second"))
    w = await set_up(by_role({"top": by_turn(both, done()), "first": leaf, "second": leaf}))
    await w.work(agent("top", "delegate", delegates=("leaf",)), agent("leaf"), slots=2)
    top = await w.ask("top")
    assert (await w.end(top)).status == "completed"
    assert [child["name"] for child in await w.children(top)] == ["first", "second"]
    [_, first, second] = await w.told(top)
    assert "first is done." in first["content"]
    assert "second is done." in second["content"]
    assert await w.outcomes(top) == [("delegate", "success")] * 2 + [("submit_result", "success")]
    assert not w.fake.refusals


async def test_a_child_that_fails_is_told_as_an_error_and_the_parent_goes_on(set_up: SetUp) -> None:
    refusal = Reply([text("no")], stop_reason="refusal")
    w: World = await set_up(
        by_role({"top": by_turn(calls(give("leaf")), done("Without it.")), "leaf": refusal})
    )
    await w.work(agent("top", "delegate", delegates=("leaf",)), agent("leaf"), slots=1)
    top = await w.ask("top")
    assert (await w.end(top)).result["response"]["summary"] == "Without it."
    [_, told] = await w.told(top)
    assert told["is_error"]
    assert "failed: agent_error" in told["content"]
    assert "the model refused to go on" in told["content"]
    [child] = await w.children(top)
    assert (await w.ledger(top))[0]["artifact"] == str(child["id"])
    assert await w.outcomes(top) == [("delegate", "error"), ("submit_result", "success")]


async def test_a_role_outside_delegates_is_refused_and_the_ledger_says_so(set_up: SetUp) -> None:
    asks = calls(give("leaf"), give("boss"))
    w: World = await set_up(by_role({"top": by_turn(asks, done()), "leaf": done(), "boss": done()}))
    await w.work(agent("top", "delegate", delegates=("leaf",)), agent("leaf"), agent("boss"))
    top = await w.ask("top")
    assert (await w.end(top)).status == "completed"
    assert [child["role"] for child in await w.children(top)] == ["leaf"]
    [_, _, refused] = await w.told(top)
    assert refused["is_error"]
    assert "you may not give work to 'boss', only to leaf" in refused["content"]
    assert [row["status"] for row in await w.ledger(top)][:2] == ["success", "blocked"]


async def test_a_childs_tools_are_within_its_parents(set_up: SetUp) -> None:
    def look() -> str:
        """Look at all the things that are there to be seen."""
        return "seen"

    tries = calls(("look", {}), ("list_dir", {}))
    w: World = await set_up(
        by_role({"top": by_turn(calls(give("leaf")), done()), "leaf": by_turn(tries, done())})
    )
    await w.work(
        agent("top", "delegate", "list_dir", delegates=("leaf",)),
        agent("leaf", "look", "list_dir"),
        tools=[from_function(look, effect="read")],
    )
    top = await w.ask("top")
    assert (await w.end(top)).status == "completed"
    [child] = await w.children(top)
    asked = next(request for request in w.fake.requests if request.task == "leaf")
    assert set(asked.tools) == {"list_dir", "submit_result"}
    [look_row, list_row, _] = await w.ledger(child["id"])
    assert (look_row["status"], list_row["status"]) == ("blocked", "success")
    assert "look is not among the tools of this task" in look_row["output"]


async def test_a_child_works_where_its_parent_does(set_up: SetUp, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "found.txt").touch()
    w: World = await set_up(
        by_role(
            {
                "top": by_turn(calls(give("leaf", details={"directory": "/etc", "n": 1})), done()),
                "leaf": by_turn(calls(("list_dir", {})), done()),
            }
        )
    )
    await w.work(agent("top", "delegate", "list_dir", delegates=("leaf",)), agent("leaf", "list_dir"))
    top = await w.ask("top", payload={"directory": str(tmp_path / "here")})
    assert (await w.end(top)).status == "completed"
    [child] = await w.children(top)
    assert child["payload"] == {"objective": "A part.", "directory": str(tmp_path / "here"), "n": 1}
    assert "found.txt" in (await w.ledger(child["id"]))[0]["output"]


async def test_a_person_answers_what_an_agent_asks(set_up: SetUp) -> None:
    asks = calls(("ask_human", {"question": "Which colour?"}))
    w: World = await set_up(by_turn(asks, done()))
    await w.work(agent("top", "ask_human"), slots=1)
    top = await w.ask("top")
    await w.becomes(top, "blocked")
    [question] = await w.children(top)
    assert (question["role"], question["name"]) == ("human", "Which colour?")
    await w.queue.complete(question["id"], "green", "ann")
    assert (await w.end(top)).status == "completed"
    [_, told] = await w.told(top)
    assert "green" in told["content"]
    assert await w.outcomes(top) == [("ask_human", "success"), ("submit_result", "success")]
    assert (await w.queue.show(top))["attempt"] == 1


async def test_a_person_who_cannot_answer_is_an_error_for_the_model(set_up: SetUp) -> None:
    w: World = await set_up(by_turn(calls(("ask_human", {"question": "Which colour?"})), done()))
    await w.work(agent("top", "ask_human"))
    top = await w.ask("top")
    await w.becomes(top, "blocked")
    [question] = await w.children(top)
    await w.queue.complete(question["id"], actor="ann", error="nobody knows")
    assert (await w.end(top)).status == "completed"
    assert "nobody knows" in (await w.told(top))[1]["content"]
    assert (await w.outcomes(top))[0] == ("ask_human", "error")


@pytest.mark.parametrize("together", [1, 2])
async def test_a_child_too_deep_is_an_error_for_the_model_and_no_crash_loop(
    set_up: SetUp, together: int
) -> None:
    w: World = await set_up(by_turn(calls(*[give("digger")] * together), done()))
    await w.work(agent("digger", "delegate", delegates=("digger",)), slots=1)
    above = None
    for _ in range(8):
        above = await w.db.fetchval(
            "insert into taskq.tasks (role, parent_id) values ('sleeper', $1) returning id", above
        )
    deepest = await w.ask("digger", parent_id=above)
    assert (await w.end(deepest)).status == "completed"
    rows = await w.ledger(deepest)
    assert [row["status"] for row in rows[:together]] == ["error"] * together
    assert "8 levels below its root, and may have no children" in rows[0]["output"]
    assert not await w.db.fetch("select from taskq.attempts")


async def test_a_child_too_many_is_an_error_for_the_model(set_up: SetUp) -> None:
    w: World = await set_up(by_role({"top": by_turn(calls(give("leaf")), done())}))
    top = await w.ask("top")
    await w.db.execute(
        "insert into taskq.tasks (role, parent_id) select 'sleeper', $1 from generate_series(1, 100)", top
    )
    await w.work(agent("top", "delegate", delegates=("leaf",)), agent("leaf"))
    assert (await w.end(top)).status == "completed"
    row = (await w.ledger(top))[0]
    assert row["status"] == "error"
    assert "would have 101 children: the cap is 100" in row["output"]


@pytest.mark.parametrize(
    "odd",
    [
        {"objective": "nul \0 and half \ud83d"},
        {"details": {"nul \0": ["\0"]}},
        {"name": "\0"},
        {"role": "leaf\0"},
        {"details": {"big": "x" * 1_100_000}},
        {"details": {"n": 10**400}},
        {"role": ""},
        {"role": "l" * 300},
    ],
    ids=["objective", "details", "name", "role", "too large", "no number", "no role", "too long a role"],
)
@pytest.mark.parametrize("together", [1, 2])
async def test_whatever_is_in_a_delegation_the_parent_goes_on(
    set_up: SetUp, odd: dict[str, Any], together: int
) -> None:
    call = tool_use("delegate", {"role": "leaf", "objective": "A part.", **odd})
    w: World = await set_up(
        by_role(
            {"top": by_turn(Reply([call] * together, pieces=Pieces(json=100_000)), done())}, otherwise=done()
        )
    )
    await w.work(
        agent("top", "delegate", delegates=("*",)), agent("leaf"), agent("leaf\N{REPLACEMENT CHARACTER}")
    )
    top = await w.ask("top")
    end = await w.end(top)
    assert (end.status, end.error) == ("completed", None)
    assert not await w.db.fetch("select from taskq.attempts")


async def test_a_program_tool_that_spawns_too_much_tells_the_model(set_up: SetUp) -> None:
    async def flood(call: ToolCall) -> str:
        """Put in far more children than anybody may have."""
        await call.task.spawn([{"role": "leaf"}] * 101, key=call.key)
        return "done"

    w: World = await set_up(by_role({"top": by_turn(calls(("flood", {})), done())}))
    await w.work(agent("top", "flood"), tools=[from_function(flood, effect="idempotent")])
    top = await w.ask("top")
    assert (await w.end(top)).status == "completed"
    row = (await w.ledger(top))[0]
    assert (row["status"], "the cap is 100" in row["output"]) == ("error", True)
    assert not await w.children(top)


async def test_cancelling_the_parent_cancels_its_children(set_up: SetUp) -> None:
    w: World = await set_up(by_role({"top": by_turn(calls(give("leaf")), done())}))
    await w.work(agent("top", "delegate", delegates=("leaf",)))
    top = await w.ask("top")
    await w.becomes(top, "blocked")
    await w.queue.cancel(top, "enough", "ann")
    [child] = await w.children(top)
    assert (child["status"], (await w.queue.show(top))["status"]) == ("cancelled", "cancelled")
