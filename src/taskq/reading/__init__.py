"""What people read of the queue, wherever they look: the statements behind the command line and the page.

`QUERIES` are the statements of queries.sql by name, to be given to a `taskq.database.Pool`.
"""

from __future__ import annotations

from importlib.resources import files

from taskq.database import read_queries

QUERIES = read_queries((files("taskq.reading") / "queries.sql").read_text(encoding="utf-8"))

__all__ = ["QUERIES"]
