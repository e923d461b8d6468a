"""The agent loop on a real database: what a run commits, and how a crashed one goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agent_stage import Killed, Stage, manifest
from support import eventually
from taskq.agent import Claude, Unavailable
from taskq.database import Pool
from taskq.errors import Fail, LeaseLost, Snooze
from taskq.testing import (
    Cut,
    ErrorEvent,
    FakeMessages,
    Reply,
    Request,
    Stall,
    by_turn,
    events,
    in_order,
    offline_script,
    text,
    thinking,
    tool_use,
)
from taskq.worker import line

SetUp = Callable[..., Any]
ANSWER = {"summary": "All is well."}
SUBMIT = Reply([text("Done."), tool_use("submit_result", ANSWER)])
LOOK = Reply([text("I look."), tool_use("list_dir", {"path": "."})])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A little checkout."""
    directory = tmp_path / "checkout"
    (directory / "sql").mkdir(parents=True)
    (directory / "README.md").write_text("# taskq\n\nA queue of tasks, with an overview.\n")
    (directory / "sql" / "tables.sql").write_text("create table tasks (\n  id uuid primary key\n);\n")
    (directory / "sql" / "views.sql").write_text("create view overview as\nselect * from tasks;\n")
    return directory


@pytest.fixture
async def stage(db: asyncpg.Connection, dsn: str, directory: Path) -> AsyncIterator[SetUp]:
    """Sets a stage: `await stage(script)` puts the task and serves the script."""
    async with AsyncExitStack() as stack:

        async def set_up(script: Any = offline_script, *, silence: float = 60.0, **payload: Any) -> Stage:
            fake = FakeMessages(script, latency=0)
            claude = Claude(
                "k", base_url=await stack.enter_async_context(fake.serve()), simulated=True, silence=silence
            )
            stack.push_async_callback(claude.close)
            pool = Pool(dsn, size=2)
            stack.push_async_callback(pool.close)
            made = Stage(db, pool, fake, claude, directory)
            await made.put(payload)
            return made

        yield set_up


# One run


async def test_a_run_looks_at_real_files_and_hands_in_facts(stage: SetUp) -> None:
    s = await stage()
    result = await s.play()
    response = result["response"]
    assert response["files"] == ["README.md", "sql/views.sql"]
    assert response["findings"] == [
        "Directory . has 2 entries.",
        "README.md has 3 lines.",
        "overview is on 2 lines (3 files searched).",
        "sql/views.sql has 2 lines.",
    ]
    assert result["tools"] == {"grep": 1, "list_dir": 1, "read_file": 2, "submit_result": 1}
    assert (result["turns"], result["resumed_turns"]) == (5, 0)
    assert (result["model"], result["simulated"]) == ("claude-sonnet-5-5", True)
    assert result["usage"]["cache_read_input_tokens"] > result["usage"]["output_tokens"] > 0
    assert not s.fake.refusals


async def test_every_finished_message_is_a_row(stage: SetUp) -> None:
    s = await stage(by_turn(LOOK, SUBMIT))
    await s.play()
    rows = await s.rows()
    assert [(row["seq"], row["role"], row["stop_reason"]) for row in rows] == [
        (0, "user", None),
        (1, "assistant", "tool_use"),
        (2, "user", None),
        (3, "assistant", "tool_use"),
    ]
    assert all(row["simulated"] for row in rows)
    assert [row["model"] for row in rows] == [None, "claude-sonnet-5-5"] * 2
    assert rows[1]["usage"]["output_tokens"] > 0


async def test_a_turn_that_ends_without_tools_is_the_response(stage: SetUp) -> None:
    s = await stage(in_order(Reply([text("It is "), text("fine.")])))
    result = await s.play()
    assert result["response"] == "It is fine."
    assert result["tools"] == {}


async def test_all_results_of_a_turn_go_back_in_one_message(stage: SetUp) -> None:
    many = Reply(
        [tool_use("read_file", {"path": "README.md"}), tool_use("list_dir", {}), tool_use("grep", {})]
    )
    s = await stage(by_turn(many, SUBMIT))
    await s.play()
    asked, answered = (message["content"] for message in s.fake.requests[1].messages[1:])
    assert [block["type"] for block in answered] == ["tool_result"] * 3
    assert [block["tool_use_id"] for block in answered] == [block["id"] for block in asked]
    assert "A queue of tasks, with" in answered[0]["content"]
    assert answered[2]["is_error"]


async def test_thinking_goes_back_as_it_came(stage: SetUp) -> None:
    s = await stage(by_turn(Reply([thinking("Hm. ünï 🦜"), *LOOK.content]), SUBMIT))
    await s.play()
    assert s.fake.requests[1].messages[1]["content"][0] == thinking("Hm. ünï 🦜")
    assert not s.fake.refusals


async def test_a_wrong_submission_is_told_to_the_model(stage: SetUp) -> None:
    s = await stage(by_turn(Reply([tool_use("submit_result", {"findings": []})]), SUBMIT))
    result = await s.play()
    assert result["response"] == ANSWER
    [(_, _, answer, failed)] = s.fake.requests[1].calls
    assert failed
    assert "summary" in answer


async def test_a_submission_beside_other_calls_ends_the_run_without_them(stage: SetUp) -> None:
    s = await stage(in_order(Reply([*LOOK.content, tool_use("submit_result", ANSWER)])))
    assert (await s.play())["response"] == ANSWER
    assert len(await s.rows()) == 2


async def test_a_tool_that_the_role_may_not_use_is_refused_and_the_run_goes_on(stage: SetUp) -> None:
    s = await stage(by_turn(LOOK, Reply([text("Then not.")])))
    s.manifest = manifest(tools=("read_*",))
    assert (await s.play())["response"] == "Then not."
    assert list(s.fake.requests[0].tools) == ["read_file"]
    [(_, _, answer, failed)] = s.fake.requests[1].calls
    assert failed
    assert "not among the tools of this task (read_file)" in answer


async def test_people_see_what_the_agent_does(stage: SetUp, db: asyncpg.Connection) -> None:
    s = await stage(by_turn(Reply([tool_use("read_file", {"path": "sql/tables.sql"})]), SUBMIT))
    await s.play()
    assert s.line.notes == [
        "turn 1: asking claude-sonnet-5-5",
        "turn 1: read_file sql/tables.sql",
        "turn 2: submit_result",
    ]
    assert await db.fetchval("select progress_note from taskq.tasks") == s.line.notes[-1]


async def test_texts_that_postgres_or_utf8_cannot_carry_do_no_harm(stage: SetUp, directory: Path) -> None:
    (directory / "odd").write_bytes(b"caf\xe9 \x01\n")
    (directory / b"b\xe9d".decode("utf-8", "surrogateescape")).touch()
    odd = "nul \0, half \ud83d, whole \U0001f99c"
    s = await stage(
        by_turn(
            Reply([tool_use("list_dir", {}), tool_use("read_file", {"path": "odd"})]),
            Reply([text("x\0y"), tool_use("read_file", {"path": odd})]),
            Reply([tool_use("submit_result", {"summary": odd, "deep": [{odd: odd}]})]),
        )
    )
    result = await s.play()
    clean = "nul �, half �, whole \U0001f99c"
    assert result["response"] == {"summary": clean, "deep": [{clean: clean}]}
    assert await s.session.fetchval("select $1::jsonb", result) == result


# The limits


async def test_a_run_that_does_not_end_fails_as_budget_exceeded(stage: SetUp) -> None:
    s = await stage(in_order(LOOK))
    s.manifest = manifest(max_turns=3)
    with pytest.raises(Fail, match="max_turns") as caught:
        await s.play()
    assert caught.value.kind == "budget_exceeded"
    assert len(s.fake.requests) == 3


async def test_before_its_last_turn_the_model_is_told_to_hand_in(stage: SetUp) -> None:
    s = await stage(by_turn(LOOK, LOOK, SUBMIT))
    s.manifest = manifest(max_turns=3)
    await s.play()
    last = [request.messages[-1]["content"] for request in s.fake.requests]
    assert [block["type"] for block in last[1]] == ["tool_result"]
    assert [block["type"] for block in last[2]] == ["tool_result", "text"]
    assert "one turn left" in last[2][1]["text"]
    assert not s.fake.refusals


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply([text("cut o")], stop_reason="max_tokens"), "max_output_tokens"),
        (Reply([tool_use("list_dir", {})], stop_reason="max_tokens"), "max_output_tokens"),
        (Reply([text("no")], stop_reason="refusal"), "refused"),
        (Reply([], stop_reason="refusal"), "refused"),
        (Reply([text("x")], stop_reason="model_context_window_exceeded"), "context window"),
        (Reply([]), "without saying anything"),
        (Reply([text("  ")]), "without saying anything"),
        (Reply([text("?")], stop_reason="tool_use"), "without saying anything"),
    ],
)
async def test_a_turn_that_stops_short_fails_the_task_and_its_cost_is_kept(
    stage: SetUp, reply: Reply, said: str
) -> None:
    s = await stage(in_order(reply, SUBMIT))
    with pytest.raises(Fail, match=said) as caught:
        await s.play()
    assert caught.value.kind == "agent_error"
    # An operator tries again: the short turn is paid for and not built on.
    await s.lose()
    result = await s.play()
    assert result["response"] == ANSWER
    rows = await s.rows()
    assert [row["role"] for row in rows] == ["user", "assistant", "assistant"]
    assert result["usage"]["output_tokens"] == sum(row["usage"]["output_tokens"] for row in rows[1:])
    assert s.fake.requests[0].body == s.fake.requests[1].body


# Crashes


async def bodies_of(s: Stage) -> list[tuple[str, str, tuple[int, int]]]:
    """What is committed, with the tokens that went in and out; a repeated call reads more from the cache."""
    return [(row["role"], row["body"], in_and_out(row["usage"] or {})) for row in await s.rows()]


def in_and_out(usage: dict[str, int]) -> tuple[int, int]:
    total = sum(count for name, count in usage.items() if name.endswith("input_tokens"))
    return total, usage.get("output_tokens", 0)


def but_for_usage(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "usage": in_and_out(result["usage"]), "cost": None}


async def uninterrupted(stage: SetUp) -> tuple[dict[str, Any], list[Any], int]:
    """The result, the committed messages and the number of model calls of a run that nothing befalls."""
    s = await stage()
    result = await s.play()
    bodies = await bodies_of(s)
    await s.session.execute("delete from taskq.tasks")
    return result, bodies, len(s.fake.requests)


@pytest.mark.parametrize("boundary", range(1, 11))
async def test_a_run_killed_after_a_commit_goes_on_without_repeating_anything(
    stage: SetUp, boundary: int
) -> None:
    result, bodies, calls = await uninterrupted(stage)
    assert len(bodies) == 10
    s = await stage()
    with pytest.raises(Killed):
        await s.play(dies_after=boundary)
    committed = [(row["role"], row["body"]) for row in await s.rows()]
    assert len(committed) == boundary
    await s.lose()
    again = await s.play()
    assert again == {**result, "resumed_turns": boundary // 2}
    assert await bodies_of(s) == bodies
    assert len(s.fake.requests) == calls
    assert_each_extends_the_one_before(s)


@pytest.mark.parametrize("boundary", range(1, 11))
async def test_a_run_killed_before_a_commit_repeats_at_most_one_call(stage: SetUp, boundary: int) -> None:
    result, bodies, calls = await uninterrupted(stage)
    s = await stage()
    with pytest.raises(Killed):
        await s.play(dies_before=boundary)
    assert len(await s.rows()) == boundary - 1
    await s.lose()
    again = await s.play()
    assert but_for_usage(again) == but_for_usage({**result, "resumed_turns": (boundary - 1) // 2})
    assert await bodies_of(s) == bodies
    assert len(s.fake.requests) <= calls + 1
    assert_each_extends_the_one_before(s)


def assert_each_extends_the_one_before(s: Stage) -> None:
    """Every prompt on the wire starts with the bytes of the one before it; a cache would have hit."""
    assert not s.fake.refusals
    for earlier, later in itertools.pairwise(s.fake.requests):
        assert later.extends(earlier)
        # All but the closing bracket of the messages, as the bytes that came over the wire.
        head = b'"messages":' + json.dumps(
            earlier.body["messages"], ensure_ascii=False, separators=(",", ":")
        ).encode().removesuffix(b"]")
        assert head in earlier.raw
        assert head in later.raw


async def test_killed_in_every_turn_it_still_pays_for_each_turn_once(stage: SetUp) -> None:
    result, bodies, calls = await uninterrupted(stage)
    s = await stage()
    for _ in bodies:
        with pytest.raises(Killed):
            await s.play(dies_after=1)
        await s.lose()
    again = await s.play()
    assert again == {**result, "resumed_turns": 5}
    assert len(s.fake.requests) == calls


async def test_tool_calls_without_results_are_run_before_the_model_is_asked(stage: SetUp) -> None:
    s = await stage(by_turn(LOOK, SUBMIT))
    with pytest.raises(Killed):
        await s.play(dies_after=2)
    assert [role for role, _ in await s.contents()] == ["user", "assistant"]
    await s.lose()
    assert (await s.play())["response"] == ANSWER
    assert [role for role, _ in await s.contents()] == ["user", "assistant", "user", "assistant"]
    assert not s.fake.refusals


async def test_an_answer_that_was_committed_is_handed_in_without_asking_again(stage: SetUp) -> None:
    for reply, response in ((SUBMIT, ANSWER), (Reply([text("Fine.")]), "Fine.")):
        s = await stage(in_order(reply))
        with pytest.raises(Killed):
            await s.play(dies_after=2)
        await s.lose()
        result = await s.play()
        assert (result["response"], result["resumed_turns"], len(s.fake.requests)) == (response, 1, 1)
        await s.worker.complete(s.claimed)
        await s.session.execute("delete from taskq.tasks")


async def test_a_resumed_run_sends_the_prompt_that_was_committed(stage: SetUp) -> None:
    s = await stage(by_turn(LOOK, SUBMIT))
    with pytest.raises(Killed):
        await s.play(dies_after=1)
    await s.lose()
    await s.session.execute('update taskq.tasks set payload = payload || \'{"objective": "Another."}\'')
    await s.play()
    assert "Tell what is here." in s.fake.requests[0].messages[0]["content"][0]["text"]


async def test_a_zombie_commits_nothing_and_is_told(stage: SetUp) -> None:
    s = await stage()
    task = await s.claim()
    await s.lose()
    with pytest.raises(LeaseLost):
        await s.player().play(task)
    assert not await s.rows()


async def test_a_lease_lost_among_the_tools_ends_the_run(stage: SetUp) -> None:
    """The loss reaches the worker; the model is not told of it as if it were a tool's error."""

    async def script(request: Request) -> Reply:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(s.lose(), loop))
        return LOOK

    loop = asyncio.get_running_loop()
    s = await stage(script)
    with pytest.raises(LeaseLost):
        await s.play()
    assert [role for role, _ in await s.contents()] == ["user"]
    assert len(s.fake.requests) == 1


# A database that is away for a moment


@pytest.mark.parametrize("strike", ["drops_before", "drops_after"])
@pytest.mark.parametrize("message", [1, 2, 3, 10])
async def test_a_lost_connection_costs_no_turn(
    stage: SetUp, monkeypatch: pytest.MonkeyPatch, strike: str, message: int
) -> None:
    """Whether the commit went through is looked up, so the message is neither lost nor doubled."""
    monkeypatch.setattr(line, "pause", lambda failures: 0.01)
    result, bodies, calls = await uninterrupted(stage)
    s = await stage()
    assert await s.play(**{strike: message}) == result
    assert await bodies_of(s) == bodies
    assert len(s.fake.requests) == calls


# Streams that break

EVENTS = 9


@pytest.mark.parametrize("clean", [False, True], ids=["dropped", "clean"])
@pytest.mark.parametrize("after", range(EVENTS))
async def test_a_cut_stream_commits_nothing_and_is_tried_again(stage: SetUp, after: int, clean: bool) -> None:
    call = Reply([tool_use("list_dir", {"path": "sql"})], fault=Cut(after=after, clean=clean))
    s = await stage(in_order(call, LOOK, SUBMIT))
    with pytest.raises(Unavailable) as caught:
        await s.play()
    assert caught.value.kind == "external_service"
    assert [role for role, _ in await s.contents()] == ["user"]
    await s.lose()
    result = await s.play()
    assert (result["response"], result["turns"]) == (ANSWER, 2)


async def test_the_cuts_above_reach_the_last_event() -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    whole = events.message(
        Request("/v1/messages", {}, b"", body), Reply([tool_use("list_dir", {"path": "sql"})])
    )
    assert [event["type"] for event in events.stream(whole)][-1] == "message_stop"
    assert len(list(events.stream(whole))) == EVENTS


async def test_an_error_in_mid_stream_is_known_by_its_type(stage: SetUp) -> None:
    s = await stage(in_order(Reply(LOOK.content, fault=ErrorEvent(after=4)), SUBMIT))
    with pytest.raises(Snooze, match="529"):
        await s.play()
    assert len(await s.rows()) == 1


async def test_a_silent_stream_is_given_up(stage: SetUp) -> None:
    s = await stage(in_order(Reply(LOOK.content, fault=Stall(after=4, seconds=60))), silence=0.3)
    with pytest.raises(Unavailable, match="Timeout"):
        await s.play()
    assert len(await s.rows()) == 1


async def test_a_cancelled_run_ends_at_once_and_commits_nothing_more(stage: SetUp) -> None:
    s = await stage(in_order(Reply(LOOK.content, fault=Stall(after=4, seconds=60))))
    playing = asyncio.create_task(s.play())
    await eventually(lambda: s.fake.requests)
    playing.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await playing
    assert len(await s.rows()) == 1
