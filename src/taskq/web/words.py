"""Sentences of the database, as the page shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
ADVICE = re.compile(r"(; to run it (now|again)|; final: to do it again)$")


def why(explained: str) -> Markup:
    """What taskq.explain says: without its advice for psql, which are buttons here; its tasks are links."""
    said = (
        explained.partition("select taskq.")[0].rstrip(" :,") if "select taskq." in explained else explained
    )
    return linked(ADVICE.sub("", said))


def linked(text: str) -> Markup:
    """A text, escaped, whose ids are links to tasks."""
    found, end = Markup(""), 0
    for match in UUID.finditer(text):
        id = match[0]
        found += escape(text[end : match.start()])
        found += Markup('<a class="id" href="/tasks/{}" title="{}">{}</a>').format(id, id, id[-8:])
        end = match.end()
    return found + escape(text[end:])


def with_times(rows: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Rows that came as JSON, their times as times (None for infinity)."""
    return [
        {key: moment(value) if key == "at" or key.endswith("_at") else value for key, value in row.items()}
        for row in rows or ()
    ]


def moment(value: Any) -> datetime | None:
    """A time of the database in JSON; None for none, and for infinity."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
