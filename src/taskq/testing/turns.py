"""What the Messages API refuses in `messages`: roles, blocks, and calls without their answers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from taskq.testing.content import block_faults
from taskq.testing.models import continues
from taskq.testing.prefix import as_blocks


class Place(NamedTuple):
    """A block and where it stands."""

    message: int
    at: int
    block: dict[str, Any]

    def __str__(self) -> str:
        return f"messages.{self.message}.content.{self.at}"


def message_faults(body: dict[str, Any], is_new: bool) -> Iterator[str]:
    """Why the messages of a request are refused, the first reason first.

    :param is_new: the client speaks version 2026-10-21 or a later one.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        yield "messages: Field required"
        return
    if not messages:
        yield "messages: at least one message is required"
    for at, message in enumerate(messages):
        yield from _message(at, message)
    if messages[0]["role"] != "user":
        yield 'messages: first message must use the "user" role'
    if is_new:
        yield from _no_longer_taken(messages)
    yield from _pairs(messages)
    if messages[-1]["role"] == "assistant":
        yield from _begun(body["model"], as_blocks(messages[-1]["content"]))


def _message(at: int, message: Any) -> Iterator[str]:
    role = message.get("role") if isinstance(message, dict) else None
    if role == "system":
        yield (
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter,'
            ' not "system" as an input message role.'
        )
    if role not in ("user", "assistant"):
        yield f"messages.{at}.role: Input should be 'user' or 'assistant'"
        return
    for name in sorted(message.keys() - {"role", "content"}):
        yield f"messages.{at}.{name}: Extra inputs are not permitted"
    content = message.get("content")
    if not isinstance(content, str | list):
        yield f"messages.{at}.content: Field required"
    elif not content:
        yield (
            f"messages.{at}: all messages must have non-empty content except for the optional final"
            " assistant message"
        )
    else:
        for number, block in enumerate(as_blocks(content)):
            yield from block_faults(f"messages.{at}.content.{number}", block, role)


def _no_longer_taken(messages: list[dict[str, Any]]) -> Iterator[str]:
    """What version 2026-10-21 refuses and older ones took."""
    for place in (place for turn in _turns(messages) for place in turn):
        role, kind = messages[place.message]["role"], place.block["type"]
        if role == "assistant" and kind == "document":
            yield f"{place}: `document` blocks can only be in `user` messages"
        if role == "user" and kind == "text" and place.block.get("citations"):
            yield f"{place}.text.citations: Extra inputs are not permitted"


def _pairs(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Every tool call is answered at the start of the next turn, and nothing else is."""
    turns = _turns(messages)
    seen: set[str] = set()
    for turn, following in zip(turns, [*turns[1:], []], strict=True):
        calls = [place for place in turn if place.block["type"] == "tool_use"]
        for place in calls:
            if place.block["id"] in seen:
                yield f"{place}: `tool_use` ids must be unique"
            seen.add(place.block["id"])
        yield from _served(turn)
        yield from _answers([place.block["id"] for place in calls], following)
        if open := [place for place in calls if place.block["id"] not in _leading_answers(following)]:
            yield (
                f"messages.{open[0].message}: `tool_use` ids were found without `tool_result` blocks"
                f" immediately after: {', '.join(place.block['id'] for place in open)}. Each `tool_use` block"
                " must have a corresponding `tool_result` block in the next message."
            )


def _turns(messages: list[dict[str, Any]]) -> list[list[Place]]:
    """The blocks of each turn: the API makes one turn of messages of one role in a row.

    An empty one is put before them, so that every turn of the user's follows another.
    """
    numbered = list(enumerate(messages))
    turns = [
        [
            Place(n, at, block)
            for n, message in group
            for at, block in enumerate(as_blocks(message["content"]))
        ]
        for _, group in groupby(numbered, key=lambda pair: pair[1]["role"])
    ]
    return [[], *turns]


def _answers(asked: list[str], turn: list[Place]) -> Iterator[str]:
    answered: set[str] = set()
    for place in turn:
        if place.block["type"] != "tool_result":
            continue
        id = place.block["tool_use_id"]
        if id not in asked:
            yield (
                f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result`"
                " block must have a corresponding `tool_use` block in the previous message."
            )
        if id in answered:
            yield (
                f"{place}: each tool_use must have a single result. Found multiple `tool_result` blocks"
                f" with id: {id}"
            )
        answered.add(id)


def _served(turn: list[Place]) -> Iterator[str]:
    """A result of the provider's own tools comes after its call, in the same turn."""
    called: set[str] = set()
    for place in turn:
        kind = place.block["type"]
        if kind == "server_tool_use":
            called.add(place.block["id"])
        elif kind.endswith("_tool_result") and place.block["tool_use_id"] not in called:
            yield (
                f"{place}: unexpected `tool_use_id` found in `{kind}` blocks: {place.block['tool_use_id']}."
                f" Each `{kind}` block must have a corresponding `server_tool_use` block before it."
            )


def _begun(model: str, blocks: list[dict[str, Any]]) -> Iterator[str]:
    """A last message of the assistant's: words to go on with, or a turn that was paused."""
    last = blocks[-1]
    if last["type"] == "text" and last["text"] != last["text"].rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"
    paused = any(block["type"] == "server_tool_use" for block in blocks)
    if not paused and not continues(model):
        yield (
            "This model does not support assistant message prefill. The conversation must end with a user"
            " message."
        )


def _leading_answers(turn: list[Place]) -> list[str]:
    """The ids answered before any other block: an answer after a text does not count."""
    ids = []
    for place in turn:
        if place.block["type"] != "tool_result":
            break
        ids.append(place.block["tool_use_id"])
    return ids
