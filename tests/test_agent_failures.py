"""What goes wrong with the Messages API, told to the queue by type and status."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import formatdate
from typing import Any

import httpx2
import pytest

from taskq.agent import Claude, Exhausted, Overloaded, RateLimited, Unavailable
from taskq.agent.failures import retry_after
from taskq.agent.gate import RateLimits
from taskq.errors import Fail, Retry
from taskq.task import ERROR_KINDS
from taskq.testing import ApiError, ErrorEvent, FakeMessages, Reply, in_order, text, tool_use

HELLO = Reply([text("Hello, world.")])
ASK: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
}


@asynccontextmanager
async def claude(fake: FakeMessages, **options: Any) -> AsyncIterator[Claude]:
    """A client of the fake, over a real port."""
    async with fake.serve() as base_url:
        client = Claude("k", base_url=base_url, simulated=True, **options)
        try:
            yield client
        finally:
            await client.close()


async def outcome(answer: Any) -> Any:
    """What an attempt ends with when the API answers so."""
    fake = FakeMessages(in_order(answer))
    async with claude(fake) as client:
        with pytest.raises((Retry, Fail)) as caught:
            await client.turn(ASK)
    # The queue owns retries: the SDK must not have tried again.
    assert len(fake.requests) == 1
    assert caught.value.kind in ERROR_KINDS
    return caught.value


async def test_a_429_waits_as_long_as_it_says() -> None:
    limited = await outcome(ApiError(429, retry_after=2))
    assert isinstance(limited, RateLimited)
    assert (limited.kind, limited.after) == ("rate_limited", timedelta(seconds=2))


async def test_a_429_that_does_not_say_leaves_it_to_the_backoff() -> None:
    assert (await outcome(ApiError(429))).after is None


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 529])
async def test_a_failing_service_is_tried_again(status: int) -> None:
    failing = await outcome(ApiError(status, retry_after=1))
    assert isinstance(failing, Unavailable)
    assert (failing.kind, failing.after) == ("external_service", timedelta(seconds=1))
    assert str(status) in str(failing)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, "agent_error", "400"),
        (401, "external_service", "ANTHROPIC_API_KEY"),
        (402, "external_service", "billing"),
        (403, "external_service", "workspace"),
        (404, "agent_error", "model"),
        (413, "agent_error", "larger"),
        (422, "agent_error", "422"),
    ],
)
async def test_what_trying_again_would_not_help_fails_with_a_hint(status: int, kind: str, hint: str) -> None:
    failed = await outcome(ApiError(status, message="as scripted"))
    assert isinstance(failed, Fail)
    assert failed.kind == kind
    assert hint in str(failed)
    assert "as scripted" in str(failed)
    assert "req_" in str(failed)


async def test_words_do_not_decide() -> None:
    misleading = await outcome(ApiError(400, message="429 rate limit overloaded, connection timeout, 529"))
    assert (type(misleading), misleading.kind) == (Fail, "agent_error")


@pytest.mark.parametrize(
    ("type_", "kind", "final"),
    [
        ("overloaded_error", "external_service", False),
        ("api_error", "external_service", False),
        ("rate_limit_error", "rate_limited", False),
        ("timeout_error", "external_service", False),
        ("invalid_request_error", "agent_error", True),
        ("authentication_error", "external_service", True),
        ("an_error_of_the_future", "external_service", False),
    ],
)
async def test_an_error_in_mid_stream_is_read_by_its_type(type_: str, kind: str, final: bool) -> None:
    ended = await outcome(Reply(HELLO.content, fault=ErrorEvent(after=3, type=type_)))
    assert (ended.kind, isinstance(ended, Fail)) == (kind, final)


async def test_a_service_that_is_not_there_is_tried_again() -> None:
    client = Claude("k", base_url="http://127.0.0.1:1", simulated=True)
    with pytest.raises(Unavailable) as caught:
        await client.turn(ASK)
    assert caught.value.kind == "external_service"
    await client.close()


@pytest.mark.parametrize(
    "answer", [b"<html>Bad Gateway</html>", b"{}", b"event: message_start\ndata: {\n\n", b""]
)
async def test_an_answer_that_is_no_message_is_tried_again(answer: bytes) -> None:
    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    client = Claude(
        "k", http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gateway)), simulated=True
    )
    with pytest.raises(Unavailable):
        await client.turn(ASK)


@pytest.mark.parametrize(
    ("found", "put"),
    [
        (rb'"partial_json":"bcdef\"}"', rb'"partial_json":""'),  # the last piece is lost
        (rb'"partial_json":"{\"path', rb'"partial_json":"[\"path'),  # broken in the middle
        (rb'"index":0,"delta"', rb'"index":7,"delta"'),  # for a block that was never begun
    ],
)
async def test_arguments_that_do_not_parse_are_never_acted_on(found: bytes, put: bytes) -> None:
    """The SDK would read `{"path": "abcdef` as a whole object."""
    fake = FakeMessages(in_order(Reply([tool_use("read_file", {"path": "abcdef"})])))

    async def spoilt(scope: Any, receive: Any, send: Any) -> None:
        seen: list[bytes] = []

        async def spoil(event: Any) -> None:
            if "body" in event:
                seen.append(event["body"])
                event = {**event, "body": event["body"].replace(found, put)}
            await send(event)

        await fake.app(scope, receive, spoil)
        assert found in b"".join(seen)

    client = Claude(
        "k", http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=spoilt)), simulated=True
    )
    tools = [{"name": "read_file", "input_schema": {"type": "object"}}]
    with pytest.raises(Unavailable, match="no sense"):
        await client.turn({**ASK, "tools": tools})


async def test_a_block_and_an_event_of_an_unknown_type_do_no_harm() -> None:
    fake = FakeMessages(in_order(HELLO))

    async def newer(scope: Any, receive: Any, send: Any) -> None:
        async def add(event: Any) -> None:
            if b"content_block_stop" in event.get("body", b""):
                await send({**event, "body": b'event: mood\ndata: {"type": "mood", "mood": "good"}\n\n'})
            await send(event)

        await fake.app(scope, receive, add)

    client = Claude(
        "k", http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=newer)), simulated=True
    )
    assert (await client.turn(ASK)).content == [text("Hello, world.")]


def test_one_client_serves_one_event_loop_after_another() -> None:
    """As in tests, where each has its own loop and the App is a module's."""
    fake = FakeMessages(in_order(HELLO))
    client = Claude("k", base_url=fake.start(), simulated=True)
    try:
        for _ in range(3):
            assert asyncio.run(client.turn(ASK)).stop_reason == "end_turn"
    finally:
        fake.stop()


async def test_a_proxy_in_the_environment_does_not_come_between_us_and_the_fake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with claude(FakeMessages(in_order(HELLO))) as client:
        assert (await client.turn(ASK)).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("0", 0),
        ("-3", None),
        ("soon", None),
        ("nan", None),
        ("1e99", 3600),
        ("inf", 3600),
    ],
)
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after({"retry-after": header}) == wanted


def test_retry_after_as_a_date() -> None:
    after = retry_after({"retry-after": formatdate(time.time() + 90, usegmt=True)})
    assert after is not None
    assert timedelta(seconds=80) < after <= timedelta(seconds=90)
    assert retry_after({}) is None


LIMITS = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-tokens-limit": "40000",
    "anthropic-ratelimit-tokens-remaining": "39000",
}


async def refused(status: int, error: dict[str, Any], **headers: str) -> Any:
    """What `turn` raises when the API answers with this error."""

    async def api(scope: Any, receive: Any, send: Any) -> None:
        head = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": head})
        body = {"type": "error", "error": {"message": "no", **error}, "request_id": "req_1"}
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    client = Claude(
        "k", http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=api)), simulated=True
    )
    with pytest.raises((Retry, Fail)) as caught:
        await client.turn(ASK)
    await client.close()
    return caught.value


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (402, {"type": "billing_error"}),
        (400, {"type": "billing_error"}),
        (403, {"type": "billing_error"}),
        (429, {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}),
        (429, {"type": "rate_limit_error", "details": {"error_code": "contract_spend_limit_reached"}}),
        (
            400,
            {
                "type": "invalid_request_error",
                "message": "You have reached your specified API usage limits. You will regain access on"
                " 2026-12-01 at 00:00 UTC.",
            },
        ),
        (
            400,
            {
                "type": "invalid_request_error",
                "message": "You have reached your specified workspace API usage limits.",
            },
        ),
    ],
)
async def test_a_spent_account_is_told_from_a_rate_limit_and_from_a_faulty_request(
    status: int, error: dict[str, Any]
) -> None:
    ended = await refused(status, error)
    assert isinstance(ended, Exhausted)
    assert (ended.kind, ended.may_have_charged) == ("external_service", False)


async def test_a_ramp_limit_is_a_rate_limit() -> None:
    error = {"type": "rate_limit_error", "details": {"error_code": "ramp_limit_exceeded"}}
    ended = await refused(429, error, retry_after="3")
    assert isinstance(ended, RateLimited)
    assert ended.after == timedelta(seconds=3)


async def test_a_refusal_carries_the_limits_of_its_headers_and_costs_nothing() -> None:
    limited = await refused(429, {"type": "rate_limit_error"}, retry_after="2", **LIMITS)
    assert (limited.limits, limited.may_have_charged) == (RateLimits(50, 0, 40000, 39000), False)
    overloaded = await refused(529, {"type": "overloaded_error"})
    assert isinstance(overloaded, Overloaded)
    assert not overloaded.may_have_charged
    assert not (await refused(500, {"type": "api_error"})).may_have_charged


async def test_an_answer_that_broke_off_may_have_been_charged() -> None:
    for type_ in ("overloaded_error", "rate_limit_error", "api_error"):
        assert (await outcome(Reply(HELLO.content, fault=ErrorEvent(after=3, type=type_)))).may_have_charged


async def test_a_request_that_never_arrived_was_not_charged() -> None:
    client = Claude("k", base_url="http://127.0.0.1:1", simulated=True)
    with pytest.raises(Unavailable) as caught:
        await client.turn(ASK)
    await client.close()
    assert not caught.value.may_have_charged


async def test_a_turn_carries_the_id_of_its_request_and_the_limits_of_its_headers() -> None:
    fake = FakeMessages(in_order(HELLO))

    async def with_limits(scope: Any, receive: Any, send: Any) -> None:
        async def add(event: Any) -> None:
            if event["type"] == "http.response.start":
                head = [(name.encode(), value.encode()) for name, value in LIMITS.items()]
                kept = [(name, value) for name, value in event["headers"] if b"ratelimit" not in name]
                event = {**event, "headers": [*kept, *head]}
            await send(event)

        await fake.app(scope, receive, add)

    transport = httpx2.ASGITransport(app=with_limits)
    client = Claude("k", http_client=httpx2.AsyncClient(transport=transport), simulated=True)
    turn = await client.turn(ASK)
    await client.close()
    assert turn.request_id is not None
    assert turn.request_id.startswith("req_")
    assert turn.limits == RateLimits(50, 0, 40000, 39000)
