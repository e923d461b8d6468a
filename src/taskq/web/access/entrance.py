"""What somebody gets who is not known: the way to the login page, and back to where he wanted to go."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from taskq.web.access import cookies, forgery
from taskq.web.problems import Refused, answer, is_for_programs

LOGIN, LOGOUT = "/login", "/logout"
HERE = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of this site: ASCII without spaces and backslashes, which browsers read as they like."""
AGAIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>taskq</title>
<meta http-equiv="refresh" content="0; url={here}"></head>
<body><p><a href="{here}">Go on to taskq</a></p></body></html>
"""


def to_login(request: Request) -> Response:
    """The answer to a request of nobody.

    Programs get a problem; htmx is told to leave the page; a browser that comes from a link on another site
    may have kept its cookie back (SameSite=Strict) and is asked to come again by itself.
    """
    if is_for_programs(request.scope["path"]):
        return answer(Refused(401, "send a token: Authorization: Bearer tq_…").problem)
    if request.headers.get("hx-request") == "true":
        there = f"{LOGIN}?next={quote(looked_at(request, 'hx-current-url'), safe='')}"
        return Response(status_code=401, headers={"HX-Redirect": there, "WWW-Authenticate": "Bearer"})
    if request.method not in forgery.SAFE:
        return see_other(f"{LOGIN}?next={quote(looked_at(request, 'referer'), safe='')}")
    if comes_from_elsewhere(request):
        return HTMLResponse(AGAIN.format(here=escape(here(request))))
    return see_other(f"{LOGIN}?next={quote(here(request), safe='')}")


def see_other(url: str) -> Response:
    """Look there, with GET."""
    return RedirectResponse(url, 303)


def comes_from_elsewhere(request: Request) -> bool:
    """Whether a link of another site led here, and nothing shows whether this browser is logged in."""
    return (
        cookies.NAME not in request.cookies
        and request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        and request.headers.get("sec-fetch-mode") == "navigate"
    )


def here(request: Request) -> str:
    """The path and query of a request."""
    query = request.scope["query_string"].decode("latin-1")
    return same_site(quote(request.scope["path"], safe="/%:@!$&'()*+,;=~") + (f"?{query}" if query else ""))


def looked_at(request: Request, header: str) -> str:
    """The path and query of the page that a request came from."""
    try:
        page = urlsplit(request.headers.get(header, ""))
    except ValueError:
        return "/"
    if page.netloc.lower() != request.headers.get("host", "").lower():
        return "/"
    return same_site(page.path + (f"?{page.query}" if page.query else ""))


def same_site(path: str) -> str:
    """The path if it surely leads nowhere else, and not back to the login; else the first page."""
    if HERE.fullmatch(path) is None or path.partition("?")[0] in (LOGIN, LOGOUT):
        return "/"
    return path
