"""What the fake Messages API streams: every block, every stop reason, every way to be cut."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import anthropic
import httpx2
import pytest

from support import eventually
from taskq.testing import (
    Cut,
    Drip,
    Extra,
    FakeMessages,
    Garbage,
    Pieces,
    Reply,
    Reset,
    Stall,
    citation,
    ping,
    redacted_thinking,
    server_tool_use,
    text,
    thinking,
    tool_use,
    unknown_delta,
    unknown_event,
    web_search_tool_result,
)
from wire import ASK, HEADERS, HELLO, TOOL, conversation, events_of, posted, sdk, streamed

HEADER_LINES = [f"{name}: {value}" for name, value in HEADERS.items()]
CITED = text("It rains.", citations=[citation("https://x.test", "X", "rain"), citation("b", "B", "wet")])
EVERYTHING = Reply(
    [
        thinking("Let me think about it, at length."),
        thinking("", signature="only-signed"),
        redacted_thinking("c2VjcmV0"),
        text("I search."),
        server_tool_use("web_search", {"query": "rain"}),
        web_search_tool_result("https://x.test", "https://y.test"),
        CITED,
        tool_use("look", {"at": "ü"}),
    ]
)


async def test_the_sdk_reads_every_block_and_can_send_it_back_unchanged() -> None:
    fake = FakeMessages(EVERYTHING)
    async with sdk(fake) as client:
        message = await streamed(client, tools=[TOOL])
        said = [block.to_dict() for block in message.content]
        result = {"type": "tool_result", "tool_use_id": said[-1]["id"], "content": "x"}
        messages = [*ASK["messages"], {"role": "assistant", "content": said}]
        await streamed(client, tools=[TOOL], messages=[*messages, {"role": "user", "content": [result]}])
    assert [block["type"] for block in said] == [block["type"] for block in EVERYTHING.content]
    assert said[0]["thinking"] == "Let me think about it, at length."
    assert said[1] == thinking("", signature="only-signed")
    assert said[2] == redacted_thinking("c2VjcmV0")
    assert said[4]["input"] == {"query": "rain"}
    assert said[5]["tool_use_id"] == said[4]["id"]
    assert said[5]["content"] == EVERYTHING.content[5]["content"]
    assert said[6] == CITED
    assert said[7]["input"] == {"at": "ü"}


async def test_a_stream_and_a_whole_message_say_the_same() -> None:
    async with sdk(FakeMessages(EVERYTHING)) as client:
        whole = (await client.messages.create(**ASK)).to_dict()
        parts = (await streamed(client)).to_dict()
    assert whole == parts


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (HELLO, "end_turn"),
        (Reply([text("cut")], stop_reason="max_tokens"), "max_tokens"),
        (Reply([text("to the")], stop_sequence="END"), "stop_sequence"),
        (Reply([tool_use("look", {})]), "tool_use"),
        (Reply([server_tool_use("web_search", {"query": "x"})], stop_reason="pause_turn"), "pause_turn"),
        (Reply([], stop_reason="refusal"), "refusal"),
        (Reply([text("too")], stop_reason="model_context_window_exceeded"), "model_context_window_exceeded"),
        (Reply([text("new")], stop_reason="coffee_break"), "coffee_break"),
    ],
)
async def test_every_stop_reason_arrives(reply: Reply, reason: str) -> None:
    async with sdk(FakeMessages(reply)) as client:
        message = await streamed(client)
    assert (message.stop_reason, message.stop_sequence) == (reason, reply.stop_sequence)
    assert (message.stop_details is not None) == (reason == "refusal")


async def test_a_paused_turn_goes_on_when_it_is_sent_back() -> None:
    paused = Reply([server_tool_use("web_search", {"query": "x"})], stop_reason="pause_turn")
    async with sdk(FakeMessages(paused)) as client:
        said = [block.to_dict() for block in (await streamed(client)).content]
        messages = [*ASK["messages"], {"role": "assistant", "content": said}]
        assert (await streamed(client, messages=messages)).stop_reason == "pause_turn"


async def test_arguments_break_inside_escapes_after_an_empty_piece() -> None:
    arguments = {"words": 'tab\t "quoted" \\ ünïcode 🦜'}
    reply = Reply([tool_use("look", arguments)], pieces=Pieces(json=1))
    deltas = [event.get("delta", {}) for event in await events_of(FakeMessages(reply))]
    pieces = [delta["partial_json"] for delta in deltas if delta.get("type") == "input_json_delta"]
    assert pieces[0] == ""
    assert "\\" in pieces
    assert json.loads("".join(pieces)) == arguments
    async with sdk(FakeMessages(reply)) as client:
        assert (await streamed(client)).content[0].input == arguments


async def test_chunks_break_inside_characters() -> None:
    reply = Reply([text("ünïcode 🦜")], pieces=Pieces(chunk=1))
    async with FakeMessages(reply).serve() as base_url, httpx2.AsyncClient(base_url=base_url) as client:
        body = json.dumps({**ASK, "stream": True})
        async with client.stream("POST", "/v1/messages", content=body, headers=HEADERS) as response:
            chunks = [chunk async for chunk in response.aiter_raw()]
    assert b"\xf0" in chunks
    assert "🦜" in b"".join(chunks).decode()
    async with sdk(FakeMessages(reply)) as client:
        assert (await streamed(client)).content[0].text == "ünïcode 🦜"


async def test_arguments_that_the_tokens_did_not_suffice_for_are_cut_short() -> None:
    reply = Reply([tool_use("look", '{"at": "somewh')], stop_reason="max_tokens")
    async with sdk(FakeMessages(reply)) as client:
        message = await streamed(client)
        whole = await client.messages.create(**ASK)
    assert (message.stop_reason, whole.content[0].input) == ("max_tokens", {})
    assert message.content[0].input != {"at": "somewhere"}


async def test_pings_and_unknown_types_change_nothing_for_the_sdk() -> None:
    faults = [ping(1), unknown_event(2), unknown_delta(3), Extra(4, {"type": "ping"}), unknown_event(99)]
    fake = FakeMessages(Reply(HELLO.content, fault=faults))
    kinds = [event["type"] for event in await events_of(fake)]
    assert kinds[1] == "ping"
    assert kinds.count("vibe_check") == 2
    async with sdk(fake) as client, client.messages.stream(**ASK) as stream:
        words = [event.text async for event in stream if event.type == "text"]
    assert "".join(words) == HELLO.content[0]["text"]


async def test_a_garbage_line_is_no_json() -> None:
    async with sdk(FakeMessages(Reply(HELLO.content, fault=Garbage(after=3)))) as client:
        with pytest.raises(ValueError, match=r"(?i)unterminated|expecting"):
            await streamed(client)
    async with sdk(FakeMessages(Reply(HELLO.content, fault=Garbage(3, b"nonsense\n\n")))) as client:
        assert (await streamed(client)).content[0].text == HELLO.content[0]["text"]


@pytest.mark.parametrize("after", [0, 4])
async def test_a_reset_is_an_error_of_the_connection(after: int) -> None:
    fake = FakeMessages(Reply(HELLO.content, fault=Reset(after=after)))
    async with sdk(fake) as client:
        with pytest.raises((anthropic.APIConnectionError, httpx2.ReadError)) as caught:
            await streamed(client)
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, ConnectionResetError):
        cause = cause.__cause__ or cause.__context__
    assert isinstance(cause, ConnectionResetError)
    assert fake.requests_log[0].status == (200 if after else None)
    await eventually(lambda: fake.requests_log[0].end == "broken")


async def test_a_cut_may_come_after_the_last_event() -> None:
    async with sdk(FakeMessages(Reply(HELLO.content, fault=Cut(after=99)))) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await streamed(client)


async def test_a_drip_is_slow_and_whole() -> None:
    fake = FakeMessages(Reply([text("slow")], fault=Drip(after=2, seconds=0.01, size=20)))
    async with sdk(fake) as client:
        started = time.monotonic()
        assert (await streamed(client)).content[0].text == "slow"
    assert time.monotonic() - started > 0.1


async def test_faults_happen_in_order() -> None:
    faults = [Cut(after=5, clean=True), Stall(after=2, seconds=0.05), ping(3)]
    fake = FakeMessages(Reply(HELLO.content, fault=faults))
    started = time.monotonic()
    kinds = [event["type"] for event in await events_of(fake)]
    assert time.monotonic() - started >= 0.05
    assert len(kinds) == 6
    assert kinds[3] == "ping"


async def test_a_client_that_hangs_up_is_noted_at_once() -> None:
    fake = FakeMessages(Reply(HELLO.content, fault=Stall(after=4, seconds=300)))
    async with sdk(fake) as client, client.messages.stream(**ASK) as stream:
        async for event in stream:
            if event.type == "text":
                break
        await stream.close()
        await eventually(lambda: fake.requests_log[0].end == "closed", timeout=3)
    assert fake.requests_log[0].answered <= fake.requests_log[0].ended


async def test_a_request_that_breaks_off_is_neither_answered_nor_refused() -> None:
    fake = FakeMessages(HELLO)
    async with fake.serve() as base_url:
        port = int(base_url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "\r\n".join(["POST /v1/messages HTTP/1.1", "host: x", "content-length: 1000", *HEADER_LINES])
        writer.write(f"{head}\r\n\r\n".encode() + b'{"model": ')
        await eventually(lambda: fake.requests_log)
        writer.close()
        await eventually(lambda: fake.requests_log[0].end == "closed", timeout=3)
    assert fake.requests_log[0].status is None
    assert not fake.requests
    assert not fake.refusals


async def test_two_hundred_streams_at_once() -> None:
    fake = FakeMessages(HELLO, latency=0.02)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    http = anthropic.DefaultAsyncHttpxClient(limits=limits)
    async with sdk(fake, http_client=http) as client:
        messages = await asyncio.gather(*(streamed(client) for _ in range(200)))
    assert {message.content[0].text for message in messages} == {HELLO.content[0]["text"]}
    assert [arrival.end for arrival in fake.requests_log] == ["whole"] * 200


async def test_a_request_tells_what_it_is_asked_after() -> None:
    call: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "x"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "gone", "is_error": True}
    fake = FakeMessages(HELLO)
    await posted(
        fake, conversation(("user", "Task: tidy up\n\nx"), ("assistant", [call]), ("user", [result]))
    )
    await posted(fake, ASK)
    first, second = fake.requests
    assert first.last_call is not None
    assert (first.last_call.name, first.last_call.failed, first.task) == ("look", True, "tidy up")
    assert (second.last_call, second.task) == (None, None)
