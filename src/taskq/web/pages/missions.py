"""The missions: a page of them, newest first, by state and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.house import house_of
from taskq.web.ids import first_of
from taskq.web.nodes import STATUSES
from taskq.web.problems import Refused
from taskq.web.reads import Reads
from taskq.web.render import page

STATES = {"": "All", "running": "Running", "ended": "Ended", "failed": "With failures"}
PAGE = 20
LONGEST_TEXT = 200
SLACK = timedelta(hours=1)
"""How much later than a task's created_at, the begin of its transaction, its id may be made."""
UNSPENT: Mapping[str, Any] = {"cost": None, "tokens": None}


async def missions(request: Request) -> Response:
    """`?state=running|ended|failed&text=…&after=…`."""
    query = request.query_params
    state, text = query.get("state", ""), query.get("text", "").replace("\0", "").strip()[:LONGEST_TEXT]
    if state not in STATES:
        raise Refused(
            422, f"there is no state {state[:50]!r}: it is one of {', '.join(filter(None, STATES))}"
        )
    at, id = cursor(query.get("after"))
    reads = house_of(request).reads
    above = None if at is None else first_of(at + SLACK)
    rows = await reads.fetch("page_missions", state or None, text or None, at, id, PAGE + 1, above, fresh=1.0)
    shown = rows[:PAGE]
    spent = await spending(reads, shown)
    return page(
        request,
        "missions.html",
        title="Missions",
        topics=("missions",),
        missions=[{**row, **spent.get(row["id"], UNSPENT), "segments": segments(row)} for row in shown],
        state=state,
        text=text,
        states=[(value, words, link(state=value, text=text)) for value, words in STATES.items()],
        first=link(state=state, text=text) if at is not None else None,
        next=link(state=state, text=text, after=after(shown[-1])) if len(rows) > PAGE else None,
    )


async def spending(reads: Reads, rows: Sequence[Mapping[str, Any]]) -> dict[UUID, Mapping[str, Any]]:
    """What these missions cost. What has ended costs no more: it is counted once and kept for a while."""
    over = [row["id"] for row in rows if is_over(row)]
    under_way = [row["id"] for row in rows if not is_over(row)]
    found = await reads.fetch("page_missions_spent", over, fresh=60.0, stale=3600.0) if over else []
    if under_way:
        found += await reads.fetch("page_missions_spent", under_way, fresh=1.0)
    return {row["id"]: row for row in found}


def is_over(row: Mapping[str, Any]) -> bool:
    """Whether all of its tasks have ended."""
    return bool(row["completed"] + row["failed"] + row["cancelled"] == row["total"])


def segments(row: Mapping[str, Any]) -> list[tuple[str, int, float, float]]:
    """The bar of a mission: status, how many, and where in percent it begins and how wide it is."""
    found, begin = [], 0.0
    for status in STATUSES:
        if count := row[status]:
            width = count / row["total"] * 100
            found.append((status, count, round(begin, 3), round(width, 3)))
            begin += width
    return found


def link(**query: str) -> str:
    """The address of the page with these parameters."""
    given = {name: value for name, value in query.items() if value}
    return "/missions" + (f"?{urlencode(given)}" if given else "")


def after(row: Mapping[str, Any]) -> str:
    """The cursor behind a row."""
    return f"{row['created_at'].isoformat()}_{row['id']}"


def cursor(text: str | None) -> tuple[datetime | None, UUID | None]:
    """What a cursor says.

    :raises Refused: it is none.
    """
    if not text:
        return None, None
    at, _, id = text.partition("_")
    try:
        found = datetime.fromisoformat(at)
        if found.tzinfo is None:
            raise ValueError("no time zone")
        return found, UUID(id)
    except ValueError as error:
        raise Refused(422, "the parameter `after` is none of ours; begin at the first page") from error


ROUTES = [Route("/missions", missions)]
