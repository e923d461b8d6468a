"""What a script answers: a message, or an error instead of one.

Reply([text("Let me look."), tool_use("read_file", {"path": "a.txt"})])
Reply([text("half of this")], fault=Cut(after=3))
ApiError(429, retry_after=2)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskq.testing.blocks import Block
from taskq.testing.faults import Fault


@dataclass(frozen=True)
class Pieces:
    """Into what a stream is cut.

    :param text: characters of text or thinking in one delta.
    :param json: characters of a tool call's arguments in one delta: few, so that they break inside words
        and escapes.
    :param chunk: bytes in one chunk of the HTTP response, which breaks inside UTF-8 characters; None makes
        each event a chunk.
    """

    text: int = 24
    json: int = 11
    chunk: int | None = None


USUAL = Pieces()
"""Into what a stream is cut unless a reply says otherwise."""


@dataclass(frozen=True)
class Reply:
    """A message of the model.

    :param content: its blocks, from `text`, `tool_use`, `thinking` and the like; any other block is sent as
        it is.
    :param stop_reason: `end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `pause_turn`, `refusal`,
        `model_context_window_exceeded` or what may come; None says `stop_sequence` if there is one,
        `tool_use` if there is a tool call in it, else `end_turn`.
    :param stop_sequence: which of the request's stop sequences ended it.
    :param stop_details: what a refusal says beyond its `stop_reason`.
    :param usage: replaces counts of the `usage` that is otherwise reckoned from the lengths.
    :param fault: what happens while it is streamed; several happen in order.
    :param pieces: into what the stream is cut.
    :param headers: of the response, beside the usual ones.
    """

    content: Sequence[Block]
    stop_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    fault: Fault | Sequence[Fault] | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    pieces: Pieces = USUAL
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def faults(self) -> list[Fault]:
        """What happens while it is streamed, in the order of their places."""
        if self.fault is None:
            return []
        faults = list(self.fault) if isinstance(self.fault, Sequence) else [self.fault]
        return sorted(faults, key=lambda fault: fault.after)


TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class ApiError:
    """A request answered with an error.

    :param status: the HTTP status: 400, 401, 402, 403, 404, 409, 413, 429, 500, 504, 529, ...
    :param type: the error's type; None takes the one that goes with the status.
    :param retry_after: seconds, for the `retry-after` header; None leaves it out.
    :param headers: of the response, beside the usual ones.
    :param body: replaces the JSON, as a gateway on the way does: `"<html>502 Bad Gateway</html>"`.
    """

    status: int
    type: str | None = None
    message: str = "scripted error"
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None

    @property
    def kind(self) -> str:
        """The error's type, as the body says it."""
        return self.type or TYPES.get(
            self.status, "invalid_request_error" if self.status < 500 else "api_error"
        )

    @property
    def is_worth_a_retry(self) -> bool:
        """What the `x-should-retry` header says."""
        return self.status in (408, 409, 429) or self.status >= 500


Answer = Reply | ApiError
