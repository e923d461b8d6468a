"""That a form was sent by our own page, not by another site's that has the visitor's browser send it.

Three things say so: the cookie's SameSite, the Origin and Sec-Fetch-Site that browsers add and scripts cannot
change, and a word derived from the cookie's secret, which other sites can neither read nor guess.
"""

from __future__ import annotations

import hmac
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import Message, Receive

from taskq.web.access.place import Place, name_in
from taskq.web.problems import Refused

SAFE = ("GET", "HEAD", "OPTIONS")
HEADER, FIELD = "x-csrf-token", "csrf"
FIELDS = 1000
STRANGE = (
    "the form was not this browser's, or is too old: load its page again"
    " (programs send a token: Authorization: Bearer tq_…)"
)


def word_of(secret: str) -> str:
    """What the forms of the browser that keeps this secret must carry."""
    return hmac.digest(secret.encode(), b"csrf", "sha256").hex()


def check_origin(connection: HTTPConnection, place: Place) -> None:
    """:raises Refused: the request says itself that another site has sent it."""
    origin, site = connection.headers.get("origin"), connection.headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") or (origin is not None and not is_ours(origin, connection, place)):
        raise Refused(403, "this was sent by another site, and is not done")


def is_ours(origin: str, connection: HTTPConnection, place: Place) -> bool:
    """Whether an Origin is this server, by the name that the browser called it, or one that it goes by."""
    scheme, _, authority = origin.lower().partition("://")
    if scheme not in ("http", "https"):
        return False
    return authority == connection.headers.get("host", "").lower() or name_in(authority) in place.hosts


async def check_word(request: Request, secret: str | None) -> Receive:
    """Look for the word in the header or the form; returns what is to be received in place of what was read.

    :raises Refused: it is not there, or another browser's.
    """
    if secret is None:
        raise Refused(403, STRANGE)
    wanted = word_of(secret).encode()
    given = request.headers.get(HEADER, "").encode("utf-8", "replace")
    if hmac.compare_digest(given, wanted):
        return request.receive
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        body = await request.body()
        if any(hmac.compare_digest(word, wanted) for word in await words_in(request, kind, body)):
            return replay(body, request.receive)
    raise Refused(403, STRANGE)


async def words_in(request: Request, kind: str, body: bytes) -> list[bytes]:
    """The values of the form's field."""
    if kind == "multipart/form-data":
        try:
            async with Request(request.scope, replay(body, request.receive)).form() as form:
                found = [value for value in form.getlist(FIELD) if isinstance(value, str)]
        except HTTPException:
            found = []
    else:
        try:
            pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS)
        except ValueError:
            pairs = []
        found = [value for name, value in pairs if name == FIELD]
    return [word.encode("utf-8", "replace") for word in found]


def replay(body: bytes, receive: Receive) -> Receive:
    """Receives this body, then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
