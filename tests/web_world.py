"""A database as it looks on a busy afternoon, for the tests and the screenshots of Mission Control.

For everybody who builds or photographs a page:

    world = await populate(db)              # some missions of agents, programs, workers, budgets; ~1 s
    world.missions["payments"].root         # ids by the names in MISSIONS and the steps in STEPS
    await fill(db, 100_000)                 # so many finished tasks more, over the last week
    python tests/web_world.py DSN [COUNT]   # the same, from the shell, into a migrated database

Rows are inserted with the triggers off (the user of the tests may): every status, attempts with errors,
conversations, tool calls with all effects and outcomes, approvals, alerts, budgets, gates, a paused role, a
role that nobody plays.  The workers have leases of a day, so that they live as long as the test.
The same seed makes the same world, but for its ids and times: it ends now.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from web_world_day import add_limits, add_programs, add_trouble, add_workers
from web_world_missions import MISSIONS, STEPS, add_mission
from web_world_rows import ARCHITECT, BACKEND, HOSTILE, PAUSED, QA, UNPLAYED, Mission, World

__all__ = [
    "ARCHITECT",
    "BACKEND",
    "HOSTILE",
    "MISSIONS",
    "PAUSED",
    "QA",
    "STEPS",
    "UNPLAYED",
    "Mission",
    "World",
    "fill",
    "populate",
]


async def populate(db: asyncpg.Connection, seed: int = 7) -> World:
    """Put the world into a database; returns the ids."""
    world = World(random.Random(seed), datetime.now(UTC))
    add_workers(world)
    for name in MISSIONS:
        add_mission(world, name)
    add_programs(world)
    add_trouble(world)
    add_limits(world)
    await insert(db, world.rows)
    return world


ORDER = (
    "workers", "roles", "role_pauses", "tasks", "dependencies", "attempts", "events", "messages",
    "tool_calls", "checks", "budgets", "gates",
)  # fmt: skip


async def insert(db: asyncpg.Connection, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Rows into their tables, with the triggers off; then what the planner knows of them."""
    async with db.transaction():
        await db.execute("set local session_replication_role = replica")
        for table in ORDER:
            columns = sorted({column for row in rows.get(table, []) for column in row})
            if columns:
                names = ", ".join(f'"{column}"' for column in columns)
                copied = f"select {names} from jsonb_populate_recordset(null::taskq.{table}, $1::text::jsonb)"  # noqa: S608
                await db.execute(
                    f"insert into taskq.{table} ({names}) {copied}", json.dumps(rows[table], default=str)
                )
        await db.execute("select setval('taskq.lease_numbers', 100000)")
    await db.execute("analyze taskq.tasks, taskq.messages, taskq.tool_calls, taskq.events")


async def fill(db: asyncpg.Connection, count: int) -> None:
    """So many finished tasks more, over the last week, and agents' rounds among them: to see what is slow."""
    async with db.transaction():
        await db.execute("set local session_replication_role = replica")
        await db.execute((Path(__file__).parent / "web_world.sql").read_text(), count)
    await db.execute("vacuum analyze taskq.tasks")


async def main(dsn: str, count: int = 0) -> None:
    db = await asyncpg.connect(dsn)
    try:
        await populate(db)
        if count:
            await fill(db, count)
    finally:
        await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:3])))
