"""The named statements of queries.sql."""

from __future__ import annotations

import re
from importlib.resources import files

NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def read_queries(text: str) -> dict[str, str]:
    """`-- name: x` blocks of a .sql file, as name → statement."""
    return {name: body.strip() for name, body in NAMED.findall(text)}


QUERIES = read_queries((files("taskq") / "queries.sql").read_text(encoding="utf-8"))
