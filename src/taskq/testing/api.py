"""The fake Messages API as an ASGI application."""

from __future__ import annotations

import inspect
import json
import re
import time
from typing import Any
from urllib.parse import parse_qsl

from taskq.testing import events
from taskq.testing.arrival import Arrival
from taskq.testing.limits import Limiter, RateLimit
from taskq.testing.models import Models, describe
from taskq.testing.prefix import PromptCache, tokens_of
from taskq.testing.reply import Answer, ApiError, Reply
from taskq.testing.request import Request
from taskq.testing.response import Dropped, Receive, Response, Scope, Send
from taskq.testing.scripting import Script
from taskq.testing.streaming import stream
from taskq.testing.validation import fault_of

LARGEST_BODY = 32 * 1024 * 1024
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
MESSAGES, COUNT, MODELS = "/v1/messages", "/v1/messages/count_tokens", "/v1/models"


class Journal:
    """What the application was asked: overridden by who wants to know."""

    def arrived(self, arrival: Arrival) -> None:
        """A request has come."""

    def accepted(self, request: Request) -> None:
        """The script will answer it."""

    def refused(self, error: ApiError) -> None:
        """It is refused before the script sees it."""


class Api:
    """The application: `script` answers, with `latency` seconds before each event of a stream."""

    def __init__(
        self, script: Script, journal: Journal, *, latency: float, limits: RateLimit, models: Models
    ) -> None:
        self._script = script
        self._journal = journal
        self._latency = latency
        self._limiter = Limiter(limits)
        self._models = models
        self._cache = PromptCache()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            return
        arrival = Arrival(scope["path"])
        self._journal.arrived(arrival)
        raw = await _body(receive)
        if raw is None:
            arrival.end, arrival.ended = "closed", time.monotonic()
            return
        response = Response(scope, receive, send, arrival)
        try:
            whole = await self._respond(response, scope, raw)
            response.close("whole" if whole else "broken")
        except Dropped:
            response.close("broken")
            raise

    async def _respond(self, response: Response, scope: Scope, raw: bytes) -> bool:
        headers = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]}
        if error := _not_let_in(scope, headers):
            return await self._refuse(response, error)
        if scope["method"] == "GET":
            return await self._show_models(response, scope)
        request = _read(scope["path"], headers, raw)
        if isinstance(request, ApiError):
            return await self._refuse(response, request)
        response.arrival.model = request.model
        if error := self._models.missing(request.model):
            return await self._refuse(response, error)
        if request.path == COUNT:
            await response.json(200, {"input_tokens": tokens_of(request.body)})
            return True
        return await self._converse(response, request)

    async def _converse(self, response: Response, request: Request) -> bool:
        """Answer a request for a message; returns whether it was answered whole."""
        usage = self._cache.usage(request.parts)
        fresh = usage["input_tokens"] + usage["cache_creation_input_tokens"]
        if error := self._limiter.admit(request.model, fresh):
            return await self._refuse(response, error, self._limiter.headers(request.model))
        self._journal.accepted(request)
        answer = await _ask(self._script, request)
        if isinstance(answer, ApiError):
            await response.error(answer, self._limiter.headers(request.model))
            return True
        self._cache.keep(request.parts)
        return await self._say(response, request, answer, usage)

    async def _say(self, response: Response, request: Request, reply: Reply, usage: dict[str, int]) -> bool:
        message = events.message(request, reply, usage)
        # The headers go out first: they cannot know yet what the answer will take.
        headers = {**self._limiter.headers(request.model), **reply.headers}
        self._limiter.spend(request.model, message["usage"]["output_tokens"])
        if not request.body.get("stream"):
            await response.json(200, events.whole(message), headers)
            return True
        more = {"cache-control": "no-cache", **headers}
        response.prepare(200, "text/event-stream; charset=utf-8", more)
        return await stream(response, events.stream(message, reply.pieces), reply, self._latency)

    async def _show_models(self, response: Response, scope: Scope) -> bool:
        name = scope["path"].removeprefix(MODELS).removeprefix("/")
        page: dict[str, Any] | ApiError
        if name:
            page = self._models.missing(name) or describe(name)
        else:
            page = self._models.page(dict(parse_qsl(scope.get("query_string", b"").decode())))
        if isinstance(page, ApiError):
            return await self._refuse(response, page)
        await response.json(200, page)
        return True

    async def _refuse(
        self, response: Response, error: ApiError, headers: dict[str, str] | None = None
    ) -> bool:
        self._journal.refused(error)
        await response.error(error, headers)
        return True


def _not_let_in(scope: Scope, headers: dict[str, str]) -> ApiError | None:
    """Why a request is refused before its body is read: in the order in which the real API looks."""
    path = scope["path"]
    is_model = path == MODELS or path.startswith(f"{MODELS}/")
    if path not in (MESSAGES, COUNT) and not is_model:
        return ApiError(404, message="Not found")
    if scope["method"] != ("GET" if is_model else "POST"):
        return ApiError(405, message="Method Not Allowed")
    if not headers.get("x-api-key") and not headers.get("authorization", "").removeprefix("Bearer").strip():
        return ApiError(401, message="x-api-key header is required")
    version = headers.get("anthropic-version")
    if version is None:
        return ApiError(400, message="anthropic-version: header is required")
    if not VERSION.fullmatch(version):
        return ApiError(400, message=f'anthropic-version: "{version}" is not a valid version')
    return None


def _read(path: str, headers: dict[str, str], raw: bytes) -> Request | ApiError:
    """The request, or why its body is refused."""
    if len(raw) > LARGEST_BODY:
        return ApiError(413, message="Request exceeds the maximum size")
    try:
        body = json.loads(raw)
    except ValueError as error:
        return ApiError(400, message=f"The request body is not valid JSON: {error}")
    version = headers["anthropic-version"]
    if fault := fault_of(body, counting=path == COUNT, version=version):
        return ApiError(400, message=fault)
    return Request(path, headers, raw, body)


async def _ask(script: Script, request: Request) -> Answer:
    answer = script(request)
    return await answer if inspect.isawaitable(answer) else answer


async def _body(receive: Receive) -> bytes | None:
    """The body, or the first bytes of one that is too large; None if the client went away before its end."""
    pieces, size = [], 0
    while size <= LARGEST_BODY:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        pieces.append(event.get("body", b""))
        size += len(pieces[-1])
        if not event.get("more_body"):
            break
    return b"".join(pieces)
