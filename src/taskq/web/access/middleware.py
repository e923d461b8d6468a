"""Finds out who sent a request, and lets him in or not."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from taskq.errors import TaskqError
from taskq.web.access import cookies, forgery
from taskq.web.access.entrance import LOGIN, to_login
from taskq.web.access.keyring import Keyring
from taskq.web.access.place import Place, host_of
from taskq.web.access.streams import while_welcome
from taskq.web.access.visitor import NOBODY, SCOPES, Visitor, require
from taskq.web.problems import Handler, Refused, is_for_programs

PROBES = ("/healthz", "/readyz")
"""Asked by machines that know the server by whatever name."""
STATIC, ICON = "/static/", "/favicon.ico"
STREAMS = ("/live", "/api/v1/events")
LETTER = 64 * 1024
"""Bytes of a form of somebody who is not known, at most: it is read to see whether it is ours."""


class Access:
    """Puts the Visitor into the request's state; who may not come in gets no further.

    :param operator: who acts where nobody needs to log in: on this machine, as long as there are no tokens.
    :param on_error: makes the answer for an error.
    """

    def __init__(
        self, app: ASGIApp, *, keyring: Keyring, place: Place, operator: str, on_error: Handler
    ) -> None:
        self._app, self._keyring, self._place = app, keyring, place
        self._operator, self._on_error = operator, on_error

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope["query_string"] = as_ascii(scope["query_string"])
        request = Request(scope, receive)
        request.state.visitor, request.state.fresh = NOBODY, None
        try:
            admitted = await self._admit(request)
        except ClientDisconnect:
            return None
        except (Refused, TaskqError) as error:
            admitted = await self._on_error(request, error)
        if isinstance(admitted, Response):
            return await admitted(scope, receive, send)
        if request.state.fresh is not None:
            send = with_cookie(send, cookies.keep(request, request.state.fresh))
        if scope["path"] in STREAMS:
            return await while_welcome(
                lambda send: self._app(scope, admitted, send), send, lambda: self._is_welcome(request)
            )
        return await self._app(scope, admitted, send)

    async def _admit(self, request: Request) -> Receive | Response:
        """Let a request in, and return what it is to be received from; or the answer that sends it away.

        :raises Refused: it is not served.
        """
        path = request.scope["path"]
        self._check_host(request)
        if path in (*PROBES, ICON) or path.startswith(STATIC):
            return request.receive
        receive = request.receive
        if (token := bearer_of(request)) is not None:
            request.state.visitor = await self._holder(token)
        elif (visitor := await self._browser(request)) is not None or path == LOGIN:
            receive = await self._no_forgery(request, visitor or NOBODY)
        else:
            return to_login(request)
        if request.method in forgery.SAFE and path != LOGIN and not path.startswith("/api/"):
            require(request, "read")  # an operation of the API says itself what it takes, and so does a form
        return receive

    def _check_host(self, request: Request) -> None:
        name = host_of(request)
        if name is None and "host" in request.headers:
            raise Refused(400, "the Host header names no host")
        if request.scope["path"] not in PROBES and not self._place.trusts(name or ""):
            raise Refused(421, "this server does not go by that name: taskq serve --public-host NAME")

    async def _holder(self, token: str) -> Visitor:
        credential = await self._keyring.find("token", token)
        if credential is None:
            raise Refused(401, "this token is not known, was revoked, or has expired")
        return Visitor(credential.name, credential.scopes)

    async def _browser(self, request: Request) -> Visitor | None:
        """Who sent a request without a token; None when nobody knows."""
        if self._place.is_at_home(request) and await self._keyring.is_empty():
            return Visitor(self._operator, frozenset(SCOPES))
        if (secret := cookies.secret_of(request)) is None:
            return None
        is_entering = request.scope["path"] == LOGIN  # most who are there have no session: they do not wait
        session = await self._keyring.find("session", secret, again=not is_entering)
        if session is None:
            return None
        return Visitor(session.name, session.scopes, has_session=True)

    async def _no_forgery(self, request: Request, visitor: Visitor) -> Receive:
        """See that a browser's request is what the visitor wanted, and give his forms what tells it."""
        secret, receive = cookies.secret_of(request), request.receive
        if request.method not in forgery.SAFE:
            forgery.check_origin(request, self._place)
            if visitor is NOBODY and not 0 <= length_of(request) <= LETTER:
                raise Refused(413, "this is more than a login")
            receive = await forgery.check_word(request, secret)
        elif secret is None and not is_for_programs(request.scope["path"]):
            secret = request.state.fresh = cookies.new_secret()
        request.state.visitor = replace(visitor, csrf=forgery.word_of(secret) if secret else "")
        return receive

    async def _is_welcome(self, request: Request) -> bool:
        """Whether who was let in a while ago would be let in now."""
        if (token := bearer_of(request)) is not None:
            return await self._keyring.find("token", token) is not None
        return await self._browser(request) is not None


def bearer_of(request: Request) -> str | None:
    """The token that came with a request; None when none did.  Other schemes are a proxy's business."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def as_ascii(query: bytes) -> bytes:
    """A query as a browser would have sent it: some servers pass on any byte, and Starlette fails at them."""
    return query if query.isascii() else b"".join(b"%%%02X" % c if c > 127 else b"%c" % c for c in query)


def length_of(request: Request) -> int:
    """How many bytes the body is said to have; -1 when nothing is said."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else -1


def with_cookie(send: Send, cookie: str) -> Send:
    """Sends a Set-Cookie header too."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
        await send(message)

    return sending
