"""The fake Messages API as an ASGI application in plain functions."""

from __future__ import annotations

import asyncio
import inspect
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from taskq.testing import events
from taskq.testing.reply import Answer, ApiError, Cut, ErrorEvent, Fault, Stall
from taskq.testing.request import Request
from taskq.testing.validation import fault_of

Script = Callable[[Request], Answer | Awaitable[Answer]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 32 * 1024 * 1024
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Dropped(ConnectionError):
    """Raised into the server, which then drops the connection without ending the response."""


class Journal(Protocol):
    """Where the application notes what it was asked."""

    def accepted(self, request: Request) -> None: ...

    def refused(self, error: ApiError) -> None: ...


def app(script: Script, journal: Journal, latency: float) -> App:
    """The application: `script` answers, with `latency` seconds before each event of a stream."""

    async def messages_api(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        raw = await _body(receive)
        request = _read(scope, headers, raw)
        if isinstance(request, ApiError):
            journal.refused(request)
            await _send_error(send, request)
        elif request.path.endswith("/count_tokens"):
            await _send_json(send, 200, {"input_tokens": events.tokens_of(request.body)})
        else:
            journal.accepted(request)
            await _answer(request, await _ask(script, request), send, latency)

    return messages_api


def _read(scope: Scope, headers: dict[str, str], raw: bytes) -> Request | ApiError:
    """The request, or why it is refused: in the order in which the real API looks."""
    path = scope["path"]
    if path not in ("/v1/messages", "/v1/messages/count_tokens"):
        return ApiError(404, message="Not found")
    if scope["method"] != "POST":
        return ApiError(405, "invalid_request_error", "Method Not Allowed")
    if not headers.get("x-api-key") and not headers.get("authorization", "").removeprefix("Bearer").strip():
        return ApiError(401, message="x-api-key header is required")
    if len(raw) > LARGEST_BODY:
        return ApiError(413, message="Request exceeds the maximum size")
    if "anthropic-version" not in headers:
        return ApiError(400, message="anthropic-version: header is required")
    try:
        body = json.loads(raw)
    except ValueError as error:
        return ApiError(400, message=f"The request body is not valid JSON: {error}")
    if fault := fault_of(body, counting=path.endswith("/count_tokens")):
        return ApiError(400, message=fault)
    return Request(path, headers, raw, body)


async def _ask(script: Script, request: Request) -> Answer:
    answer = script(request)
    return await answer if inspect.isawaitable(answer) else answer


async def _answer(request: Request, answer: Answer, send: Send, latency: float) -> None:
    if isinstance(answer, ApiError):
        await _send_error(send, answer)
        return
    whole = events.message(request, answer)
    if request.body.get("stream"):
        await _send_stream(send, whole, answer.fault, latency)
    else:
        await _send_json(send, 200, whole)


async def _send_stream(send: Send, whole: dict[str, Any], fault: Fault | None, latency: float) -> None:
    await send(_start(200, "text/event-stream; charset=utf-8", {"cache-control": "no-cache"}))
    for at, event in enumerate(events.stream(whole)):
        if fault is not None and at == fault.after:
            if isinstance(fault, Stall):
                await asyncio.sleep(fault.seconds)
            else:
                await _break_off(send, fault)
                return
        await asyncio.sleep(latency)
        await send({"type": "http.response.body", "body": events.encode(event), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _break_off(send: Send, fault: Cut | ErrorEvent) -> None:
    if isinstance(fault, ErrorEvent):
        error = {"type": fault.type, "message": fault.message}
        await send(
            {
                "type": "http.response.body",
                "body": events.encode({"type": "error", "error": error}),
                "more_body": True,
            }
        )
    elif not fault.clean:
        raise Dropped("the script cuts the stream here")
    await send({"type": "http.response.body", "body": b""})


async def _send_error(send: Send, error: ApiError) -> None:
    type = error.type or TYPES.get(error.status, "api_error")
    headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
    body = {"type": "error", "error": {"type": type, "message": error.message}}
    await _send_json(send, error.status, body, headers)


async def _send_json(
    send: Send, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
) -> None:
    start = _start(status, "application/json", headers or {})
    id = dict(start["headers"])[b"request-id"].decode()
    raw = json.dumps({**body, "request_id": id} if "error" in body else body).encode()
    await send(start)
    await send({"type": "http.response.body", "body": raw})


def _start(status: int, content_type: str, headers: dict[str, str]) -> dict[str, Any]:
    all = {"content-type": content_type, "request-id": f"req_{secrets.token_hex(12)}", **headers}
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode(), value.encode()) for name, value in all.items()],
    }


async def _body(receive: Receive) -> bytes:
    """The body, or the first bytes of one that is too large."""
    raw = b""
    while len(raw) <= LARGEST_BODY:
        event = await receive()
        raw += event.get("body", b"")
        if not event.get("more_body"):
            break
    return raw
