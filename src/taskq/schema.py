"""The schema: alembic's revisions for the tables; over them the functions, triggers and views of sql/.

Everything happens in one transaction under one lock, so several processes may migrate at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskq.database import QUERIES, connect, raw_connect, refused
from taskq.errors import NotMigrated

INCLUDE = re.compile(r"^\\ir (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Standing:
    """How a database's schema compares with this version of taskq."""

    revision: str | None
    head: str
    logic_is_current: bool

    @property
    def is_current(self) -> bool:
        return self.revision == self.head and self.logic_is_current

    def __str__(self) -> str:
        if self.revision is None:
            return "the schema is missing; run: taskq migrate"
        if self.revision != self.head:
            return f"the schema is at revision {self.revision}, not {self.head}; run: taskq migrate"
        if not self.logic_is_current:
            return f"revision {self.revision}, but functions of another version; run: taskq migrate"
        return f"up to date: revision {self.revision}"


def directory(name: str) -> Path:
    """`sql` or `alembic`: inside the wheel with an underscore, at the top of a checkout without."""
    here = Path(__file__).resolve().parent
    packed, checkout = here / f"_{name}", here.parents[1] / name
    return packed if packed.is_dir() else checkout


def logic_files() -> list[Path]:
    """The files of the logic in reading order: what install.sql includes after the structure."""
    order = directory("sql") / "install.sql"
    _, _, logic = order.read_text(encoding="utf-8").partition("-- logic:")
    return [order.parent / name for name in INCLUDE.findall(logic)]


def logic_digest() -> str:
    """SHA-256 of the logic."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in logic_files())).hexdigest()


async def migrate(dsn: str) -> str | None:
    """Bring the schema to this version; returns the revision.  Does nothing when it is there already.

    :raises DatabaseError: the database refused; nothing was changed.
    """
    if (standing := await examine(dsn)).is_current:
        return standing.head
    return await run(dsn, upgrade)


async def downgrade(dsn: str) -> str | None:
    """Take the newest revision back, with what its tables hold; returns the revision that is left."""
    return await run(dsn, take_back)


async def examine(dsn: str) -> Standing:
    """How the schema stands; never raises NotMigrated."""
    head = await asyncio.to_thread(newest_revision)
    session = await connect(dsn)
    try:
        revision = await session.fetch_value("revision")
        laid = await session.fetch_value("laid")
    except NotMigrated:
        return Standing(None, head, False)
    finally:
        await session.close()
    return Standing(revision, head, laid == logic_digest())


async def check(dsn: str) -> None:
    """:raises NotMigrated: the schema is missing or its tables are not of this version."""
    standing = await examine(dsn)
    if standing.revision != standing.head:
        raise NotMigrated(str(standing))


def alembic_config() -> Any:
    from alembic.config import Config  # 0.3 s and more: only when it is needed

    config = Config()
    config.set_main_option("script_location", str(directory("alembic")))
    config.set_main_option("path_separator", "os")
    return config


def newest_revision() -> str:
    """The head of the revisions on disk, read from their file names: importing alembic costs a second."""
    return max(path.stem for path in (directory("alembic") / "versions").glob("[0-9]*.py")).partition("_")[0]


async def run(dsn: str, step: Callable[[Any], str | None]) -> str | None:
    """One migration step on a synchronous SQLAlchemy connection, in one transaction, alone."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def creator() -> Any:
        return await raw_connect(dsn)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        with refused():
            async with engine.begin() as connection:
                await connection.execute(text(QUERIES["lock_migrations"]))
                outcome: str | None = await connection.run_sync(step)
                return outcome
    finally:
        await engine.dispose()


def upgrade(connection: Any) -> str:
    from alembic import command

    execute(connection, QUERIES["make_schema"])
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    lay_logic(connection)
    return newest_revision()


def take_back(connection: Any) -> str | None:
    from alembic import command
    from alembic.runtime.migration import MigrationContext

    execute(connection, (directory("sql") / "clear.sql").read_text(encoding="utf-8"))
    config = alembic_config()
    config.attributes["connection"] = connection
    command.downgrade(config, "-1")
    left = MigrationContext.configure(
        connection, opts={"version_table_schema": "taskq"}
    ).get_current_revision()
    if left is None:
        execute(connection, QUERIES["drop_schema"])
    return left


def lay_logic(connection: Any) -> None:
    """Functions, triggers and views, all of them anew."""
    for path in [directory("sql") / "clear.sql", *logic_files()]:
        execute(connection, path.read_text(encoding="utf-8"))
    execute(connection, QUERIES["lay"], logic_digest())


def execute(connection: Any, sql: str, *args: Any) -> None:
    """Several statements at once, which SQLAlchemy's own way over asyncpg refuses."""
    connection.connection.dbapi_connection.run_async(lambda raw: raw.execute(sql, *args))
