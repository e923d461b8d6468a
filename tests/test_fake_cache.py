"""The fake Messages API's prompt cache: what a request reads that another has left there."""

from __future__ import annotations

from typing import Any

import pytest

from taskq.testing import FakeMessages
from wire import ASK, HELLO, TOOL, conversation, posted

CACHED = {"cache_control": {"type": "ephemeral"}}


def usage_of(response: Any) -> tuple[int, int, int]:
    """What was read from the cache, what was put there, what is neither."""
    usage = response.json()["usage"]
    names = ("cache_read_input_tokens", "cache_creation_input_tokens", "input_tokens")
    return tuple(usage[name] for name in names)  # type: ignore[return-value]  # three names


async def test_a_request_that_extends_another_reads_it_from_the_cache() -> None:
    fake = FakeMessages(HELLO)
    short = conversation(("user", "x" * 400), system="s" * 400, tools=[TOOL], **CACHED)
    long = {
        **short,
        "messages": [*short["messages"], {"role": "assistant", "content": "a"}, *ASK["messages"]],
    }
    first, second, third = [usage_of(await posted(fake, body)) for body in (short, long, long)]
    assert (first[0], first[2]) == (0, 3)
    assert second[0] == first[1]
    assert second[1] > 0
    assert third == (second[0] + second[1], 0, 3)
    counted = await posted(
        fake, {k: v for k, v in long.items() if k != "max_tokens"}, "/v1/messages/count_tokens"
    )
    assert counted.json()["input_tokens"] == sum(third)


@pytest.mark.parametrize(
    ("change", "is_read"),
    [
        ({}, True),
        ({"system": "other"}, False),
        ({"tools": []}, False),
        ({"model": "other"}, False),
        ({"tool_choice": {"type": "any"}}, False),
        ({"max_tokens": 7, "stream": False, "metadata": {"user_id": "u"}}, True),
    ],
)
async def test_the_cache_holds_tools_system_and_messages_of_a_model(
    change: dict[str, Any], is_read: bool
) -> None:
    fake = FakeMessages(HELLO)
    body = conversation(("user", "x"), system="s", tools=[TOOL], **CACHED)
    await posted(fake, body)
    assert (usage_of(await posted(fake, {**body, **change}))[0] > 0) == is_read


async def test_a_breakpoint_on_the_system_prompt_outlives_the_messages() -> None:
    fake = FakeMessages(HELLO)
    system = [{"type": "text", "text": "s" * 400, **CACHED}]
    await posted(fake, conversation(("user", "one"), system=system))
    read, written, rest = usage_of(await posted(fake, conversation(("user", "two"), system=system)))
    assert read > 100
    assert written == 0
    assert rest > 3


async def test_without_a_breakpoint_nothing_is_kept_and_none_looks_back_too_far() -> None:
    fake = FakeMessages(HELLO)
    await posted(fake, conversation(("user", "x"), **CACHED))
    assert usage_of(await posted(fake, conversation(("user", "x"))))[:2] == (0, 0)
    blocks = [{"type": "text", "text": "x"} for _ in range(21)]
    assert usage_of(await posted(fake, conversation(("user", blocks[:20]), **CACHED)))[0] > 0
    fresh = FakeMessages(HELLO)
    await posted(fresh, conversation(("user", "x"), **CACHED))
    assert usage_of(await posted(fresh, conversation(("user", blocks), **CACHED)))[0] == 0


async def test_a_prefix_knows_no_cache_control_and_no_borders_between_messages() -> None:
    fake = FakeMessages(HELLO)
    marked = {"type": "text", "text": "x", **CACHED}
    await posted(fake, conversation(("user", [marked])))
    await posted(fake, conversation(("user", "x")))
    await posted(fake, conversation(("user", "x"), ("user", "y")))
    await posted(fake, conversation(("user", [marked, {"type": "text", "text": "y"}])))
    first, second, third, fourth = fake.requests
    assert first.prefix_hash == second.prefix_hash
    assert third.prefix_hash == fourth.prefix_hash
    assert third.extends(first)
    assert len(third.parts) == 2
