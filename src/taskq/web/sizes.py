"""Bodies that are too large are refused, before they are read or while they come."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskq.web.access.visitor import NOBODY
from taskq.web.problems import Handler, Refused


class Sized:
    """Refuses bodies of more than `limit` bytes.

    :param on_error: makes the answer for an error.
    """

    def __init__(self, app: ASGIApp, *, limit: int, on_error: Handler) -> None:
        self._app, self._limit, self._on_error = app, limit, on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        request.state.visitor = NOBODY
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and len(length) < 20 and int(length) > self._limit:
            answer = await self._on_error(request, self._too_large())
            return await answer(scope, receive, send)
        return await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def receiving() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise self._too_large()
            return message

        return receiving

    def _too_large(self) -> Refused:
        return Refused(413, f"the body has more than {self._limit:,} bytes")
