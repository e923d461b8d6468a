"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

KEEP_ALIVE = 15.0
"""Seconds after which something is said although nothing happens: whoever is gone is noticed then."""
RETRY = b"retry: 1000\n\n"
"""Milliseconds after which a browser comes again when the stream ends."""


def message(data: bytes, *, event: str = "", id: str = "") -> bytes:
    """One message; `data` is one line."""
    named = f"event: {event}\n" if event else ""
    placed = f"id: {id}\n" if id else ""
    return f"{named}{placed}data: ".encode() + data + b"\n\n"


def alive(id: str = "") -> bytes:
    """Nothing, but still there; an id says how far the listener has heard."""
    return f": alive\nid: {id}\n\n".encode() if id else b": alive\n\n"


class Streaming(StreamingResponse):
    """A stream of messages.  When the listener goes, what made them ends at once."""

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncGenerator[bytes, None]) -> None:
        # proxies must pass it on at once
        super().__init__(messages, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._messages.aclose()
