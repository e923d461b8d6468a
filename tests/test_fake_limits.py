"""The fake Messages API's limits, its log, its errors, its models."""

from __future__ import annotations

import time
from datetime import datetime

import anthropic
import pytest

from taskq.testing import ApiError, FakeMessages, RateLimit, Reply, in_order, text
from wire import ASK, HELLO, conversation, posted, sdk, streamed

CACHED = {"cache_control": {"type": "ephemeral"}}
BUSY = {"messages": [{"role": "user", "content": "x" * 400}]}


# Rate limits


async def test_a_request_too_many_waits_as_long_as_it_is_told() -> None:
    fake = FakeMessages(HELLO, limits=RateLimit(requests=2, per=2))
    async with sdk(fake) as client:
        await streamed(client)
        await streamed(client)
        with pytest.raises(
            anthropic.RateLimitError, match=r"rate limit of 2 requests per 2 seconds"
        ) as caught:
            await streamed(client)
        assert caught.value.response.headers["retry-after"] == "1"
        await streamed(client.with_options(max_retries=1))
    assert [arrival.status for arrival in fake.requests_log] == [200, 200, 429, 429, 200]
    assert (len(fake.requests), len(fake.refusals)) == (3, 2)


async def test_headers_tell_what_is_left() -> None:
    limits = RateLimit(requests=50, tokens=8000, input_tokens=1000, output_tokens=200)
    fake = FakeMessages(Reply([text("x")], usage={"output_tokens": 100}), limits=limits)
    first, second = [(await posted(fake, {**ASK, **BUSY})).headers for _ in range(2)]
    wire = "anthropic-ratelimit"
    assert first[f"{wire}-requests-limit"] == "50"
    assert first[f"{wire}-requests-remaining"] == "49"
    assert int(first[f"{wire}-input-tokens-remaining"]) < 950
    assert int(second[f"{wire}-output-tokens-remaining"]) in (100, 101)
    assert int(second[f"{wire}-tokens-remaining"]) < 8000 - 100
    assert datetime.fromisoformat(second[f"{wire}-requests-reset"]).tzinfo is not None


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (RateLimit(tokens=150), "150 tokens per minute"),
        (RateLimit(input_tokens=150), "150 input tokens per minute"),
        (RateLimit(output_tokens=40), "40 output tokens per minute"),
    ],
)
async def test_tokens_are_limited_too(limits: RateLimit, said: str) -> None:
    fake = FakeMessages(Reply([text("x")], usage={"output_tokens": 50}), limits=limits)
    first, second = [await posted(fake, {**ASK, **BUSY}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert said in second.json()["error"]["message"]
    assert 1 <= int(second.headers["retry-after"]) <= 60


async def test_models_have_limits_of_their_own_and_wrong_requests_do_not_count() -> None:
    fake = FakeMessages(HELLO, limits=RateLimit(requests=1))
    wrong = await posted(fake, {**ASK, "max_tokens": 0})
    statuses = [(await posted(fake, {**ASK, "model": model})).status_code for model in ("a", "b", "a")]
    assert (wrong.status_code, statuses) == (400, [200, 200, 429])


async def test_what_the_cache_gives_does_not_count() -> None:
    fake = FakeMessages(HELLO, limits=RateLimit(input_tokens=200))
    first, second = [await posted(fake, {**ASK, **BUSY, **CACHED}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)


async def test_the_log_says_when_nothing_came() -> None:
    fake = FakeMessages(in_order(ApiError(429, retry_after=1), HELLO))
    async with sdk(fake) as client:
        retrying = client.with_options(max_retries=1)
        await streamed(retrying)
    limited, again = fake.requests_log
    assert (limited.status, again.status, again.end, again.model) == (429, 200, "whole", "m")
    assert limited.answered is not None
    assert again.at - limited.answered >= 1
    assert limited.at <= time.monotonic()
    assert limited.request_id != again.request_id


# Errors


@pytest.mark.parametrize(
    ("status", "type", "retry"),
    [
        (400, "invalid_request_error", "false"),
        (401, "authentication_error", "false"),
        (402, "billing_error", "false"),
        (403, "permission_error", "false"),
        (404, "not_found_error", "false"),
        (409, "conflict_error", "true"),
        (413, "request_too_large", "false"),
        (422, "invalid_request_error", "false"),
        (429, "rate_limit_error", "true"),
        (500, "api_error", "true"),
        (503, "api_error", "true"),
        (504, "timeout_error", "true"),
        (529, "overloaded_error", "true"),
    ],
)
async def test_an_error_has_the_type_that_goes_with_its_status(status: int, type: str, retry: str) -> None:
    response = await posted(FakeMessages(ApiError(status)), ASK)
    assert response.status_code == status
    assert response.json()["error"]["type"] == type
    assert response.json()["request_id"] == response.headers["request-id"]
    assert response.headers["x-should-retry"] == retry
    assert "retry-after" not in response.headers


async def test_a_gateway_on_the_way_answers_with_what_it_likes() -> None:
    error = ApiError(502, body="<html>Bad Gateway</html>", headers={"Retry-After-Ms": "1500"})
    async with sdk(FakeMessages(error)) as client:
        with pytest.raises(anthropic.InternalServerError) as caught:
            await streamed(client)
    assert (caught.value.type, caught.value.response.headers["retry-after-ms"]) == (None, "1500")


async def test_a_reply_may_have_headers_of_its_own() -> None:
    headers = {"anthropic-ratelimit-requests-remaining": "0"}
    response = await posted(FakeMessages(Reply([text("x")], headers=headers)), {**ASK, "stream": True})
    assert response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert response.headers["request-id"].startswith("req_")


# Models


async def test_models_are_listed_page_by_page_and_one_by_one() -> None:
    names = [f"claude-{number}" for number in range(5)]
    async with sdk(FakeMessages(models=names)) as client:
        listed = [model.id async for model in await client.models.list(limit=2)]
        back = await client.models.list(limit=2, before_id="claude-3")
        one = await client.models.retrieve("claude-3")
        with pytest.raises(anthropic.NotFoundError, match="model: claude-9"):
            await client.models.retrieve("claude-9")
        with pytest.raises(anthropic.NotFoundError, match="model: claude-9"):
            await client.messages.count_tokens(model="claude-9", messages=ASK["messages"])
        with pytest.raises(anthropic.BadRequestError, match="limit"):
            await client.models.list(limit=0)
    assert listed == names
    assert [model.id for model in back.data] == ["claude-1", "claude-2"]
    assert (one.display_name, one.lifecycle, one.max_tokens) == ("Claude 3", "active", 64_000)


async def test_without_a_list_every_name_is_a_model() -> None:
    async with sdk(FakeMessages(HELLO)) as client:
        assert (await client.models.retrieve("anything")).id == "anything"
        assert [model.id async for model in await client.models.list()]


async def test_an_unknown_model_is_a_404() -> None:
    fake = FakeMessages(HELLO, models=["claude-opus-5-5"])
    response = await posted(fake, {**ASK, "model": "claude-opus-9"})
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert response.json()["error"]["message"] == "model: claude-opus-9"
    assert (await posted(fake, conversation(("user", "x"), model="claude-opus-5-5"))).status_code == 200
