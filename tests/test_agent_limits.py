"""What bounds an agent: the provider's limits, budgets, turns, prices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agent_world import MODEL, World, agent, calls, done, world
from support import eventually
from taskq.agent import UnknownPrice, turns
from taskq.testing import ApiError, ErrorEvent, Reply, Request, by_role, by_turn, in_order

SetUp = Callable[[Any], Any]
FALLBACK = "claude-haiku-5-5"
LOOK = calls(("list_dir", {}))


@pytest.fixture
async def set_up(dsn: str, db: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[SetUp]:
    """`w = await set_up(script)`"""
    async with AsyncExitStack() as stack:
        yield lambda script: stack.enter_async_context(world(dsn, db, tmp_path, script))


# The provider's limits


async def test_one_429_holds_everybody_until_it_is_over_and_costs_no_attempt(set_up: SetUp) -> None:
    limit = ApiError(429, retry_after=2)
    w: World = await set_up(in_order(limit, done()))
    await w.work(agent("top"), slots=4)
    first = await w.ask("top")
    await eventually(lambda: w.fake.requests_log and w.fake.requests_log[0].answered)
    others = [await w.ask("top") for _ in range(5)]
    for id in (first, *others):
        assert (await w.end(id)).status == "completed"
    log = w.fake.requests_log
    assert [arrival.status for arrival in log] == [429, *[200] * 6]
    assert min(arrival.at for arrival in log[1:]) - log[0].answered >= 2
    assert await w.db.fetch("select distinct attempt from taskq.tasks") == [(1,)]
    assert not await w.db.fetch("select from taskq.attempts")
    gate = await w.db.fetchrow("select reason from taskq.gates where model = $1", MODEL)
    assert "answered 429" in gate["reason"]


async def test_an_overload_in_mid_stream_holds_everybody_too(set_up: SetUp) -> None:
    w: World = await set_up(in_order(Reply(LOOK.content, fault=ErrorEvent(after=3)), done()))
    await w.work(agent("top"))
    top = await w.ask("top")
    await eventually(lambda: w.db.fetchrow("select from taskq.gates where paused_until > now()"))
    row = await w.becomes(top, "queued")
    assert row["attempt"] == 0
    assert len(w.fake.requests) == 1
    await w.queue.resume_gate("anthropic", MODEL, "ann")
    await w.queue.retry(top, actor="ann")
    assert (await w.end(top)).status == "completed"
    assert not await w.db.fetch("select from taskq.attempts")


async def test_while_a_model_is_paused_its_fallback_is_asked_and_recorded(set_up: SetUp) -> None:
    def script(request: Request) -> Any:
        return ApiError(429, retry_after=600) if request.model == MODEL else by_turn(LOOK, done())(request)

    w: World = await set_up(script)
    await w.work(agent("top", "list_dir", fallback=(FALLBACK,)))
    end = await w.end(await w.ask("top"))
    assert (end.status, end.result["model"]) == ("completed", FALLBACK)
    assert [request.model for request in w.fake.requests] == [MODEL, FALLBACK, FALLBACK]
    models = await w.db.fetch("select model from taskq.messages where role = 'assistant' order by seq")
    assert [row["model"] for row in models] == [FALLBACK, FALLBACK]
    assert await w.db.fetchval("select min(cost) from taskq.messages where role = 'assistant'") > 0


async def test_limits_in_the_answers_headers_are_learned(set_up: SetUp) -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-tokens-limit": "100000",
        "anthropic-ratelimit-tokens-remaining": "90000",
    }
    w: World = await set_up(Reply(done().content, headers=headers))
    await w.work(agent("top"))
    await w.end(await w.ask("top"))
    gate = await w.db.fetchrow("select * from taskq.gates where model = $1", MODEL)
    assert (gate["requests_per_minute"], gate["tokens_per_minute"]) == (50, 100_000)


@pytest.mark.parametrize(
    "refusal",
    [
        ApiError(402),
        ApiError(400, message="You have reached your specified API usage limits. You will regain access."),
    ],
    ids=["billing", "own limit"],
)
async def test_an_exhausted_account_waits_for_a_person_who_is_told(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch, refusal: ApiError
) -> None:
    monkeypatch.setattr(turns, "LONGEST_SNOOZE", 0.6)
    w: World = await set_up(in_order(refusal, done()))
    await w.work(agent("top"))
    top = await w.ask("top")
    alert = await eventually(lambda: w.db.fetchrow("select * from taskq.tasks where role = 'alert'"))
    assert "taskq.resume_gate('anthropic')" in alert["payload"]["text"]
    row = await w.db.fetchrow("select paused_until, reason from taskq.gates where model = '*'")
    assert await w.db.fetchval("select paused_until = 'infinity' from taskq.gates where model = '*'")
    assert "the account may spend no more" in row["reason"]
    await w.becomes(top, "queued")
    assert len(w.fake.requests) == 1
    await w.queue.resume_gate("anthropic", actor="ann")
    assert (await w.end(top)).status == "completed"
    assert (await w.queue.show(top))["attempt"] == 1
    assert await w.db.fetchval("select count(*) from taskq.tasks where role = 'alert'") == 1


# Budgets


async def raised(w: World, id: Any, limits: dict[str, float]) -> None:
    """The budget is raised, and the task retried."""
    await w.queue.set_budget("task", str(id), limits, "ann")
    await w.queue.retry(id, actor="ann")


async def test_a_task_over_its_manifests_budget_fails_and_goes_on_where_it_was_when_it_is_raised(
    set_up: SetUp,
) -> None:
    w: World = await set_up(by_turn(LOOK, LOOK, done()))
    await w.work(agent("top", "list_dir", budget={"turns": 2}))
    top = await w.ask("top")
    end = await w.end(top)
    assert (end.status, end.error_kind) == ("failed", "budget_exceeded")
    assert f"budget of task {top}: 3 of 2 turns" in str(end.error)
    assert len(w.fake.requests) == 2
    before = await w.db.fetch("select seq, body from taskq.messages order by seq")
    await raised(w, top, {"turns": 5})
    result = (await w.end(top)).result
    assert (result["turns"], result["resumed_turns"]) == (3, 2)
    after = await w.db.fetch("select seq, body from taskq.messages order by seq")
    assert after[: len(before)] == before
    assert len(w.fake.requests) == 3
    spend = await w.db.fetchrow("select * from taskq.spend")
    assert (spend["turns_used"], spend["turns"], spend["set_by"]) == (3, 5, "ann")
    assert spend["tokens_used"] == await w.db.fetchval(
        "select sum((usage ->> 'input_tokens')::int + (usage ->> 'output_tokens')::int"
        " + coalesce((usage ->> 'cache_read_input_tokens')::int, 0)"
        " + coalesce((usage ->> 'cache_creation_input_tokens')::int, 0)) from taskq.messages"
    )
    assert spend["cost_used"] == await w.db.fetchval("select sum(cost) from taskq.messages")


async def test_a_tool_call_over_the_budget_is_not_run_until_it_is_raised(set_up: SetUp) -> None:
    write = calls(
        ("write_file", {"path": "a", "content": "x"}), ("write_file", {"path": "b", "content": "x"})
    )
    w: World = await set_up(by_turn(write, done()))
    await w.work(agent("top", "write_file", budget={"tool_calls": 1}))
    top = await w.ask("top")
    end = await w.end(top)
    assert (end.error_kind, "2 of 1 tool calls" in str(end.error)) == ("budget_exceeded", True)
    assert await w.outcomes(top) == [("write_file", "success"), ("write_file", "proposed")]
    directory = w.home / "work" / str(top)
    assert sorted(path.name for path in directory.iterdir()) == ["a"]
    await raised(w, top, {"tool_calls": 10})
    assert (await w.end(top)).status == "completed"
    assert sorted(path.name for path in directory.iterdir()) == ["a", "b"]
    assert len(w.fake.requests) == 2


async def test_what_could_cost_too_much_is_not_asked(set_up: SetUp) -> None:
    w: World = await set_up(done())
    await w.work(agent("top", budget={"cost": 0.0001}))
    end = await w.end(await w.ask("top"))
    assert (end.error_kind, "US dollars" in str(end.error)) == ("budget_exceeded", True)
    assert not w.fake.requests


async def test_children_count_in_their_parents_budget(set_up: SetUp) -> None:
    give = calls(("delegate", {"role": "leaf", "objective": "A part."}))
    w: World = await set_up(by_role({"top": by_turn(give, done()), "leaf": by_turn(LOOK, LOOK, done())}))
    await w.work(
        agent("top", "delegate", "list_dir", delegates=("leaf",), budget={"turns": 3}),
        agent("leaf", "list_dir"),
        slots=1,
    )
    top = await w.ask("top")
    end = await w.end(top)
    assert (end.status, end.error_kind) == ("failed", "budget_exceeded")  # it has none left itself, either
    [child] = await w.children(top)
    assert (child["error_kind"], f"budget of task {top}" in child["error"]) == ("budget_exceeded", True)
    assert len(w.fake.requests) == 3


async def test_a_role_has_a_budget_for_a_day(set_up: SetUp) -> None:
    w: World = await set_up(done())
    await w.work(agent("top", daily_budget={"turns": 1}), slots=1)
    first, second = await w.ask("top"), await w.ask("top")
    ends = [await w.end(first), await w.end(second)]
    assert [end.status for end in ends] == ["completed", "failed"]
    assert (ends[1].error_kind, "budget of role top today: 2 of 1 turns" in str(ends[1].error)) == (
        "budget_exceeded",
        True,
    )
    await w.queue.set_budget("role", "top", {"turns": 5}, "ann")
    await w.queue.retry(second, actor="ann")
    assert (await w.end(second)).status == "completed"


async def test_a_call_that_was_refused_costs_no_budget(set_up: SetUp) -> None:
    w: World = await set_up(in_order(ApiError(429, retry_after=0.1), done()))
    await w.work(agent("top", budget={"turns": 1}))
    top = await w.ask("top")
    assert (await w.end(top)).status == "completed"
    assert await w.db.fetchval("select turns_used from taskq.spend") == 1


# Turns and prices


async def test_a_run_ends_after_its_turns_and_goes_on_where_they_are_raised(
    set_up: SetUp,
) -> None:
    w: World = await set_up(by_turn(LOOK, LOOK, done()))
    first = await w.work(agent("top", "list_dir", max_turns=2))
    top = await w.ask("top")
    end = await w.end(top)
    assert (end.status, end.error_kind) == ("failed", "budget_exceeded")
    assert "no result within 2 turns" in str(end.error)
    first.drain()
    await w.work(agent("top", "list_dir", max_turns=3))
    await w.queue.retry(top, actor="ann")
    assert (await w.end(top)).result["turns"] == 3
    assert len(w.fake.requests) == 3


async def test_a_model_without_a_price_is_refused_at_the_start_unless_the_role_allows_it(
    set_up: SetUp,
) -> None:
    w: World = await set_up(done())
    for fields in ({"model": "a-model-of-tomorrow"}, {"fallback": ("a-model-of-tomorrow",)}):
        with pytest.raises(UnknownPrice, match="a-model-of-tomorrow"):
            await w.work(agent("top", **fields))
    await w.work(agent("top", model="a-model-of-tomorrow", allow_unpriced=True))
    top = await w.ask("top")
    assert (await w.end(top)).result["cost"] == 0
    assert await w.db.fetchval("select cost from taskq.messages where role = 'assistant'") is None
