"""Pages from templates: escaped by Jinja2, with words for times, states and numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from taskq import __version__
from taskq.web.access import visitor_of

THEMES = ("auto", "light", "dark")
MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
HEADING = re.compile(r"(?<=</h)[1-6](?=>)|(?<=<h)[1-6](?=>)")
"""The headings of others' texts stand below those of the page."""


def page(request: Request, template: str, /, status: int = 200, **about: Any) -> HTMLResponse:
    """A page from a template.

    :param about: what the template shows; `title` is the page's, `topics` what it listens to (see feed/).
    """
    theme = request.cookies.get("taskq_theme", "auto")
    text = (
        templates()
        .get_template(template)
        .render(
            request=request,
            visitor=visitor_of(request),
            path=request.url.path,
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            theme=theme if theme in THEMES else "auto",
            is_part=request.headers.get("hx-request") == "true",
            version=__version__,
            **{"topics": (), **about},
        )
    )
    return HTMLResponse(text, status, {"Vary": "HX-Request, Cookie", "Cache-Control": "no-store"})


@cache
def templates() -> Environment:
    """The templates, with their filters; a name that nobody gave is an error."""
    found = Environment(
        loader=PackageLoader("taskq.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        ago=ago,
        since=since,
        lasted=lasted,
        took=took,
        short=short,
        money=money,
        number=number,
        percent=percent,
        markdown=markdown,
        iso=iso,
        pretty=pretty,
        reindent=reindent,
    )
    found.globals["asset"] = asset
    return found


@cache
def asset(name: str) -> str:
    """The address of a static file; a new version of it has a new one."""
    digest = sha256((files("taskq.web") / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def short(id: Any) -> str:
    """The end of an id, as the command line shows it."""
    return str(id)[-8:]


def took(length: timedelta | float | None) -> str:
    """A length of time in one or two units: 4.2 s, 3 min 10 s, 2 h 5 min, 3 d 4 h."""
    if length is None:
        return ""
    seconds = max(length.total_seconds() if isinstance(length, timedelta) else length, 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def rough(length: timedelta) -> str:
    """A length of time in one unit, as taskq.ago has it: what moves on by itself need not be finer."""
    seconds = max(length.total_seconds(), 0)
    for begin, size, unit in ((172800, 86400, "d"), (7200, 3600, "h"), (120, 60, "min")):
        if seconds >= begin:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds // 1:.0f} s"


def lasted(seconds: float | None) -> str:
    """So many seconds, in one unit."""
    return "" if seconds is None else rough(timedelta(seconds=seconds))


def moment(then: datetime | str) -> datetime:
    """A moment; in json it comes as text."""
    return then if isinstance(then, datetime) else datetime.fromisoformat(then)


def ago(then: datetime | str | None) -> Markup:
    """A moment as its distance from now, with itself as the element's title; the page keeps it moving."""
    if then is None:
        return Markup("")
    at = moment(then)
    passed = datetime.now(UTC) - at
    words = f"{rough(passed)} ago" if passed >= timedelta() else f"in {rough(-passed)}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), iso(at), words)


def since(then: datetime | str | None) -> Markup:
    """How long something has lasted; the page keeps it counting."""
    if then is None:
        return Markup("")
    at = moment(then)
    return Markup('<time datetime="{}" title="since {}" data-form="for">{}</time>').format(
        at.isoformat(), iso(at), rough(datetime.now(UTC) - at)
    )


def iso(then: datetime | str | None) -> str:
    """A moment, to the second, in UTC."""
    return "" if then is None else f"{moment(then).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def money(dollars: Any) -> str:
    """US dollars; cents are too coarse for a turn."""
    return (
        ""
        if dollars is None
        else f"${float(dollars):,.2f}"
        if float(dollars) >= 1
        else f"${float(dollars):.4f}"
    )


def number(count: Any) -> str:
    """A number with its thousands apart."""
    return "" if count is None else f"{count:,}"


def percent(share: float | None) -> str:
    """A share of one."""
    return "" if share is None else f"{share:.0%}"


def markdown(text: str) -> Markup:
    """Markdown as HTML; HTML in it stays text, and links lead only where links may."""
    return Markup(HEADING.sub(lambda level: str(min(int(level[0]) + 3, 6)), MARKDOWN.render(text)))


def pretty(value: Any) -> str:
    """A value as JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def reindent(text: str) -> str:
    """A text as JSON that people can read; as it is, if it is none, or only the beginning of one."""
    try:
        return pretty(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
