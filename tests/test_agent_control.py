"""What people do to running agents: cancel, steer, pause, approve; and what stops an agent by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agent_stage import Killed, Stage, manifest, staged
from agent_world import World, agent, calls, done, world
from support import eventually
from taskq.agent.commands import Command
from taskq.errors import Suspended
from taskq.testing import Request, Stall, by_turn
from taskq.testing.reply import Reply
from taskq.tool import Unknown, from_function

SetUp = Callable[..., Any]
LOOK = calls(("list_dir", {}))


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


def texts(blocks: list[dict[str, Any]]) -> list[str]:
    """The words in these blocks that are no results of tools, behind the prompt."""
    return [block["text"] for block in blocks if block["type"] == "text"][1:]


class Turnstile:
    """A script that holds one turn until the test lets it pass."""

    def __init__(self, turn: int, script: Any) -> None:
        self.turn, self.script = turn, script
        self.has_come, self.passes = False, False

    async def __call__(self, request: Request) -> Any:
        if request.turn == self.turn:
            self.has_come = True
            await eventually(lambda: self.passes)
        return self.script(request)


# Cancel


async def test_cancel_closes_the_stream_within_five_seconds(set_up: SetUp) -> None:
    w: World = await set_up(Reply(LOOK.content, fault=Stall(after=4, seconds=600)))
    await w.work(agent("top", "list_dir"))
    top = await w.ask("top")
    await eventually(lambda: w.fake.requests_log and w.fake.requests_log[0].answered)
    started = time.monotonic()
    await w.queue.cancel(top, "enough", "ann")
    assert (await w.end(top)).status == "cancelled"
    await eventually(lambda: w.fake.requests_log[0].end == "closed")
    assert time.monotonic() - started < 5
    assert await w.db.fetchval("select count(*) from taskq.messages") == 1


FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"])
stray = subprocess.Popen(["sleep", "600"], start_new_session=True)
with open("pids.new", "w") as file:
    print(os.getpid(), child.pid, stray.pid, file=file)
os.rename("pids.new", "pids")
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_cancel_kills_what_a_check_has_started(set_up: SetUp) -> None:
    w: World = await set_up(calls(("run_check", {"check": "family"})))
    commands = {"family": Command(argv=(sys.executable, "-c", FAMILY), timeout=600)}
    await w.work(agent("top", "run_check", commands=commands))
    top = await w.ask("top")
    file = w.home / "work" / str(top) / "pids"
    await eventually(file.exists)
    pids = [int(pid) for pid in file.read_text().split()]
    assert all(map(is_alive, pids))
    started = time.monotonic()
    await w.queue.cancel(top, "enough", "ann")
    assert (await w.end(top)).status == "cancelled"
    await eventually(lambda: not any(map(is_alive, pids)))
    assert time.monotonic() - started < 5


# Steer


async def test_what_a_person_says_is_heard_before_the_next_turn_and_once(set_up: SetUp) -> None:
    first = Turnstile(1, by_turn(LOOK, LOOK, done()))
    w: World = await set_up(first)
    await w.work(agent("top", "list_dir"))
    top = await w.ask("top")
    await eventually(lambda: first.has_come)
    await w.queue.steer(top, "Look twice.", "ann")
    await w.queue.steer(top, "And be quick.", "bob")
    first.passes = True
    assert (await w.end(top)).status == "completed"
    assert texts(await w.told(top)) == ["ann says:\nLook twice.", "bob says:\nAnd be quick."]
    assert "Look twice." in str(w.fake.requests[1].messages[-1])
    assert not w.fake.refusals
    steers = await w.db.fetch("select seq, done_at from taskq.steers order by id")
    assert [row["seq"] for row in steers] == [3, 3]
    assert all(row["done_at"] for row in steers)
    said = await w.db.fetch("select actor, reason from taskq.events where verb = 'steer' order by id")
    assert [tuple(row) for row in said] == [("ann", "Look twice."), ("bob", "And be quick.")]


@pytest.mark.parametrize("strike", ["dies_before", "dies_after"])
async def test_what_was_said_is_heard_once_after_a_crash_too(
    stage: SetUp, db: asyncpg.Connection, strike: str
) -> None:
    s: Stage = await stage(by_turn(LOOK, done()))
    await db.execute("select taskq.steer(id, 'Look twice.', 'ann') from taskq.tasks")
    with pytest.raises(Killed):
        await s.play(**{strike: 2})  # the second message is what ann says
    await s.lose()
    assert (await s.play())["response"]["summary"] == "Done."
    said = [block for _, content in await s.contents() for block in content if "ann says" in str(block)]
    assert len(said) == 1
    assert "Look twice." in str(s.fake.requests[0].messages)


async def test_what_has_ended_hears_nothing(set_up: SetUp) -> None:
    w: World = await set_up(done())
    await w.work(agent("top"))
    top = await w.ask("top")
    await w.end(top)
    with pytest.raises(Exception, match="cannot steer"):
        await w.queue.steer(top, "Once more.", "ann")


# Pause


async def test_a_paused_agent_holds_no_slot_and_goes_on_when_approved(set_up: SetUp) -> None:
    first = Turnstile(1, by_turn(LOOK, done()))
    w: World = await set_up(lambda r: first(r) if r.task == "paused" else done())
    await w.work(agent("top", "list_dir"), slots=1)
    top = await w.ask("top", name="paused")
    await eventually(lambda: first.has_come)
    await w.queue.pause(top, "let me see", "ann")
    first.passes = True
    row = await w.becomes(top, "awaiting_approval")
    assert row["lease"] is None
    assert "let me see" in await w.queue.explain(top)
    assert await w.outcomes(top) == [("list_dir", "success")]
    assert (await w.end(await w.ask("top"))).status == "completed"  # the slot is free
    await w.queue.approve(top, "ann")
    assert (await w.end(top)).result["turns"] == 2
    assert (await w.queue.show(top))["attempt"] == 1
    assert not await w.db.fetch("select from taskq.attempts")


async def test_what_was_said_to_a_paused_agent_is_heard_when_it_goes_on(set_up: SetUp) -> None:
    w: World = await set_up(done())
    top = await w.ask("top")
    await w.queue.pause(top, actor="ann")
    await w.work(agent("top"))
    await w.becomes(top, "awaiting_approval")
    await w.queue.steer(top, "Now.", "ann")
    await w.queue.approve(top, "ann")
    assert (await w.end(top)).status == "completed"
    assert texts(await w.told(top)) == ["ann says:\nNow."]


# Approval


WRITE = ("write_file", {"path": "a.txt", "content": "one"})


async def test_a_call_that_needs_approval_waits_for_it_and_shows_what_it_would_do(set_up: SetUp) -> None:
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("write_*",)), slots=1)
    top = await w.ask("top")
    row = await w.becomes(top, "awaiting_approval")
    assert (row["lease"], row["attempt"]) == (None, 0)
    explained = await w.queue.explain(top)
    assert "approve write_file?" in explained
    assert "'a.txt'" in explained
    assert "'one'" in explained
    file = w.home / "work" / str(top) / "a.txt"
    assert not file.exists()
    await w.queue.approve(top, "ann")
    assert (await w.end(top)).status == "completed"
    assert file.read_text() == "one"
    [call, _] = await w.ledger(top)
    assert (call["status"], call["needs_approval"], call["approved_by"]) == ("success", True, "ann")
    assert (await w.queue.show(top))["attempt"] == 1


async def test_a_yes_is_to_the_call_that_was_shown_and_to_no_other(set_up: SetUp) -> None:
    second = ("write_file", {"path": "b.txt", "content": "two"})
    w: World = await set_up(by_turn(calls(WRITE, second), done()))
    await w.work(agent("top", "write_file", approve=("write_file",)))
    top = await w.ask("top")
    await w.becomes(top, "awaiting_approval")
    await w.queue.approve(top, "ann")
    await eventually(lambda: shows(w, top, "b.txt"))
    assert await w.outcomes(top) == [("write_file", "success"), ("write_file", "proposed")]
    await w.queue.approve(top, "bob")
    assert (await w.end(top)).status == "completed"
    assert [call["approved_by"] for call in await w.ledger(top)] == ["ann", "bob", None]


async def shows(w: World, id: Any, words: str) -> bool:
    """Whether a person is asked about this."""
    explained = await w.queue.explain(id)
    return explained.startswith("awaits the approval") and words in explained


async def test_a_no_cancels_the_task(set_up: SetUp) -> None:
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("top", "write_file", approve=("*",)))
    top = await w.ask("top")
    await w.becomes(top, "awaiting_approval")
    await w.queue.reject(top, "ann", "not that file")
    end = await w.end(top)
    assert (end.status, end.error_kind, end.error) == ("cancelled", "rejected", "not that file")
    assert not (w.home / "work" / str(top) / "a.txt").exists()


async def test_a_programs_tool_may_ask_for_approval_itself(set_up: SetUp) -> None:
    async def pay(cents: int) -> str:
        """Pay somebody an amount of money."""
        return f"paid {cents}"

    w: World = await set_up(by_turn(calls(("pay", {"cents": 5})), done()))
    await w.work(agent("top", "pay"), tools=[from_function(pay, effect="unsafe", needs_approval=True)])
    top = await w.ask("top")
    await w.becomes(top, "awaiting_approval")
    assert "approve pay? {'cents': 5}" in await w.queue.explain(top)
    await w.queue.approve(top, "ann")
    await w.end(top)
    assert (await w.outcomes(top))[0] == ("pay", "success")


# The loop breaker


async def test_an_agent_that_repeats_itself_is_warned_then_parked_then_let_go_on(set_up: SetUp) -> None:
    w: World = await set_up(by_turn(*[LOOK] * 7, done()))
    await w.work(agent("top", "list_dir", repeat_warning=3, repeat_limit=5))
    top = await w.ask("top")
    await w.becomes(top, "awaiting_approval")
    explained = await w.queue.explain(top)
    assert "the agent repeats itself: the same call of list_dir" in explained
    assert len(w.fake.requests) == 5
    warnings = texts(await w.told(top))
    assert len(warnings) == 2
    assert all("list_dir" in words for words in warnings)
    await w.queue.approve(top, "ann")
    assert (await w.end(top)).status == "completed"
    assert "A person looked at the calls that you repeated" in texts(await w.told(top))[2]
    assert (await w.queue.show(top))["attempt"] == 1
    assert not w.fake.refusals


# Outcomes that a crash hid


class Till:
    """A tool whose effect happens, and whose worker dies before it can say so."""

    def __init__(self) -> None:
        self.paid = 0

    async def pay(self) -> str:
        """Pay somebody an amount of money."""
        self.paid += 1
        raise Killed

    async def verify(self, call: Any, given: Any) -> str | None:
        raise Unknown


async def crash(s: Stage, **fields: Any) -> Till:
    """The worker dies within an unsafe call."""
    till = Till()
    needs_approval = fields.pop("needs_approval", False)
    tool = from_function(till.pay, effect="unsafe", needs_approval=needs_approval, verify=till.verify)
    s.tools = {"pay": tool}
    s.manifest = manifest(tools=("pay", "submit_result"), **fields)
    if needs_approval:
        await let_go(s)
    with pytest.raises(Killed):
        await s.play()
    await s.lose()
    return till


async def let_go(s: Stage) -> str:
    """It parks, and ann lets it go on; returns why it did."""
    with pytest.raises(Suspended):
        await s.play()
    id = await s.session.fetchval("select id from taskq.tasks")
    explained: str = await s.session.fetchval("select taskq.explain($1)", id)
    await s.session.execute("select taskq.approve($1, 'ann')", id)
    return explained


async def test_the_model_is_told_that_an_outcome_is_unknown_and_nothing_runs_twice(stage: SetUp) -> None:
    s: Stage = await stage(by_turn(calls(("pay", {})), done()))
    till = await crash(s)
    await s.play()
    assert till.paid == 1
    assert await s.calls() == [("pay", "unknown"), ("submit_result", "success")]
    [(_, _, answer, failed)] = s.fake.requests[-1].calls
    assert failed
    assert answer.startswith("The outcome of this call is unknown")
    assert "looked at it" not in answer


@pytest.mark.parametrize("needs_approval", [False, True])
async def test_a_task_whose_call_has_an_unknown_outcome_parks_where_the_role_says_so(
    stage: SetUp, needs_approval: bool
) -> None:
    """A yes to the call itself, before it ran, is no look at what became of it."""
    s: Stage = await stage(by_turn(calls(("pay", {})), done()))
    till = await crash(s, unknown_outcome="park", needs_approval=needs_approval)
    assert "the outcome of pay is unknown" in await let_go(s)
    await s.play()
    assert till.paid == 1
    assert (await s.calls())[0] == ("pay", "unknown")
    [(_, _, answer, _)] = s.fake.requests[-1].calls
    assert "ann has looked at it and lets you go on." in answer
