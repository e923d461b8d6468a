"""Tool calls: the ledger of all agents, with filters; its address is its state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.house import house_of
from taskq.web.pages.links import TIMES, length_of, link, pattern_of
from taskq.web.pages.search import shown
from taskq.web.render import page

STATUSES = ("proposed", "started", "success", "error", "timeout", "blocked", "unknown")
EFFECTS = ("read", "idempotent", "transactional", "unsafe")
ROWS = 50
FIELDS = ("tool", "effect", "role", "since")


@dataclass(frozen=True)
class Filters:
    """What the ledger is filtered by, as it was typed; what does not exist is left out."""

    status: tuple[str, ...] = ()
    tool: str = ""
    effect: str = ""
    role: str = ""
    since: str = ""

    @classmethod
    def of(cls, given: QueryParams) -> Self:
        fields = {name: given.get(name, "").replace("\0", "").strip()[:200] for name in FIELDS}
        fields["effect"] = fields["effect"] if fields["effect"] in EFFECTS else ""
        fields["since"] = fields["since"] if length_of(fields["since"]) else ""
        return cls(tuple(status for status in STATUSES if status in given.getlist("status")), **fields)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As the statements of ledger.sql take them."""
        statuses, tool = list(self.status) or None, pattern_of(self.tool)
        return tool, statuses, self.effect or None, self.role or None, length_of(self.since)

    def href(self, **more: Any) -> str:
        """The address of the ledger with these filters."""
        pairs = [*(("status", status) for status in self.status)]
        return link("/audit", [*pairs, *((name, getattr(self, name)) for name in FIELDS), *more.items()])


async def audit(request: Request) -> Response:
    """The ledger, newest first: ?tool=&status=&effect=&role=&since=, and ?before= or ?after= a place."""
    reads = house_of(request).reads
    filters = Filters.of(request.query_params)
    after, before = (place_of(request.query_params.get(name, "")) for name in ("after", "before"))
    place = after or before or (None, None, None)
    statement = "ledger_newer" if after else "ledger_older"
    rows = await reads.fetch(statement, *filters.arguments, *place, ROWS + 1, fresh=1.0)
    is_more = len(rows) > ROWS
    rows = (rows[-ROWS:] if after else rows[:ROWS]) if is_more else rows
    names = await reads.fetch_one("ledger_names", fresh=30)
    return page(
        request,
        "audit.html",
        title="Tool calls",
        topics=("audit",),
        calm=4,
        rows=rows,
        shown=shown,
        filters=filters,
        statuses=STATUSES,
        effects=EFFECTS,
        times=TIMES,
        names=names,
        is_paged=bool(after or before),
        newer=filters.href(after=name_of(rows[0])) if rows and (is_more if after else before) else None,
        older=filters.href(before=name_of(rows[-1])) if rows and (after or is_more) else None,
    )


def name_of(row: dict[str, Any]) -> str:
    """The place of a call, for an address."""
    return f"{row['proposed_at'].isoformat()},{row['task_id']},{row['call_id']}"


def place_of(text: str) -> tuple[datetime, UUID, str] | None:
    """The place that an address names; None when it names none."""
    at, _, rest = text.replace("\0", "").partition(",")
    task, _, call = rest.partition(",")
    try:
        moment = datetime.fromisoformat(at)
        return (moment, UUID(task), call) if moment.tzinfo else None
    except ValueError:
        return None


ROUTES = [Route("/audit", audit)]
