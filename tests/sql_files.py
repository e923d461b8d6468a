"""sql/install.sql, as psql would run it."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg

from taskq import schema

INCLUDE = re.compile(r"^\\ir (\S+)$", re.MULTILINE)


def installation() -> str:
    """All of sql/install.sql with its includes in their places."""
    directory: Path = schema.directory("sql")
    text = (directory / "install.sql").read_text()
    return INCLUDE.sub(lambda match: (directory / match[1]).read_text(), text)


async def install(session: asyncpg.Connection) -> None:
    """Install the schema without migrations, in one transaction."""
    async with session.transaction():
        await session.execute(installation())
