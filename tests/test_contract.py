"""What the fake and the real Messages API have in common: the same assertions against both.

The real half runs when ANTHROPIC_API_KEY is set, on a cheap model, with some twenty small requests; what it
finds to be otherwise is a fault of the fake.  TASKQ_CONTRACT_MODEL names another model.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anthropic
import pytest

from taskq.testing import FakeMessages, Reply, first_of, text, tool_use, when
from wire import RESULT, TOOL

KEY = os.environ.get("ANTHROPIC_API_KEY")
MODEL = os.environ.get("TASKQ_CONTRACT_MODEL", "claude-haiku-4-5")
NO_KEY = "the real Messages API is not asked: ANTHROPIC_API_KEY is not set"

SCRIPT = first_of(
    when(after="look").then(Reply([text("It is blue.")])),
    when(test=lambda request: "tools" in request.body).then(Reply([text("I look."), tool_use("look", {})])),
    when(test=lambda request: request.body["max_tokens"] == 1).then(
        Reply([text("One")], stop_reason="max_tokens")
    ),
    when(test=lambda request: "stop_sequences" in request.body).then(
        Reply([text("a b ")], stop_sequence="STOP")
    ),
    otherwise=Reply([text("Hello.")]),
)


@dataclass(frozen=True)
class Side:
    """One of the two, and the model to ask there."""

    client: anthropic.AsyncAnthropic
    model: str

    def ask(self, *messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
        """A small request."""
        given = [{"role": role, "content": content} for role, content in messages or [("user", "Say hello.")]]
        return {"model": self.model, "max_tokens": 100, "messages": given, **more}

    async def stream(self, *messages: tuple[str, Any], **more: Any) -> tuple[Any, list[str]]:
        """The message of a stream, and the types of the API's own events."""
        asked = self.ask(*messages, **more)
        async with self.client.messages.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            return await stream.get_final_message(), kinds

    async def refusal(self, *messages: tuple[str, Any], **more: Any) -> anthropic.APIStatusError:
        """The error that a request gets."""
        with pytest.raises(anthropic.APIStatusError) as caught:
            await self.client.messages.create(**self.ask(*messages, **more))
        return caught.value


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.skipif(not KEY, reason=NO_KEY))])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    """The fake; and the real one, if there is a key."""
    if request.param == "real":
        async with anthropic.AsyncAnthropic(api_key=KEY, max_retries=2) as client:
            yield Side(client, MODEL)
        return
    fake = FakeMessages(SCRIPT, models=["claude-haiku-4-5"])
    async with (
        fake.serve() as base_url,
        anthropic.AsyncAnthropic(api_key="k", base_url=base_url, max_retries=0) as client,
    ):
        yield Side(client, "claude-haiku-4-5")


async def test_a_stream_has_its_events_in_order(side: Side) -> None:
    message, kinds = await side.stream()
    own = [kind for kind in kinds if kind.startswith(("message_", "content_block_"))]
    assert own[:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert own[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert message.content[0].text
    assert (message.stop_reason, message.role, message.type) == ("end_turn", "assistant", "message")
    assert message.id.startswith("msg_")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


async def test_a_tool_is_called_answered_and_spoken_of(side: Side) -> None:
    tools = {"tools": [{**TOOL, "description": "Says which colour the wall has. Takes no arguments."}]}
    question = ("user", "Use look to find out: which colour has the wall?")
    message, _ = await side.stream(question, **tools)
    assert message.stop_reason == "tool_use"
    said = [block.to_dict() for block in message.content]
    [call] = [block for block in said if block["type"] == "tool_use"]
    assert call["id"].startswith("toolu_")
    assert (call["name"], call["input"]) == ("look", {})
    result = {**RESULT, "tool_use_id": call["id"], "content": "blue"}
    answered = [question, ("assistant", said), ("user", [result])]
    # The user's words may follow in a message of their own: both are one turn.
    for messages in (answered, [*answered, ("user", "Answer in one sentence.")]):
        last, _ = await side.stream(*messages, **tools)
        assert last.stop_reason == "end_turn"
        assert "blue" in last.content[0].text.lower()


async def test_tokens_that_do_not_suffice_say_so(side: Side) -> None:
    message, _ = await side.stream(("user", "Count to ten in words."), max_tokens=1)
    assert message.stop_reason == "max_tokens"


async def test_a_stop_sequence_is_named(side: Side) -> None:
    message, _ = await side.stream(("user", "Repeat exactly: a b STOP c"), stop_sequences=["STOP"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")


async def test_tokens_are_counted_and_models_shown(side: Side) -> None:
    asked = side.ask()
    counted = await side.client.messages.count_tokens(model=side.model, messages=asked["messages"])
    assert counted.input_tokens > 0
    assert (await side.client.models.retrieve(side.model)).type == "model"
    assert [model.id async for model in await side.client.models.list()]


CALL = {"type": "tool_use", "id": "toolu_01A", "name": "look", "input": {}}
ANSWER = {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "x"}
OTHER = {**ANSWER, "tool_use_id": "toolu_01B"}
WORDS = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("messages", "more", "said"),
    [
        ([("user", "x"), ("assistant", [CALL]), ("user", "y")], {}, "without `tool_result` blocks"),
        ([("user", "x"), ("assistant", [CALL]), ("user", [OTHER])], {}, "tool_use"),
        ([("user", [ANSWER])], {}, "unexpected `tool_use_id` found in `tool_result` blocks"),
        ([("user", "x"), ("assistant", [CALL, CALL]), ("user", [ANSWER])], {}, "must be unique"),
        ([("user", "")], {}, "non-empty"),
        ([("user", [{"type": "text", "text": ""}])], {}, "text content blocks must be non-empty"),
        ([("user", " ")], {}, "non-whitespace"),
        ([("system", "x"), ("user", "y")], {}, "system"),
        ([("user", "x"), ("assistant", "y ")], {}, "trailing whitespace"),
        ([("user", [WORDS] * 5)], {}, "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ([("user", "x")], {"max_tokens": 0}, "max_tokens"),
        ([("user", "x")], {"extra_body": {"nonsense": 1}}, "nonsense: Extra inputs are not permitted"),
    ],
)
async def test_a_wrong_request_is_refused(
    side: Side, messages: list[tuple[str, Any]], more: dict[str, Any], said: str
) -> None:
    error = await side.refusal(*messages, tools=[TOOL], **more)
    assert (error.status_code, error.type) == (400, "invalid_request_error")
    assert said in str(error)
    assert error.request_id is not None
    assert error.request_id.startswith("req_")


async def test_an_unknown_model_is_not_found(side: Side) -> None:
    error = await side.refusal(model="claude-nobody-9")
    assert (error.status_code, error.type) == (404, "not_found_error")
    assert "claude-nobody-9" in str(error)
