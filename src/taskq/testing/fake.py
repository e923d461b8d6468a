"""The fake Messages API, ready to use."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from taskq.testing.api import Api, Journal
from taskq.testing.arrival import Arrival
from taskq.testing.limits import RateLimit
from taskq.testing.models import Models
from taskq.testing.offline import offline_script
from taskq.testing.reply import ApiError
from taskq.testing.request import Request
from taskq.testing.scripting import Source, answer_of
from taskq.testing.server import Server

RECORDED = 1000
"""How many requests are kept; older ones are forgotten."""
ARRIVALS = 100_000
"""How many arrivals are kept at least."""
OFFLINE_LATENCY = 0.03
"""Seconds before each event of the offline script."""


class FakeMessages(Journal):
    """A Messages API on this machine that says what a script tells it to.

        fake = FakeMessages(by_turn(Reply([tool_use("grep", {"pattern": "x"})]), Reply([text("Done.")])))
        async with fake.serve() as base_url:
            client = AsyncAnthropic(api_key="any", base_url=base_url)

    :param script: `(Request) -> Reply | ApiError`, or an awaitable of one; or the one answer to everything.
    :param latency: seconds before each event of a stream; None means 0.03 with the offline script, so that
        people can watch it, and nothing with any other.
    :param limits: rate limits of each model; a request too many is a 429 with `retry-after`.
    :param models: the models there are, any other one being a 404; None takes every name.
    """

    def __init__(
        self,
        script: Source = offline_script,
        *,
        latency: float | None = None,
        limits: RateLimit | None = None,
        models: Sequence[str] | None = None,
    ) -> None:
        if latency is None:
            latency = OFFLINE_LATENCY if script is offline_script else 0.0
        self.requests: deque[Request] = deque(maxlen=RECORDED)
        """The requests that were answered by the script, oldest first."""
        self.refusals: deque[ApiError] = deque(maxlen=RECORDED)
        """The errors of the requests that were refused before the script saw them."""
        self.requests_log: list[Arrival] = []
        """When every request came and what became of it, oldest first."""
        self.app = Api(
            lambda request: answer_of(script, request),
            self,
            latency=latency,
            limits=limits or RateLimit(),
            models=Models(models),
        )
        """The ASGI application, for `httpx2.ASGITransport` (which hands over a stream as one piece)."""
        self._server: Server | None = None

    def start(self) -> str:
        """Serve on a free port of the loopback interface, from a thread of its own; returns the base URL.

        :raises RuntimeError: it is being served already.
        """
        if self._server is not None:
            raise RuntimeError(f"served already, on {self._server.base_url}")
        self._server = Server(self.app)
        return self._server.base_url

    def stop(self) -> None:
        """Stop serving; open streams are dropped."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve for the length of a block; gives the base URL."""
        base_url = self.start()
        try:
            yield base_url
        finally:
            await asyncio.to_thread(self.stop)

    def arrived(self, arrival: Arrival) -> None:
        """Note that a request has come."""
        self.requests_log.append(arrival)
        if len(self.requests_log) > 2 * ARRIVALS:
            del self.requests_log[:ARRIVALS]

    def accepted(self, request: Request) -> None:
        """Note a request that the script will answer."""
        self.requests.append(request)

    def refused(self, error: ApiError) -> None:
        """Note the error of a request that was refused."""
        self.refusals.append(error)
