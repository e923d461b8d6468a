"""What happens to a reply while it is streamed.

`after` counts events: 0 is before anything was sent, the status line included; more than there are is after
`message_stop`, before the end of the response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cut:
    """The stream ends: the connection is closed, or (`clean`) the response ends as if it were whole."""

    after: int
    clean: bool = False


@dataclass(frozen=True)
class Reset:
    """The connection is dropped hard (a TCP reset); with 0 there is no answer at all."""

    after: int = 0


@dataclass(frozen=True)
class Stall:
    """Nothing comes for `seconds`, then the stream goes on."""

    after: int
    seconds: float


@dataclass(frozen=True)
class Drip:
    """The rest of the stream comes `size` bytes at a time, with `seconds` between them."""

    after: int = 0
    seconds: float = 0.05
    size: int = 1


@dataclass(frozen=True)
class ErrorEvent:
    """An `error` event, then the end: how a stream fails when its status was 200."""

    after: int
    type: str = "overloaded_error"
    message: str = "Overloaded"


@dataclass(frozen=True)
class Garbage:
    """Bytes that are no event, then the stream goes on; the default has broken JSON."""

    after: int
    line: bytes = b'event: content_block_delta\ndata: {"type": "content_block_delta", "ind\n\n'


@dataclass(frozen=True)
class Extra:
    """One more event, then the stream goes on: a ping, or a type that nobody has heard of yet."""

    after: int
    event: dict[str, Any]


Fault = Cut | Reset | Stall | Drip | ErrorEvent | Garbage | Extra


def ping(after: int) -> Extra:
    """A `ping`, as the API sends them while it has nothing to say."""
    return Extra(after, {"type": "ping"})


def unknown_event(after: int) -> Extra:
    """An event of a type that is not there yet: the API may add some, and clients must pass over them."""
    return Extra(after, {"type": "vibe_check", "vibe": {"good": True}})


def unknown_delta(after: int, index: int = 0) -> Extra:
    """A delta of a type that is not there yet, for the block with this index."""
    delta = {"type": "aroma_delta", "aroma": "coffee"}
    return Extra(after, {"type": "content_block_delta", "index": index, "delta": delta})
