"""The shapes of a conversation: blocks, a turn of the model, the outcome of a call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from taskq.agent.gate import RateLimits
from taskq.task import Message

Block = dict[str, Any]

COUNTED = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""The counts of a turn's usage."""


@dataclass(frozen=True)
class Turn:
    """One finished message of the model."""

    content: list[Block]
    stop_reason: str | None
    model: str
    usage: dict[str, Any]
    request_id: str | None = None
    limits: RateLimits | None = None

    @property
    def tokens(self) -> int:
        """All tokens that the provider counted, those from its cache included."""
        return sum(self.usage.get(name) or 0 for name in COUNTED)


class Outcome(msgspec.Struct, frozen=True):
    """How a tool call ended, for the ledger: its status and what it left behind."""

    status: Literal["success", "error", "timeout", "blocked", "unknown"]
    text: str
    artifact: str | None = None


def usable(message: Message) -> bool:
    """Whether the conversation can go on from this message."""
    if message.role == "user":
        return True
    content = json.loads(message.body)
    if message.stop_reason == "tool_use":
        return bool(tool_calls(content))
    return (
        message.stop_reason in ("end_turn", "stop_sequence")
        and bool(text_of(content))
        and not tool_calls(content)
    )


def tool_calls(content: list[Block]) -> list[Block]:
    """The tool calls in a message."""
    return [block for block in content if block["type"] == "tool_use"]


def text_of(content: list[Block]) -> str:
    """The text of a message, without the blanks around it."""
    return "".join(block["text"] for block in content if block["type"] == "text").strip()
