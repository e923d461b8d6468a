"""What a script answers: a message, or something going wrong.

Reply([text("Let me look."), tool_use("read_file", {"path": "a.txt"})])
Reply([text("half of this")], fault=Cut(after=3))
ApiError(429, "rate_limit_error", retry_after=2)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words}


def tool_use(name: str, arguments: dict[str, Any], *, id: str | None = None) -> dict[str, Any]:
    """A tool call; its id follows from the request when none is given."""
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def thinking(words: str) -> dict[str, Any]:
    """A thinking block, with a made-up signature."""
    return {"type": "thinking", "thinking": words, "signature": "c2lnbmF0dXJl"}


@dataclass(frozen=True)
class Cut:
    """The stream ends after `after` events: the connection drops, or (`clean`) the response ends as if it
    were whole, without `message_stop`."""

    after: int
    clean: bool = False


@dataclass(frozen=True)
class Stall:
    """The stream says nothing for `seconds` after `after` events, then goes on."""

    after: int
    seconds: float


@dataclass(frozen=True)
class ErrorEvent:
    """An `error` event after `after` events, then the end: how a stream fails when its status was 200."""

    after: int
    type: str = "overloaded_error"
    message: str = "Overloaded"


Fault = Cut | Stall | ErrorEvent


@dataclass(frozen=True)
class Reply:
    """A message of the model.

    :param content: its blocks, from `text`, `tool_use` and `thinking`.
    :param stop_reason: None says `tool_use` if there is a tool call in it, else `end_turn`.
    :param usage: replaces counts of the `usage` that is otherwise reckoned from the lengths.
    :param fault: what goes wrong while it is streamed.
    """

    content: Sequence[dict[str, Any]]
    stop_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    fault: Fault | None = None


@dataclass(frozen=True)
class ApiError:
    """A request answered with an error.

    :param status: the HTTP status: 400, 401, 403, 404, 413, 429, 500, 529, ...
    :param type: the error's type; None takes the one that goes with the status.
    :param retry_after: seconds, for the `retry-after` header.
    """

    status: int
    type: str | None = None
    message: str = "scripted error"
    retry_after: float | None = None


Answer = Reply | ApiError
