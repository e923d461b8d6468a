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


def statements() -> dict[str, str]:
    """All that can be asked, by name.

    :raises ValueError: two files have a statement of the same name; one of them would never be sent.
    """
    found = dict(reading.QUERIES)
    for file in sorted((files("taskq.web") / "queries").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            read = read_queries(file.read_text(encoding="utf-8"))
            if twice := found.keys() & read.keys():
                raise ValueError(
                    f"{file.name}: there is a statement of this name already: {', '.join(twice)}"
                )
            found |= read
    return found


QUERIES = statements()
"""The statements of reading/queries.sql and of web/queries/*.sql, by name."""

FRESH = 0.5
"""Seconds for which an answer serves whoever asks the same."""
KEPT = 500
"""Answers that are remembered at most."""


@dataclass
class Answer:
    """What a statement returned, or will."""

    rows: asyncio.Future[list[dict[str, Any]]]
    last: list[dict[str, Any]] | None = None
    """What it returned before, and when: `last_at`."""
    last_at: float = 0.0
    at: float = field(default_factory=time.monotonic)
    took: float = 0.0
    """The seconds until it came."""

    def came(self, rows: asyncio.Future[Any]) -> None:
        """It is there, or will never be; nobody may wait for it any more."""
        self.took = time.monotonic() - self.at
        if not rows.cancelled():
            rows.exception()

    @property
    def has_failed(self) -> bool:
        """Whether it will never come."""
        return self.rows.done() and (self.rows.cancelled() or self.rows.exception() is not None)

    def known(self, stale: float) -> list[dict[str, Any]] | None:
        """What it returned last, if that is not too old."""
        if self.rows.done() and not self.has_failed:
            self.last, self.last_at = self.rows.result(), self.at
        return self.last if time.monotonic() - self.last_at < stale else None


class Reads:
    """A pool whose answers are shared.

    However many browsers are open, each statement is sent once per `fresh` seconds and arguments at most.
    Rows come as dicts, json and jsonb decoded; do not change them, they are others' too.
    """

    def __init__(self, dsn: str, *, size: int = 4, pooled: bool = False, patience: float = 10.0) -> None:
        self._pool = Pool(
            dsn, size=size, pooled=pooled, queries=QUERIES, decode_json=True, patience=patience, tidy=False
        )
        self._answers: dict[Hashable, Answer] = {}
        self._changed_at = 0.0
        self.sent = 0
        """Statements sent so far: the pacer and the figures count them."""

    async def fetch(
        self, query: str, *args: Any, fresh: float = FRESH, stale: float = 0.0
    ) -> list[dict[str, Any]]:
        """The rows of a statement.

        :param fresh: an answer of so many seconds ago will do, unless something has changed since.
        :param stale: one that is no older than that is returned at once, while a new one is fetched, whatever
            has changed since it was asked for less than `fresh` ago: for what is slow to count.
        """
        key = (query, *map(hashable, args))
        answer = self._answers.get(key)
        if answer is None or not self._serves(answer, fresh, bool(stale)):
            answer = self._ask(key, query, args, answer)
        if stale and (known := answer.known(stale)) is not None:
            return list(known)
        return list(await asyncio.shield(answer.rows))

    async def fetch_one(
        self, query: str, *args: Any, fresh: float = FRESH, stale: float = 0.0
    ) -> dict[str, Any] | None:
        """The first row of a statement, or None."""
        rows = await self.fetch(query, *args, fresh=fresh, stale=stale)
        return rows[0] if rows else None

    async def send(self, query: str, *args: Any) -> list[dict[str, Any]]:
        """The rows of a statement, sent now and shared with nobody."""
        self.sent += 1
        return [dict(row) for row in await self._pool.fetch(query, *args)]

    def took(self, query: str, *args: Any) -> float:
        """The seconds that a statement took when it was sent last by `fetch`."""
        answer = self._answers.get((query, *map(hashable, args)))
        return answer.took if answer is not None else 0.0

    def forget(self) -> None:
        """Something has changed: an answer that was asked for before does not serve any more."""
        self._changed_at = time.monotonic()

    def _serves(self, answer: Answer, fresh: float, whatever_changed: bool) -> bool:
        age = time.monotonic() - answer.at
        if answer.has_failed:
            return age < FRESH
        return (not answer.rows.done() or age < fresh) and (whatever_changed or answer.at >= self._changed_at)

    def _ask(self, key: Hashable, query: str, args: tuple[Any, ...], before: Answer | None) -> Answer:
        task = asyncio.ensure_future(self.send(query, *args))
        answer = Answer(task)
        task.add_done_callback(answer.came)
        if before is not None:
            before.known(0)
            answer.last, answer.last_at = before.last, before.last_at
        self._answers.pop(key, None)
        self._answers[key] = answer
        while len(self._answers) > KEPT:
            del self._answers[next(iter(self._answers))]  # who waits for it has it all the same
        return answer

    async def close(self) -> None:
        """End the sessions."""
        await self._pool.close()


def hashable(value: Any) -> Hashable:
    """An argument as part of a key."""
    return tuple(value) if isinstance(value, list) else value
