"""The fake Messages API: what the real SDK makes of it, and what it refuses as the real one does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anthropic
import httpx2
import pytest

from taskq.testing import (
    ApiError,
    Cut,
    ErrorEvent,
    FakeMessages,
    Reply,
    Request,
    Stall,
    by_turn,
    in_order,
    text,
    thinking,
    tool_use,
    web_search_tool_result,
)
from wire import ASK, CALL, HELLO, RESULT, TOOL, WORDS, conversation, posted, sdk, streamed

OLD = "claude-sonnet-4-5"
CACHE = {"cache_control": {"type": "ephemeral"}}
THOUGHT = thinking("Hm.")
CALL2, RESULT2 = {**CALL, "id": "t2"}, {**RESULT, "tool_use_id": "t2"}


# What it says


async def test_the_sdk_reads_a_streamed_message() -> None:
    async with sdk(FakeMessages(in_order(HELLO))) as client:
        message = await streamed(client)
    assert message.content[0].text == HELLO.content[0]["text"]
    assert message.stop_reason == "end_turn"
    assert message.model == "m"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 1


async def test_the_sdk_reads_a_whole_message_and_its_request_id() -> None:
    async with sdk(FakeMessages(in_order(HELLO))) as client:
        message = await client.messages.create(**ASK)
    assert message.content[0].text == HELLO.content[0]["text"]
    assert message._request_id is not None
    assert message._request_id.startswith("req_")


async def test_arguments_of_a_tool_come_in_pieces_and_arrive_whole() -> None:
    arguments = {"path": 'a "quoted" ünïcode \n path 🦜', "deep": {"list": [1, 2.5, None, True]}}
    reply = Reply([thinking("Hm."), text("I look."), tool_use("look", arguments)])
    async with sdk(FakeMessages(in_order(reply))) as client:
        message = await streamed(client, tools=[TOOL])
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[2].input == arguments
    assert message.content[2].id.startswith("toolu_")


async def test_events_come_in_the_documented_order() -> None:
    response = await posted(FakeMessages(in_order(HELLO)), {**ASK, "stream": True})
    kinds = [
        line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")
    ]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert kinds[:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert "ping" in kinds
    assert kinds.count("content_block_delta") > 1


async def test_it_works_in_process_through_the_asgi_transport() -> None:
    http = anthropic.DefaultAsyncHttpxClient(
        transport=httpx2.ASGITransport(app=FakeMessages(in_order(HELLO)).app)
    )
    async with anthropic.AsyncAnthropic(api_key="k", base_url="http://fake", http_client=http) as client:
        assert (await streamed(client)).content[0].text == HELLO.content[0]["text"]


async def test_tokens_can_be_counted() -> None:
    async with sdk(FakeMessages()) as client:
        short = await client.messages.count_tokens(model="m", messages=ASK["messages"])
        long = await client.messages.count_tokens(
            model="m", messages=[{"role": "user", "content": "Hi " * 100}]
        )
    assert 0 < short.input_tokens < long.input_tokens


async def test_the_same_request_gets_the_same_ids() -> None:
    fake = FakeMessages(in_order(Reply([tool_use("look", {})])))
    first, second = [(await posted(fake, {**ASK, "tools": [TOOL]})).json() for _ in range(2)]
    assert first == second


async def test_it_takes_its_time_between_events_if_it_is_told_to() -> None:
    async with sdk(FakeMessages(in_order(HELLO), latency=0.02)) as client:
        started = time.monotonic()
        await streamed(client)
    assert time.monotonic() - started > 8 * 0.02


# Scripts


async def test_a_script_sees_the_conversation() -> None:
    seen: list[Request] = []

    async def script(request: Request) -> Reply:
        seen.append(request)
        return Reply([text("ok")])

    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "x"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "nothing", "is_error": True}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    async with sdk(FakeMessages(script)) as client:
        await streamed(client, messages=messages, tools=[TOOL], system="Be kind.")
    [request] = seen
    assert (request.turn, request.system, request.model) == (2, "Be kind.", "m")
    assert request.calls == [("look", {"at": "x"}, "nothing", True)]
    assert set(request.tools) == {"look"}


async def test_scripts_answer_in_order_or_by_turn() -> None:
    one, two = Reply([text("one")]), Reply([text("two")])
    answered = {
        **ASK,
        "messages": [*ASK["messages"], {"role": "assistant", "content": "a"}, *ASK["messages"]],
    }
    ordered, turned = FakeMessages(in_order(one, two)), FakeMessages(by_turn(one, two))
    assert [(await posted(ordered, ASK)).json()["content"][0]["text"] for _ in range(3)] == [
        "one",
        "two",
        "two",
    ]
    said = [(await posted(turned, body)).json()["content"][0]["text"] for body in (ASK, ASK, answered, ASK)]
    assert said == ["one", "one", "two", "one"]


async def test_requests_are_recorded_and_know_whether_they_extend_each_other() -> None:
    fake = FakeMessages(in_order(HELLO))
    longer = {**ASK, "messages": [*ASK["messages"], {"role": "assistant", "content": "a"}, *ASK["messages"]]}
    other = {**ASK, "messages": [{"role": "user", "content": "Ho"}]}
    for body in (ASK, longer, other, {**longer, "system": "s"}):
        await posted(fake, body)
    first, second, third, fourth = fake.requests
    assert second.extends(first)
    assert not third.extends(first)
    assert not fourth.extends(first)
    assert first.prefix_hash != second.prefix_hash


# What goes wrong on request


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
async def test_errors_have_the_shape_that_the_sdk_knows(
    status: int, error: type[anthropic.APIStatusError]
) -> None:
    async with sdk(FakeMessages(in_order(ApiError(status, message="no", retry_after=2)))) as client:
        with pytest.raises(error) as caught:
            await streamed(client)
    assert caught.value.api_message == "no"
    assert caught.value.type is not None
    assert caught.value.request_id is not None
    assert caught.value.response.headers["retry-after"] == "2"


async def test_a_dropped_connection_is_a_protocol_error_in_mid_stream() -> None:
    async with sdk(FakeMessages(in_order(Reply(HELLO.content, fault=Cut(after=4))))) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await streamed(client)


async def test_a_clean_cut_ends_without_message_stop() -> None:
    fake = FakeMessages(in_order(Reply(HELLO.content, fault=Cut(after=4, clean=True))))
    async with sdk(fake) as client, client.messages.stream(**ASK) as stream:
        kinds = [event.type async for event in stream]
    assert "content_block_delta" in kinds
    assert "message_stop" not in kinds


async def test_an_error_event_is_a_status_error_with_status_200() -> None:
    async with sdk(FakeMessages(in_order(Reply(HELLO.content, fault=ErrorEvent(after=4))))) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await streamed(client)
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")


async def test_a_stall_runs_into_the_clients_timeout() -> None:
    fake = FakeMessages(in_order(Reply(HELLO.content, fault=Stall(after=4, seconds=30))))
    async with sdk(fake, timeout=0.3) as client:
        with pytest.raises((anthropic.APITimeoutError, httpx2.TimeoutException)):
            await streamed(client)


async def test_stopping_waits_for_no_stalled_stream() -> None:
    fake = FakeMessages(in_order(Reply(HELLO.content, fault=Stall(after=4, seconds=300))))
    async with sdk(fake, timeout=0.2) as client:
        with pytest.raises((anthropic.APITimeoutError, httpx2.TimeoutException)):
            await streamed(client)
        started = time.monotonic()
    assert time.monotonic() - started < 5


async def test_it_is_served_once_at_a_time() -> None:
    fake = FakeMessages()
    async with fake.serve():
        with pytest.raises(RuntimeError, match="served already"):
            fake.start()
    async with fake.serve() as again:
        assert again.startswith("http://127.0.0.1:")


# What it refuses, as the real one does


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({k: v for k, v in ASK.items() if k != "max_tokens"}, "max_tokens: Field required"),
        ({**ASK, "max_tokens": 0}, "max_tokens: Input should be greater"),
        ({k: v for k, v in ASK.items() if k != "model"}, "model: Field required"),
        ({k: v for k, v in ASK.items() if k != "messages"}, "messages: Field required"),
        ({**ASK, "messages": []}, "at least one message"),
        ({**ASK, "top_q": 1}, "top_q: Extra inputs"),
        (conversation(("assistant", "x")), 'first message must use the "user" role'),
        (conversation(("system", "x")), "accepts a top-level `system` parameter"),
        (conversation(("user", "")), "non-empty content"),
        (conversation(("user", [])), "non-empty content"),
        (conversation(("user", [{"type": "text", "text": ""}])), "text content blocks must be non-empty"),
        (conversation(("user", [{"type": "words"}])), "Input tag 'words'"),
        (conversation(("user", [{**WORDS, "parsed_output": None}])), "parsed_output: Extra inputs"),
        (conversation(("user", [CALL])), "`tool_use` blocks can only be in `assistant`"),
        (
            conversation(("user", "x"), ("assistant", [CALL])),
            "without `tool_result` blocks immediately after",
        ),
        (conversation(("user", "x"), ("assistant", [CALL]), ("user", "y")), "without `tool_result` blocks"),
        (
            conversation(("user", "x"), ("assistant", [CALL]), ("user", [WORDS, RESULT])),
            "without `tool_result`",
        ),
        (conversation(("user", [RESULT])), "messages.0.content.0: unexpected `tool_use_id`"),
        (
            conversation(("user", "x"), ("assistant", [CALL]), ("user", [RESULT, RESULT])),
            "each tool_use must have a single result",
        ),
        (conversation(("user", "x"), ("assistant", "a "), model=OLD), "cannot end with trailing whitespace"),
        (conversation(("user", "x"), ("assistant", "a")), "must end with a user message"),
        (conversation(("user", " \n")), "must contain non-whitespace text"),
        (conversation(("user", [{**RESULT, "content": [{"type": "text", "text": ""}]}])), "non-empty"),
        (conversation(("user", "x"), system=[{"type": "text", "text": ""}]), "system: text content blocks"),
        (conversation(("user", [{**WORDS, **CACHE} for _ in range(5)])), "A maximum of 4 blocks with"),
        (conversation(("user", [{**WORDS, **CACHE} for _ in range(4)]), **CACHE), "Found 5."),
        (conversation(("user", "x"), ("assistant", [{**THOUGHT, **CACHE}])), "thinking.cache_control: Extra"),
        (conversation(("user", [THOUGHT])), "`thinking` blocks can only be in `assistant` messages"),
        (
            conversation(("user", "x"), ("assistant", [web_search_tool_result("u", id="s1")])),
            "must have a corresponding `server_tool_use` block before it",
        ),
        ({**ASK, "temperature": 1}, "temperature: Extra inputs"),
        (conversation(("user", [{**WORDS, "citations": [{}]}])), "citations: Extra inputs"),
        (
            conversation(("user", "x"), ("assistant", [{"type": "document", "source": {}}])),
            "`document` blocks can only be in `user`",
        ),
        ({**ASK, "tool_choice": {"type": "any"}}, "only be specified while providing tools"),
        ({**ASK, "tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "not found in provided"),
        (conversation(("user", "x"), ("assistant", [CALL, CALL]), ("user", [RESULT])), "ids must be unique"),
        ({**ASK, "tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "tools.0.custom.name"),
        ({**ASK, "tools": [{"name": "a"}]}, "input_schema: Field required"),
        ({**ASK, "tools": [{"name": "a", "input_schema": {"type": "string"}}]}, "Input should be 'object'"),
        ({**ASK, "tools": [TOOL, TOOL]}, "unique"),
        (b"{", "not valid JSON"),
        ([1], "not a JSON object"),
    ],
)
async def test_a_wrong_request_is_a_400(body: Any, said: str) -> None:
    fake = FakeMessages(in_order(HELLO))
    response = await posted(fake, body)
    error = response.json()
    assert response.status_code == 400
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert said in error["error"]["message"]
    assert error["request_id"] == response.headers["request-id"]
    assert (len(fake.requests), len(fake.refusals)) == (0, 1)


async def test_an_older_version_takes_what_the_newest_refuses() -> None:
    body = conversation(("user", [{**WORDS, "citations": [{}]}]), temperature=1)
    response = await posted(FakeMessages(HELLO), body, **{"anthropic-version": "2023-06-01"})
    assert response.status_code == 200


async def test_an_older_model_goes_on_with_what_is_begun() -> None:
    body = conversation(("user", "x"), ("assistant", "The answer is"), model=OLD)
    assert (await posted(FakeMessages(HELLO), body)).status_code == 200


async def test_a_right_request_with_tools_is_accepted() -> None:
    body = conversation(("user", "x"), ("assistant", [WORDS, CALL]), ("user", [RESULT, WORDS]))
    assert (await posted(FakeMessages(in_order(HELLO)), body)).status_code == 200


@pytest.mark.parametrize("key", ["", "Bearer "])
async def test_a_request_without_a_key_is_a_401(key: str) -> None:
    response = await posted(FakeMessages(), ASK, **{"x-api-key": "", "authorization": key})
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("version", ["", "yesterday"])
async def test_a_request_without_a_version_is_a_400(version: str) -> None:
    response = await posted(FakeMessages(), ASK, **{"anthropic-version": version})
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("anthropic-version: ")


async def test_another_address_is_a_404() -> None:
    assert (await posted(FakeMessages(), ASK, path="/v1/complete")).status_code == 404


@pytest.mark.parametrize(
    ("calls", "messages", "status"),
    [
        ([CALL], [("user", [RESULT]), ("user", "and now?")], 200),
        ([CALL, CALL2], [("user", [RESULT]), ("user", [RESULT2])], 200),
        ([CALL, CALL2], [("user", [RESULT]), ("user", "wait"), ("user", [RESULT2])], 400),
        ([CALL], [("user", "wait"), ("user", [RESULT])], 400),
        ([CALL], [("user", [RESULT]), ("user", [RESULT])], 400),
        ([CALL, CALL2], [("user", [RESULT])], 400),
    ],
)
async def test_messages_of_one_role_in_a_row_are_one_turn(
    calls: list[Any], messages: list[tuple[str, Any]], status: int
) -> None:
    body = conversation(("user", "x"), ("assistant", calls), *messages)
    assert (await posted(FakeMessages(HELLO), body)).status_code == status


async def test_many_streams_at_once_do_not_wait_for_each_other() -> None:
    fake = FakeMessages(in_order(HELLO), latency=0.02)
    async with sdk(fake) as client:
        started = time.monotonic()
        await asyncio.gather(*(streamed(client) for _ in range(20)))
    assert time.monotonic() - started < 20 * 8 * 0.02
