"""A browser, as the server sees it: it opens pages, listens at /live, and fetches again what it must."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2

TOPICS = re.compile(r'data-topics="([^"]*)"')
CALM = re.compile(r'data-calm="([\d.]+)"')
PAGE_TIMEOUT = 30.0


@dataclass
class Seen:
    """What the browsers saw: the seconds that each kind of page took, and how often one fetched again."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    told: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A page: its kind, for the figures, and its address."""

    kind: str
    path: str


class Browser:
    """One tab: it stays on a page for `think` seconds on average, then goes where `choose` says."""

    def __init__(self, url: str, seen: Seen, choose: Callable[[], Place], think: float) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=PAGE_TIMEOUT)
        self._seen, self._choose, self._think = seen, choose, think

    async def run(self) -> None:
        """Until cancelled."""
        async with self._http:
            while True:
                place = self._choose()
                page = await self._open(place)
                listening = asyncio.create_task(self._listen(place, page))
                try:
                    await asyncio.sleep(random.expovariate(1 / self._think))
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)

    async def _open(self, place: Place, **headers: str) -> str:
        began = time.perf_counter()
        answer = await self._http.get(place.path, headers=headers)
        self._seen.took[place.kind].append(time.perf_counter() - began)
        if answer.status_code != httpx2.codes.OK:
            self._seen.refused.append(f"{place.path}: {answer.status_code}")
        return answer.text

    async def _listen(self, place: Place, page: str) -> None:
        topics, calm = TOPICS.search(page), CALM.search(page)
        params = [("topic", topic) for topic in (topics[1].split() if topics else [])]
        pause = float(calm[1]) if calm else 1.0
        fetched = time.monotonic()
        while params:
            async with self._http.stream(
                "GET", "/live", params=[*params, ("page", place.path)], timeout=None
            ) as live:
                async for line in live.aiter_lines():
                    if line == "event: dirty":
                        self._seen.told += 1
                        await asyncio.sleep(max(fetched + pause - time.monotonic(), 0))
                        fetched = time.monotonic()
                        await self._open(place, **{"HX-Request": "true"})
