"""A response on its way out, in ASGI messages."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Literal

from taskq.testing.arrival import Arrival
from taskq.testing.reply import ApiError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TRANSPORT = "taskq.transport"
"""The key of a scope under which the server hands over the connection's transport."""


class Dropped(ConnectionError):
    """Raised into the server, which then drops the connection without ending the response."""


class Response:
    """One response; its status and headers go out with the first bytes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, arrival: Arrival) -> None:
        self._scope = scope
        self._send = send
        self._gone = asyncio.create_task(_until_gone(receive))
        self._status = 200
        self._headers = {"anthropic-organization-id": "00000000-0000-0000-0000-000000000000"}
        self.arrival = arrival

    @property
    def is_closed(self) -> bool:
        """The client has hung up."""
        return self._gone.done()

    def prepare(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """Set what goes out first."""
        self._status = status
        own = {"content-type": content_type, "request-id": self.arrival.request_id}
        self._headers |= own | {name.lower(): value for name, value in headers.items()}

    async def begin(self) -> None:
        """Send the status and the headers, unless they are sent."""
        if self.arrival.status is not None:
            return
        self.arrival.status, self.arrival.answered = self._status, time.monotonic()
        headers = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        await self._send({"type": "http.response.start", "status": self._status, "headers": headers})

    async def write(self, data: bytes, *, chunk: int | None = None, pause: float = 0) -> None:
        """Send bytes: `chunk` of them at a time, `pause` seconds apart."""
        await self.begin()
        size = chunk or len(data) or 1
        for at in range(0, len(data), size):
            if pause:
                await self.wait(pause)
            piece = data[at : at + size]
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def wait(self, seconds: float) -> None:
        """Send nothing for so long, or until the client hangs up."""
        await asyncio.wait({self._gone}, timeout=seconds)

    async def end(self) -> None:
        """End the response as it should be."""
        await self.begin()
        await self._send({"type": "http.response.body", "body": b""})

    async def json(self, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.prepare(status, "application/json", headers or {})
        await self.write(json.dumps(body).encode())
        await self.end()

    async def error(self, error: ApiError, headers: Mapping[str, str] | None = None) -> None:
        """Answer with an error."""
        more = {"x-should-retry": "true" if error.is_worth_a_retry else "false"}
        if error.retry_after is not None:
            more["retry-after"] = f"{error.retry_after:g}"
        more |= {**(headers or {}), **error.headers}
        if error.body is not None:
            self.prepare(error.status, "text/html", more)
            await self.write(error.body.encode())
            await self.end()
            return
        said = {"type": error.kind, "message": error.message}
        body = {"type": "error", "error": said, "request_id": self.arrival.request_id}
        await self.json(error.status, body, more)

    async def drop(self, *, hard: bool) -> None:
        """Close the connection in the middle of the response; `hard` resets it.

        :raises Dropped: always; in-process, without a connection, it is all that happens.
        """
        transport = self._scope.get(TRANSPORT)
        if hard and transport is not None:
            # Closing with a linger of no time sends a reset instead of the usual goodbye.
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        elif not hard:
            await self.begin()
        raise Dropped("the script drops the connection here")

    def close(self, end: Literal["whole", "broken"]) -> None:
        """Note how it ended."""
        self.arrival.end = "closed" if self.is_closed and end == "whole" else end
        self.arrival.ended = time.monotonic()
        self._gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
