"""The fake Messages API, ready to use."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from taskq.testing.api import App, Script, app
from taskq.testing.offline import offline_script
from taskq.testing.reply import Answer, ApiError
from taskq.testing.request import Request
from taskq.testing.server import Server

RECORDED = 1000
"""How many requests are kept; older ones are forgotten."""
OFFLINE_LATENCY = 0.03
"""Seconds before each event of the offline script."""


class FakeMessages:
    """A Messages API on this machine that says what a script tells it to.

        fake = FakeMessages(by_turn(Reply([tool_use("grep", {"pattern": "x"})]), Reply([text("Done.")])))
        async with fake.serve() as base_url:
            client = AsyncAnthropic(api_key="any", base_url=base_url)

    :param script: `(Request) -> Reply | ApiError`, or an awaitable of one.
    :param latency: seconds before each event of a stream; None means 0.03 with the offline script, so that
        people can watch it, and nothing with any other.
    """

    def __init__(self, script: Script = offline_script, *, latency: float | None = None) -> None:
        if latency is None:
            latency = OFFLINE_LATENCY if script is offline_script else 0.0
        self.requests: deque[Request] = deque(maxlen=RECORDED)
        """The requests that were answered by the script, oldest first."""
        self.refusals: deque[ApiError] = deque(maxlen=RECORDED)
        """The errors of the requests that were refused before the script saw them."""
        self.app: App = app(script, self, latency)
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

    def accepted(self, request: Request) -> None:
        """Note a request that the script will answer."""
        self.requests.append(request)

    def refused(self, error: ApiError) -> None:
        """Note the error of a request that was refused."""
        self.refusals.append(error)


def in_order(*answers: Answer) -> Callable[[Request], Answer]:
    """A script that gives each answer once, in order; the last one again and again."""
    left = list(answers)

    def script(request: Request) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def by_turn(*answers: Answer) -> Callable[[Request], Answer]:
    """A script that gives the n-th answer to a conversation's n-th turn, however often it is asked; the
    last one from there on."""

    def script(request: Request) -> Answer:
        return answers[min(request.turn, len(answers)) - 1]

    return script
