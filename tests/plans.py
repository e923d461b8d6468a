"""What Postgres really does inside the functions: its own plans and page counts, through auto_explain."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest

SETTINGS = """
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on;
    set auto_explain.log_timing = off;
    set auto_explain.log_buffers = on;
    set client_min_messages = log;
"""
PAGES = re.compile(r"Buffers: shared((?: (?:hit|read|dirtied|written)=\d+)+)")


@dataclass
class Plans:
    """The plans of the statements that one call ran."""

    texts: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.texts)

    @property
    def scans(self) -> list[str]:
        """Every node that reads the tasks from the first page to the last."""
        return [line.strip() for line in str(self).splitlines() if re.search(r"Seq Scan on tasks\b", line)]

    @property
    def pages(self) -> int:
        """How many pages the call touched, each as often as it was: the outermost statement holds the sum."""
        return max(self._pages_of(text) for text in self.texts)

    @staticmethod
    def _pages_of(text: str) -> int:
        first = PAGES.search(text)
        return sum(int(n) for n in re.findall(r"(?:hit|read)=(\d+)", first[1])) if first else 0


class Explained:
    """A session that tells its plans."""

    def __init__(self, session: asyncpg.Connection) -> None:
        self.session = session
        self._heard: list[str] = []

    async def start(self) -> None:
        try:
            await self.session.execute("load 'auto_explain'")
            await self.session.execute(SETTINGS)
        except asyncpg.PostgresError as error:
            pytest.skip(f"this server gives no plans from inside functions: {error}")
        self.session.add_log_listener(lambda _session, message: self._heard.append(message.message))

    async def plans_of(self, act: Callable[[], Awaitable[object]]) -> Plans:
        """The plans of `act()`, without what a first call spends on reading the catalogue."""
        rehearsal = self.session.transaction()
        await rehearsal.start()
        await act()
        await rehearsal.rollback()
        self._heard.clear()
        await act()
        await self.session.execute("select 'the plan of a statement comes with the next one'")
        plans = Plans([text for text in self._heard if "plan:" in text and "comes with the next" not in text])
        assert plans.texts
        return plans
