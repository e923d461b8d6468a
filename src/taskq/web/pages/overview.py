"""The overview: what runs, what waits and for what, how it goes, and what a person should look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.house import house_of
from taskq.web.pages.concerns import concerns_of
from taskq.web.render import page

FRESH = 1.0
"""Seconds for which the overview is true enough."""
COUNTS = ("in_progress", "ready", "scheduled", "blocked", "awaiting_approval")


@dataclass(frozen=True)
class Window:
    """How far the curves look back, in buckets of which width; their answer serves everybody for a while."""

    name: str
    short: str
    words: str
    length: timedelta
    bucket: timedelta
    fresh: float


WINDOWS = (
    Window("1h", "1 h", "last hour", timedelta(hours=1), timedelta(minutes=1), 10),
    Window("24h", "24 h", "last 24 hours", timedelta(hours=24), timedelta(minutes=30), 60),
)


async def overview(request: Request) -> Response:
    """The first page; ?window=24h for the curves of a day."""
    reads = house_of(request).reads
    window = next((w for w in WINDOWS if w.name == request.query_params.get("window")), WINDOWS[0])
    found = await reads.fetch_one("overview", fresh=FRESH)
    assert found is not None
    buckets = await reads.fetch(
        "throughput", window.length, window.bucket, fresh=window.fresh, stale=10 * window.fresh
    )
    return page(
        request,
        "overview.html",
        title="Overview",
        topics=("overview",),
        **found,
        counts={name: sum(role[name] for role in found["roles"]) for name in COUNTS},
        slots=sum(worker["concurrency"] for worker in found["workers"] if not worker["draining"]),
        concerns=concerns_of(found),
        window=window,
        windows=WINDOWS,
        buckets=buckets,
        curves=curves(buckets),
        completed=sum(bucket["completed"] for bucket in buckets),
        failed=sum(bucket["failed"] for bucket in buckets),
    )


def curves(buckets: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The buckets as columns, the way the plots take them; times in seconds since 1970."""
    names = ("completed", "failed", "wait_p50", "wait_p95")
    columns: dict[str, list[Any]] = {name: [plain(b[name]) for b in buckets] for name in names}
    return {"at": [plain(b["at"]) for b in buckets], **columns}


def plain(value: Any) -> float | None:
    """A figure of the database as a number."""
    match value:
        case datetime():
            return value.timestamp()
        case timedelta():
            return value.total_seconds()
        case None:
            return None
    return float(value)


ROUTES = [Route("/", overview)]
