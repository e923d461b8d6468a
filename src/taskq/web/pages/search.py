"""The search: tasks, missions, conversations, tool calls and events, with the words marked."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from taskq.web.house import house_of
from taskq.web.pages.links import link, pattern_of
from taskq.web.reads import Reads
from taskq.web.render import page

PATIENCE = 3.0
"""Seconds that one group of results may take; what takes longer is left out, and the page says so."""
WORDS = 8
"""Words that are looked for at most."""
ID = re.compile(r"[0-9a-f]{6,32}")
NOISE = re.compile(r"type: \w+(, )?|(tool_use_)?id: toolu_\w+(, )?|\b(text|content): ")
"""What the JSON of a conversation has between its words."""
GROUPS = ("missions", "tasks", "messages", "calls", "events")


@dataclass(frozen=True)
class Group:
    """The results of one kind; None where it took too long."""

    name: str
    rows: list[dict[str, Any]] | None


async def search(request: Request) -> Response:
    """?q=: an id, or a part of it, leads to its task; words are looked for everywhere."""
    reads = house_of(request).reads
    asked = request.query_params.get("q", "").replace("\0", "").strip()[:200]
    found = await ids(reads, asked.lower())
    if len(found) == 1:
        return RedirectResponse(f"/tasks/{found[0]}", 303)
    words = asked.split()[:WORDS]
    groups = await asyncio.gather(*(look(reads, group, words) for group in GROUPS)) if words else []
    return page(
        request,
        "search.html",
        title=f"Search: {asked}" if asked else "Search",
        asked=asked,
        groups=[group for group in groups if group.rows],
        late=[group.name for group in groups if group.rows is None],
        marked=lambda text: marked(text or "", words),
        shown=shown,
        all_tasks=link("/tasks", [("text", asked)]),
        href_of_role=lambda role: f"/roles#role-{quote(role, safe='')}",
    )


async def ids(reads: Reads, text: str) -> list[UUID]:
    """The tasks that a text names by their id, whole or in part: two at most."""
    digits = text.replace("-", "")
    if not ID.fullmatch(digits) or not any(digit.isdigit() for digit in digits):
        return []
    try:
        return [row["id"] for row in await asyncio.wait_for(reads.fetch("search_ids", digits), PATIENCE)]
    except TimeoutError:
        return []


async def look(reads: Reads, group: str, words: list[str]) -> Group:
    """The results of one group."""
    inside = [json.dumps(word, ensure_ascii=False)[1:-1] if group == "messages" else word for word in words]
    patterns = [pattern_of(word) for word in inside]
    asked = reads.fetch(f"search_{group}", patterns, inside[0].lower(), fresh=5.0)
    try:
        return Group(group, await asyncio.wait_for(asked, PATIENCE))
    except TimeoutError:
        return Group(group, None)


def marked(text: str, words: list[str]) -> Markup:
    """A text, escaped, with these words marked wherever they stand in it."""
    if not words:
        return escape(text)
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(word) for word in longest_first), re.IGNORECASE)
    parts, at = [], 0
    for hit in pattern.finditer(text):
        parts += [escape(text[at : hit.start()]), Markup("<mark>{}</mark>").format(hit[0])]
        at = hit.end()
    return Markup("").join([*parts, escape(text[at:])])


def shown(text: str | None) -> str:
    """A piece of JSON, or of text, as one line without what only JSON needs; it begins with a whole word."""
    plain = re.sub(r'"\s*:\s*', ": ", text or "")
    plain = re.sub(r"\\[nrt]|\s+", " ", plain).replace('\\"', "'").replace("\\\\", "\\")
    plain = NOISE.sub("", re.sub(r'[{}\[\]"]+', "", plain))
    if plain.startswith("…"):
        plain = "… " + (plain.partition(" ")[2] or plain[1:])
    return " ".join(plain.split())


ROUTES = [Route("/search", search)]
