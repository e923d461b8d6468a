"""The checks of taskq verify."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from taskq import schema
from taskq.cli.session import QUERIES, server
from taskq.database import Connection, connect
from taskq.errors import DatabaseError
from taskq.settings import Settings, redacted

BELL_PATIENCE = 2.0
"""Seconds until a bell that has not been heard counts as lost."""
SKEW = 2.0
"""Seconds between the clocks that nobody needs to mind."""


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    name: str
    outcome: Literal["ok", "warn", "fail"]
    finding: str
    advice: str = ""


async def examine(settings: Settings) -> list[Check]:
    """All checks; those that need what failed before them are left out."""
    try:
        async with server(settings) as dsn:
            session = await connect(
                dsn, pooled=settings.listen_url is not None, name="taskq verify", queries=QUERIES
            )
            try:
                return [check async for check in checks(session, dsn, settings)]
            finally:
                await session.close()
    except DatabaseError as error:
        return [Check("database", "fail", str(error), "set TASKQ_DATABASE_URL to a database that answers")]


async def checks(session: Connection, dsn: str, settings: Settings) -> AsyncIterator[Check]:
    yield await database(session, dsn)
    yield await clocks(session)
    yield await bell(session, settings.listen_url or dsn)
    standing = await schema.examine(settings.listen_url or dsn)
    yield (
        Check("schema", "ok", str(standing))
        if standing.is_current
        else Check("schema", "fail", str(standing).partition(";")[0], "taskq migrate")
    )
    if standing.revision == standing.head:
        for name, query, finding in INVARIANTS:
            yield await invariant(session, name, query, finding)
        row = await session.fetch_one("health")
        for check in health(row):
            yield check


async def database(session: Connection, dsn: str) -> Check:
    row: Any = await session.fetch_one("server")
    finding = f"PostgreSQL {row['version']}, {redacted(dsn)} as {row['user']}"
    if row["number"] < 150000:
        return Check("database", "fail", finding, "taskq needs PostgreSQL 15 or newer")
    return Check("database", "ok", finding)


async def clocks(session: Connection) -> Check:
    """The difference between the database's clock and ours, taken from the middle of the round trip."""
    before = datetime.now(UTC)
    row: Any = await session.fetch_one("server")
    after = datetime.now(UTC)
    skew = (row["now"] - (before + (after - before) / 2)).total_seconds()
    finding = f"{abs(skew):.3f} s apart, round trip {(after - before).total_seconds() * 1000:.1f} ms"
    if abs(skew) > SKEW:
        return Check(
            "clocks",
            "warn",
            finding,
            "times shown here are off; the queue itself goes by the database's clock",
        )
    return Check("clocks", "ok", finding)


async def bell(session: Connection, listen_at: str) -> Check:
    """Whether a NOTIFY through the database's address is heard at the address for listening."""
    channel, rung = f"taskq_verify_{uuid4().hex[:12]}", asyncio.Event()
    listener = await connect(listen_at, name="taskq verify")
    try:
        await listener.listen(channel, lambda _channel, _payload: rung.set())
        began = asyncio.get_running_loop().time()
        await session.fetch_value("notify", channel, "")
        async with asyncio.timeout(BELL_PATIENCE):
            await rung.wait()
        took = asyncio.get_running_loop().time() - began
        return Check("bell", "ok", f"NOTIFY was heard after {took * 1000:.1f} ms")
    except TimeoutError:
        return Check(
            "bell",
            "fail",
            f"NOTIFY was not heard within {BELL_PATIENCE:g} s: workers wake by sweeps only",
            "set TASKQ_LISTEN_URL to a direct connection; a transaction pooler delivers no notifications",
        )
    finally:
        await listener.close()


INVARIANTS = (
    ("dependencies", "runnable_but_unmet", "tasks can run although a dependency has not completed"),
    (
        "counters",
        "miscounted",
        "blocked tasks whose waiting_on is not the number of their unmet dependencies and signals",
    ),
    ("leases", "leases_of_nobody", "tasks in progress without a worker or an end of their lease"),
)


async def invariant(session: Connection, name: str, query: str, finding: str) -> Check:
    """Something that must hold at any moment; the count is of those that break it."""
    count = await session.fetch_value(query)
    if count:
        advice = (
            "rows were changed by hand, or this is a bug of taskq: please report it with taskq show of one"
        )
        return Check(name, "fail", f"{count} {finding}", advice)
    return Check(name, "ok", f"no {finding}")


def health(row: Any) -> list[Check]:
    """What should not be, and passes or wants a person."""

    def count(name: str, finding: str, advice: str) -> Check:
        number = row[name]
        return Check(name, "warn" if number else "ok", f"{number} {finding}", advice if number else "")

    return [
        count(
            "orphaned",
            "tasks in progress whose worker is gone",
            "taskq tend, or any live worker, requeues them",
        ),
        count("stuck", "tasks in progress past their lease, timeout or cancel", "select * from taskq.stuck"),
        count(
            "stale",
            "tasks that could run for more than 5 min",
            "select * from taskq.stale says why; more workers?",
        ),
        Check(
            "players",
            "warn" if row["unplayed"] else "ok",
            f"nobody plays {', '.join(row['unplayed'])}"
            if row["unplayed"]
            else "every queued role is played",
            f"taskq worker --roles {row['unplayed'][0]}; what people play, they complete"
            if row["unplayed"]
            else "",
        ),
        Check(
            "workers",
            "warn" if row["troubled"] else "ok",
            "; ".join(row["troubled"]) or f"{row['workers']} live",
            "see the log of that worker" if row["troubled"] else "",
        ),
    ]
