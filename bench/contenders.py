"""Who is measured beside whom: how each one's schema is laid, its queue filled and its worker started."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.server import Install
from taskq import schema

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Contender:
    """A queue.

    :param module: its worker: `python -m module`, which takes the orders of bench/child.py.
    :param table: what every claim has to lock.
    :param fill: inserts so many no-op tasks in one statement or few.
    :param settled: a query: is nothing left that has started?
    :param kept: a query: how many finished tasks are on record?
    """

    name: str
    module: str
    table: str
    install: Install
    fill: Callable[[asyncpg.Connection, int], Awaitable[None]]
    settled: str
    kept: str

    @property
    def is_installed(self) -> bool:
        """Whether its package is here."""
        return self.name in ("taskq", "bare SQL") or importlib.util.find_spec(self.name) is not None


async def migrate_taskq(dsn: str) -> None:
    await schema.migrate(dsn)


async def lay_prototype(dsn: str) -> None:
    await execute(dsn, (HERE / "prototype.sql").read_text(encoding="utf-8"))


async def install_pgqueuer(dsn: str) -> None:
    from pgqueuer.queries import Queries

    session = await asyncpg.connect(dsn)
    try:
        await Queries.from_asyncpg_connection(session).install()
    finally:
        await session.close()


async def install_procrastinate(dsn: str) -> None:
    from bench.peer_procrastinate import app

    async with app(dsn).open_async() as peer:
        await peer.schema_manager.apply_schema_async()


async def execute(dsn: str, sql: str) -> None:
    """Statements in one transaction, on a session of their own."""
    session = await asyncpg.connect(dsn)
    try:
        await session.execute(sql)
    finally:
        await session.close()


async def fill_taskq(session: asyncpg.Connection, tasks: int) -> None:
    await session.execute(
        "insert into taskq.tasks (role, payload)"
        " select 'noop', '{\"n\": 1}' from generate_series(1, $1::int)",
        tasks,
    )


async def fill_prototype(session: asyncpg.Connection, tasks: int) -> None:
    await session.execute(
        "insert into bare.tasks (role, payload) select 'noop', '{\"n\": 1}' from generate_series(1, $1::int)",
        tasks,
    )


async def fill_pgqueuer(session: asyncpg.Connection, tasks: int) -> None:
    from pgqueuer.queries import Queries

    queries = Queries.from_asyncpg_connection(session)
    await queries.enqueue(["noop"] * tasks, [b'{"n": 1}'] * tasks, [0] * tasks)


async def fill_procrastinate(session: asyncpg.Connection, tasks: int) -> None:
    await session.execute(
        "insert into procrastinate_jobs (queue_name, task_name, args)"
        " select 'default', 'noop', '{\"n\": 1}' from generate_series(1, $1::int)",
        tasks,
    )


TASKQ = Contender(
    name="taskq",
    module="bench.worker_process",
    table="taskq.tasks",
    install=migrate_taskq,
    fill=fill_taskq,
    settled="select not exists (select from taskq.tasks where status = 'in_progress')",
    kept="select count(*) from taskq.tasks where status = 'completed' and result is not null",
)
PROTOTYPE = Contender(
    name="bare SQL",
    module="bench.prototype",
    table="bare.tasks",
    install=lay_prototype,
    fill=fill_prototype,
    settled="select not exists (select from bare.tasks where status = 'in_progress')",
    kept="select count(*) from bare.tasks where status = 'completed' and result is not null",
)
PGQUEUER = Contender(
    name="pgqueuer",
    module="bench.peer_pgqueuer",
    table="pgqueuer",
    install=install_pgqueuer,
    fill=fill_pgqueuer,
    settled="select not exists (select from pgqueuer)",
    kept="select count(*) from pgqueuer_log where status = 'successful'",
)
PROCRASTINATE = Contender(
    name="procrastinate",
    module="bench.peer_procrastinate",
    table="procrastinate_jobs",
    install=install_procrastinate,
    fill=fill_procrastinate,
    settled="select not exists (select from procrastinate_jobs where status in ('todo', 'doing'))",
    kept="select count(*) from procrastinate_jobs where status = 'succeeded'",
)
