"""Probes: what watches this process asks of it."""

from __future__ import annotations

import asyncio
from functools import cache

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq import schema
from taskq.errors import NotMigrated, TaskqError
from taskq.web.access import visitor_of
from taskq.web.house import House, house_of
from taskq.web.problems import Refused
from taskq.web.prometheus import exposition


class Health(msgspec.Struct, frozen=True):
    """Whether it is as it should be, and if not, why."""

    ok: bool
    why: str = ""


async def healthz(_request: Request) -> Response:
    """This process lives; the database is not asked."""
    return answer(Health(True))


async def readyz(request: Request) -> Response:
    """The database answers, and its schema is that of this version; else 503, and why."""
    return answer(await readiness(house_of(request)))


async def metrics(request: Request) -> Response:
    """The metrics, for Prometheus."""
    if not visitor_of(request).may("read"):
        raise Refused(403, "this takes a token with the scope read")
    return Response(await exposition(house_of(request)), media_type=CONTENT_TYPE_LATEST)


async def readiness(house: House) -> Health:
    """Whether pages and API can be served."""
    head, logic = await asyncio.to_thread(shipped)
    try:
        [row] = await house.reads.fetch("standing", fresh=1.0)
    except NotMigrated:
        return Health(False, str(schema.Standing(None, head, False)))
    except (TaskqError, OSError) as error:
        return Health(False, f"the database cannot be reached: {error}")
    standing = schema.Standing(row["revision"], head, row["laid"] == logic)
    return Health(standing.is_current, "" if standing.is_current else str(standing))


@cache
def shipped() -> tuple[str, str]:
    """The revision and the logic of this version."""
    return schema.newest_revision(), schema.logic_digest()


def answer(health: Health) -> Response:
    """As JSON."""
    return Response(
        msgspec.json.encode(health),
        200 if health.ok else 503,
        {"Cache-Control": "no-store"},
        "application/json",
    )


ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
