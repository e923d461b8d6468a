"""Reading the database for many lookers: whoever asks the same at the same time shares one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from taskq import reading
from taskq.database import Pool, read_queries

QUERIES = reading.QUERIES | {
    name: query
    for file in sorted((files("taskq.web") / "queries").iterdir(), key=lambda file: file.name)
    if file.name.endswith(".sql")
    for name, query in read_queries(file.read_text(encoding="utf-8")).items()
}
"""The statements of reading/queries.sql and of web/queries/*.sql, by name."""

FRESH = 0.5
"""Seconds for which an answer serves whoever asks the same."""
KEPT = 500
"""Answers that are remembered at most."""


@dataclass
class Answer:
    """What a statement returned, or will."""

    rows: asyncio.Future[list[dict[str, Any]]]
    at: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        return time.monotonic() - self.at

    @property
    def is_usable(self) -> bool:
        """Whether it came, and is no error."""
        return self.rows.done() and not self.rows.cancelled() and self.rows.exception() is None


class Reads:
    """A pool whose answers are shared.

    However many browsers are open, each statement is sent once per `fresh` seconds and arguments at most.
    Rows come as dicts, json and jsonb decoded; do not change them, they are others' too.
    """

    def __init__(self, dsn: str, *, size: int = 4, pooled: bool = False, patience: float = 10.0) -> None:
        self._pool = Pool(dsn, size=size, pooled=pooled, queries=QUERIES, decode_json=True, patience=patience)
        self._answers: dict[Hashable, Answer] = {}
        self.sent = 0
        """Statements sent so far, for the figures."""

    async def fetch(
        self, query: str, *args: Any, fresh: float = FRESH, stale: float = 0.0
    ) -> list[dict[str, Any]]:
        """The rows of a statement.

        :param fresh: an answer of so many seconds ago will do.
        :param stale: one that is no older than that is returned at once, while a new one is fetched: for
            what is slow to count and slow to change.
        """
        key = (query, *map(hashable, args))
        answer = self._answers.get(key)
        if answer is not None and (answer.age < fresh or not answer.rows.done()):
            return list(await asyncio.shield(answer.rows))
        asked = self._ask(key, query, args)
        if answer is not None and answer.is_usable and answer.age < stale:
            return list(answer.rows.result())
        return list(await asyncio.shield(asked.rows))

    async def fetch_one(self, query: str, *args: Any, fresh: float = FRESH) -> dict[str, Any] | None:
        """The first row of a statement, or None."""
        rows = await self.fetch(query, *args, fresh=fresh)
        return rows[0] if rows else None

    def forget(self) -> None:
        """Something was changed by this process: the next reads look again."""
        self._answers.clear()

    def _ask(self, key: Hashable, query: str, args: tuple[Any, ...]) -> Answer:
        if len(self._answers) >= KEPT:
            self._answers = {k: a for k, a in self._answers.items() if not a.rows.done()}
        task = asyncio.ensure_future(self._send(query, args))
        task.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # it may be nobody's by then
        answer = self._answers[key] = Answer(task)
        return answer

    async def _send(self, query: str, args: tuple[Any, ...]) -> list[dict[str, Any]]:
        self.sent += 1
        return [dict(row) for row in await self._pool.fetch(query, *args)]

    async def close(self) -> None:
        """End the sessions."""
        await self._pool.close()


def hashable(value: Any) -> Hashable:
    """An argument as part of a key."""
    return tuple(value) if isinstance(value, list) else value
