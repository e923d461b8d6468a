"""The statements of the page and the API stand in one namespace."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import asyncpg

from taskq.database.queries import NAMED
from taskq.web.reads import QUERIES

SOURCES = Path(__file__).resolve().parents[1] / "src" / "taskq"


def test_no_two_statements_have_the_same_name() -> None:
    files = [SOURCES / "reading" / "queries.sql", *(SOURCES / "web" / "queries").glob("*.sql")]
    names = Counter(name for file in files for name, _ in NAMED.findall(file.read_text(encoding="utf-8")))
    assert [name for name, count in names.items() if count > 1] == []
    assert names.keys() == QUERIES.keys()


async def test_every_statement_fits_the_schema(db: asyncpg.Connection) -> None:
    for name, query in QUERIES.items():
        try:
            await db.prepare(query)
        except asyncpg.PostgresError as error:
            raise AssertionError(f"{name}: {error}") from error
