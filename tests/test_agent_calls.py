"""A person answers a call that needs approval with a no, or with other arguments; the agent hears of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from agent_stage import Killed, Stage, manifest, staged
from agent_world import World, agent, calls, done, world
from support import eventually, somebody_waits
from taskq.agent.commands import Command
from taskq.errors import InvalidTask, NotAnArrow, Suspended
from taskq.testing import by_turn
from taskq.tool import ToolCall, from_function

SetUp = Callable[..., Any]
WRITE = ("write_file", {"path": "a.txt", "content": "one"})


@pytest.fixture
async def set_up(dsn: str, db: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[SetUp]:
    """`w = await set_up(script)`"""
    async with AsyncExitStack() as stack:
        yield lambda script: stack.enter_async_context(world(dsn, db, tmp_path, script))


@pytest.fixture
async def stage(db: asyncpg.Connection, dsn: str, tmp_path: Path) -> AsyncIterator[SetUp]:
    """`s = await stage(script)`: a task and a worker that dies when it is told to."""
    async with staged(db, dsn, tmp_path) as set_up:
        yield set_up


async def parked(w: World) -> UUID:
    """A task whose agent awaits an approval."""
    top = await w.ask("top")
    await w.becomes(top, "awaiting_approval")
    return top


def answers(w: World) -> list[tuple[str, bool]]:
    """What the model was told of its calls last: the text, and whether it is an error."""
    return [(answer, failed) for _, _, answer, failed in w.fake.requests[-1].calls]


# No


async def test_a_declined_call_does_not_run_and_the_agent_hears_who_said_no_and_why(set_up: SetUp) -> None:
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)), slots=1)
    top = await parked(w)
    assert await w.queue.decline_call(top, "not that file", "ann") == "queued"
    assert (await w.end(top)).status == "completed"
    assert answers(w) == [("a person (ann) refused this call: not that file", True)]
    assert not (w.home / "work" / str(top) / "a.txt").exists()
    [call, _] = await w.ledger(top)
    assert (call["status"], call["declined_by"], call["declined_note"], call["approved_by"]) == (
        "blocked", "ann", "not that file", None,
    )  # fmt: skip
    assert call["started_at"] is None
    event = await w.db.fetchrow(
        'select actor, reason, "from"::text, "to"::text from taskq.events where verb = $1', "decline_call"
    )
    assert tuple(event) == ("ann", "not that file", "awaiting_approval", "queued")
    assert (await w.queue.show(top))["attempt"] == 1
    assert not w.fake.refusals


async def test_a_no_is_to_the_call_that_was_shown_and_to_no_other(set_up: SetUp) -> None:
    second = ("write_file", {"path": "b.txt", "content": "two"})
    w: World = await set_up(by_turn(calls(WRITE, second), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)))
    top = await parked(w)
    await w.queue.decline_call(top, actor="ann")
    await eventually(lambda: asks_about(w, top, "b.txt"))
    await w.queue.approve(top, "bob")
    assert (await w.end(top)).status == "completed"
    assert answers(w)[0] == ("a person (ann) refused this call", True)
    assert [call["status"] for call in await w.ledger(top)] == ["blocked", "success", "success"]


async def asks_about(w: World, id: Any, words: str) -> bool:
    explained = await w.queue.explain(id)
    return explained.startswith("awaits the approval") and words in explained


async def test_a_no_outlives_a_crash(stage: SetUp) -> None:
    s: Stage = await stage(by_turn(calls(("pay", {"cents": 5})), done()))
    paid: list[int] = []
    s.tools, s.manifest = {"pay": till(paid)}, manifest(tools=("pay", "submit_result"))
    await answer(s, "decline_call", "too dear")
    with pytest.raises(Killed):
        await s.play(dies_before=1)
    await s.lose()
    await s.play()
    assert paid == []
    assert (await s.calls())[0] == ("pay", "blocked")


# Yes, but


async def test_an_amended_call_runs_with_the_arguments_of_the_person_and_the_agent_is_told(
    set_up: SetUp,
) -> None:
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)), slots=1)
    top = await parked(w)
    better = {"path": "b.txt", "content": "two"}
    assert await w.queue.amend_call(top, better, "the other file", "ann") == "queued"
    assert (await w.end(top)).status == "completed"
    directory = w.home / "work" / str(top)
    assert not (directory / "a.txt").exists()
    assert (directory / "b.txt").read_text() == "two"
    [(told, failed)] = answers(w)
    first, _, rest = told.partition("\n")
    said, _, given = first.partition(" to ")
    assert said == "ann changed the arguments of this call"
    assert json.loads(given) == better
    assert "b.txt" in rest
    assert not failed
    [call, _] = await w.ledger(top)
    assert json.loads(call["input"]) == WRITE[1]
    assert json.loads(call["amended_input"]) == better
    assert (call["status"], call["approved_by"]) == ("success", "ann")
    assert (await w.queue.show(top))["approved_by"] == "ann"
    event = await w.db.fetchrow("select actor, reason from taskq.events where verb = 'amend_call'")
    assert tuple(event) == ("ann", "the other file")
    assert not w.fake.refusals


async def test_amended_arguments_that_the_tool_does_not_take_are_an_error_that_names_who_changed_them(
    set_up: SetUp,
) -> None:
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)))
    top = await parked(w)
    await w.queue.amend_call(top, {"paht": "b.txt"}, actor="ann")
    assert (await w.end(top)).status == "completed"
    [(told, failed)] = answers(w)
    assert told.startswith('ann changed the arguments of this call to {"paht": "b.txt"}\nwrite_file: wrong')
    assert failed


async def test_a_person_cannot_lead_a_tool_out_of_the_workspace(set_up: SetUp) -> None:
    """What binds the agent binds the call, whoever wrote its arguments."""
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)))
    top = await parked(w)
    await w.queue.amend_call(top, {"path": "../../out.txt", "content": "x"}, actor="ann")
    assert (await w.end(top)).status == "completed"
    assert answers(w)[0][1]
    assert not list(w.home.rglob("out.txt"))
    assert (await w.outcomes(top))[0] == ("write_file", "blocked")


async def test_a_child_is_given_what_the_person_made_of_the_call(set_up: SetUp) -> None:
    one = ("delegate", {"role": "helper", "objective": "Look."})
    two = ("delegate", {"role": "helper", "objective": "Look too."})
    w: World = await set_up(
        lambda r: done("Seen.") if "Look" in str(r.messages[0]) else by_turn(calls(one, two), done())(r)
    )
    await w.work(agent("top", "delegate", delegates=("helper",), approve=("delegate",)), agent("helper"))
    top = await parked(w)
    await w.queue.amend_call(top, {"role": "helper", "objective": "Look twice."}, actor="ann")
    await eventually(lambda: asks_about(w, top, "Look too."))
    await w.queue.amend_call(top, {"role": "stranger", "objective": "Look too."}, actor="bob")
    assert (await w.end(top)).status == "completed"
    assert [child["payload"]["objective"] for child in await w.children(top)] == ["Look twice."]
    first, second = answers(w)
    assert "Seen." in first[0]
    assert "bob changed the arguments" in second[0]
    assert "you may not give work to 'stranger'" in second[0]


# Crashes within an amended call


def till(paid: list[int], dies: bool = False, effect: Any = "unsafe", seen: Any = None) -> Any:
    """A tool that pays; `seen` is told what `verify` is asked about."""

    async def pay(cents: int) -> str:
        """Pay somebody an amount of money."""
        paid.append(cents)
        if dies and len(paid) == 1:
            raise Killed
        return f"paid {cents}"

    async def verify(call: ToolCall, given: Any) -> str | None:
        seen.append(given)
        return f"paid {given['cents']}"

    return from_function(pay, effect=effect, needs_approval=True, verify=None if seen is None else verify)


async def answer(s: Stage, function: str, *args: Any) -> None:
    """It parks, and ann answers."""
    with pytest.raises(Suspended):
        await s.play()
    id = await s.session.fetchval("select id from taskq.tasks")
    marks = "".join(f", ${n}" for n in range(2, len(args) + 2))
    await s.session.execute(f"select taskq.{function}($1{marks}, _actor => 'ann')", id, *args)


async def test_an_amended_call_that_a_crash_hid_is_not_run_again(stage: SetUp) -> None:
    s: Stage = await stage(by_turn(calls(("pay", {"cents": 500})), done()))
    paid: list[int] = []
    s.tools, s.manifest = {"pay": till(paid, dies=True)}, manifest(tools=("pay", "submit_result"))
    await answer(s, "amend_call", {"cents": 5})
    with pytest.raises(Killed):
        await s.play()
    await s.lose()
    await s.play()
    assert paid == [5]
    [(_, _, told, failed)] = s.fake.requests[-1].calls
    assert told.startswith('ann changed the arguments of this call to {"cents": 5}\nThe outcome of this call')
    assert failed


async def test_what_became_of_an_amended_call_is_asked_with_its_new_arguments(stage: SetUp) -> None:
    s: Stage = await stage(by_turn(calls(("pay", {"cents": 500})), done()))
    paid: list[int] = []
    seen: list[Any] = []
    s.tools = {"pay": till(paid, dies=True, seen=seen)}
    s.manifest = manifest(tools=("pay", "submit_result"))
    await answer(s, "amend_call", {"cents": 5})
    with pytest.raises(Killed):
        await s.play()
    await s.lose()
    await s.play()
    assert (paid, seen) == ([5], [{"cents": 5}])
    [(_, _, told, failed)] = s.fake.requests[-1].calls
    assert told.endswith("\npaid 5")
    assert not failed


async def test_an_amended_call_that_may_run_again_does_so_with_its_new_arguments(stage: SetUp) -> None:
    s: Stage = await stage(by_turn(calls(("pay", {"cents": 500})), done()))
    paid: list[int] = []
    s.tools = {"pay": till(paid, dies=True, effect="idempotent")}
    s.manifest = manifest(tools=("pay", "submit_result"))
    await answer(s, "amend_call", {"cents": 5})
    with pytest.raises(Killed):
        await s.play()
    await s.lose()
    await s.play()
    assert paid == [5, 5]


async def test_a_transactional_call_is_amended_too(stage: SetUp) -> None:
    async def book(call: ToolCall, cents: int) -> str:
        """Book an amount of money."""
        return f"booked {cents}"

    s: Stage = await stage(by_turn(calls(("book", {"cents": 500})), done()))
    s.tools = {"book": from_function(book, effect="transactional", needs_approval=True)}
    s.manifest = manifest(tools=("book", "submit_result"))
    await answer(s, "amend_call", {"cents": 5})
    await s.play()
    [(_, _, told, _)] = s.fake.requests[-1].calls
    assert told == 'ann changed the arguments of this call to {"cents": 5}\nbooked 5'


async def test_the_ledger_knows_the_effect_of_what_ran_not_of_what_was_proposed(set_up: SetUp) -> None:
    """A harmless check that a person makes a dangerous one is not run twice after a crash."""
    commands = {
        "look": Command(argv=(sys.executable, "-c", "pass"), effect="read"),
        "deploy": Command(argv=(sys.executable, "-c", "pass"), effect="unsafe"),
    }
    w: World = await set_up(by_turn(calls(("run_check", {"check": "look"})), done()))
    await w.work(agent("top", "run_check", commands=commands, approve=("run_check",)))
    top = await parked(w)
    assert [call["effect"] for call in await w.ledger(top)] == ["read"]
    await w.queue.amend_call(top, {"check": "deploy"}, actor="ann")
    await w.end(top)
    assert (await w.ledger(top))[0]["effect"] == "unsafe"


# Refusals


async def test_only_a_call_in_question_is_declined_or_amended(set_up: SetUp) -> None:
    w: World = await set_up(by_turn(calls(("list_dir", {})), done()))
    top = await w.ask("top", requires_approval=True)
    for attempt in (w.queue.decline_call(top), w.queue.amend_call(top, {})):
        with pytest.raises(NotAnArrow, match=r"for another reason than a tool call.*taskq\.approve"):
            await attempt
    await w.queue.approve(top)
    for attempt in (w.queue.decline_call(top), w.queue.amend_call(top, {})):
        with pytest.raises(NotAnArrow, match="it is queued, not awaiting_approval"):
            await attempt


@pytest.mark.parametrize("given,why", [([], "a JSON object"), ({"x": "y" * 100_000}, "at most 100,000")])
async def test_arguments_that_are_none_change_nothing(set_up: SetUp, given: Any, why: str) -> None:
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)))
    top = await parked(w)
    with pytest.raises(InvalidTask, match=why):
        await w.queue.amend_call(top, given)
    assert (await w.queue.show(top))["status"] == "awaiting_approval"
    assert [call["approved_by"] for call in await w.ledger(top)] == [None]


async def test_of_two_answers_at_once_one_counts(set_up: SetUp, connect: Any) -> None:
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)))
    top = await parked(w)
    session = await connect()
    transaction = session.transaction()
    await transaction.start()
    await session.execute("select taskq.decline_call($1, 'no', 'ann')", top)
    yes = asyncio.ensure_future(w.queue.approve(top, "bob"))
    await eventually(lambda: somebody_waits(session))
    await transaction.commit()
    with pytest.raises(NotAnArrow):
        await yes
    await w.end(top)
    assert [call["approved_by"] for call in await w.ledger(top)] == [None, None]


async def test_what_was_declined_can_be_approved_as_a_task_when_it_comes_to_that(set_up: SetUp) -> None:
    """Cancelled before the agent heard of the no, and retried: the yes is to the task, the no stands."""
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)))
    top = await w.ask("top", requires_approval=True)
    await w.queue.approve(top)
    await w.becomes(top, "awaiting_approval")
    await w.rest()
    await w.queue.decline_call(top, "no", "ann")
    await w.db.execute("update taskq.tasks set approved_at = null")
    await w.queue.cancel(top)
    assert await w.queue.retry(top) == "awaiting_approval"
    await w.queue.approve(top, "bob")
    await w.work(agent("top", "write_file", approve=("write_file",)))
    assert (await w.end(top)).status == "completed"
    assert answers(w) == [("a person (ann) refused this call: no", True)]
