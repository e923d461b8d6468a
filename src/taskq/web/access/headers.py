"""What every answer tells the browser to refuse, and how long it may keep it."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
STATIC = "/static/"
FOREVER = "public, max-age=31536000, immutable"


class Headers:
    """Adds them to every answer, those to errors included: it stands before everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                headers.setdefault("Cache-Control", keeping(scope, message["status"]))
            await send(message)

        return await self._app(scope, receive, send_with_headers)


def keeping(scope: Connection, status: int) -> str:
    """How long an answer may be kept: a static file with its version for ever, another is asked for again."""
    if not scope["path"].startswith(STATIC) or status not in (200, 304):
        return "no-store"
    return FOREVER if "v" in parse_qs(scope["query_string"].decode("latin-1")) else "no-cache"
