"""The inbox: what awaits a person, and what he needs to see to answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from taskq.web.acts import Subject
from taskq.web.arguments import Argument, shown
from taskq.web.reads import Reads

MOST: Final = 25
"""Items of a page at most: the oldest."""
MANY: Final = 200
"""More tasks than that are not counted."""
Kind = Literal["plan", "call", "unknown", "paused", "person"]
KINDS: Final[dict[Kind, str]] = {
    "plan": "plan",
    "call": "tool call",
    "unknown": "unknown outcome",
    "paused": "paused",
    "person": "your work",
}
PLACE: Final = ("repository", "directory")
APART: Final = ("objective", "question", *PLACE)
"""Keys of a payload that are shown for themselves."""


class Item(Subject):
    """One row of the statement `inbox`."""

    @property
    def kind(self) -> Kind:
        """What the person is asked."""
        if self.status == "queued":
            return "person"
        if self.question is not None and self.why_parked:
            return "call" if self.question.asks else "unknown"
        return "paused" if self.why_parked else "plan"

    @property
    def label(self) -> str:
        return KINDS[self.kind]

    @property
    def since(self) -> datetime:
        since: datetime = self.row["since"]
        return since

    @property
    def objective(self) -> str:
        """What it is to do, or what is asked, as Markdown."""
        text = self.payload.get("objective") or self.payload.get("question")
        return text if isinstance(text, str) else ""

    @property
    def place(self) -> str:
        """The repository or directory that it works in."""
        return next((str(self.payload[name]) for name in PLACE if self.payload.get(name)), "")

    @property
    def details(self) -> list[Argument]:
        """The rest of the payload."""
        return shown({name: value for name, value in self.payload.items() if name not in APART})

    @cached_property
    def said(self) -> str:
        """What the model said last, as Markdown."""
        blocks = msgspec.json.decode(self.row["said"] or "[]")
        return "\n\n".join(block["text"] for block in blocks if block.get("type") == "text")

    @cached_property
    def arguments(self) -> list[Argument]:
        """Those of the call in question."""
        return [] if self.question is None else shown(self.question.arguments)

    @property
    def falls(self) -> str:
        """How many tasks fall when it is rejected."""
        count: int = self.row["falls"]
        return f"more than {MANY}" if count >= MANY else str(count)


class Inbox:
    """What awaits a person, oldest first, and what it can be filtered by."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.items = [Item(row) for row in rows]
        self.total: int = rows[0]["total"] if rows else 0
        filters: Mapping[str, Any] = rows[0]["filters"] if rows else {"roles": [], "missions": []}
        self.roles: list[str] = filters["roles"]
        self.missions: list[dict[str, str]] = filters["missions"]

    def after(self, item: Item) -> UUID | None:
        """The item that comes next, or else the one before."""
        place = self.items.index(item)
        others = self.items[place + 1 : place + 2] or self.items[max(place - 1, 0) : place]
        return others[0].id if others else None


async def find_inbox(reads: Reads, role: str | None, mission: UUID | None) -> Inbox:
    """What awaits a person, of a role or mission where one is given."""
    return Inbox(await reads.fetch("inbox", role, mission, MOST))
