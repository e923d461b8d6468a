"""Logging in with a token, and out again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.errors import NoSuchTask
from taskq.web.access import cookies, visitor_of
from taskq.web.access.entrance import LOGIN, LOGOUT, same_site, see_other
from taskq.web.house import House, house_of
from taskq.web.render import page

WRONG = "This token opens nothing: it is mistyped, was revoked, or has expired."


async def form(request: Request) -> Response:
    """The page to log in; whoever is known already goes on."""
    following = same_site(request.query_params.get("next", "/"))
    return see_other(following) if visitor_of(request).actor else shown(request, following)


async def log_in(request: Request) -> Response:
    """Log in; where he wanted to go, or the form again."""
    async with request.form() as given:
        token, following = given.get("token"), same_site(str(given.get("next", "/")))
    secret = await opened(house_of(request), token.strip()) if isinstance(token, str) else None
    if secret is None:
        return shown(request, following, WRONG)
    response = see_other(following)
    response.headers["Set-Cookie"] = cookies.keep(request, secret)
    return response


async def log_out(request: Request) -> Response:
    """End the session, here and in the database."""
    if (secret := cookies.secret_of(request)) is not None and visitor_of(request).has_session:
        await house_of(request).keyring.log_out(secret)
    response = see_other(LOGIN)
    response.headers["Set-Cookie"] = cookies.drop(request)
    return response


async def opened(house: House, token: str) -> str | None:
    """The secret of a new session; None when the token is no good.  No old one is used: it may be known."""
    credential = await house.keyring.find("token", token)
    if credential is None:
        return None
    try:
        return await house.keyring.log_in(credential)
    except NoSuchTask:  # revoked a moment ago
        return None


def shown(request: Request, following: str, error: str = "") -> Response:
    return page(request, "login.html", 422 if error else 200, title="Log in", next=following, error=error)


ROUTES = [
    Route(LOGIN, form),
    Route(LOGIN, log_in, methods=["POST"]),
    Route(LOGOUT, log_out, methods=["POST"]),
]
