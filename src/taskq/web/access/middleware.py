"""Finds out who sent a request, and refuses what he may not do."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from taskq.web.access.visitor import SCOPES, Visitor


class Access:
    """Puts the Visitor into the request's state."""

    def __init__(self, app: ASGIApp, operator: str) -> None:
        self._app, self._operator = app, operator

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["visitor"] = Visitor(self._operator, frozenset(SCOPES))
        await self._app(scope, receive, send)
