"""The client of the Messages API: one finished message of the model per call, or an outcome."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskq.agent.draft import Draft
from taskq.agent.failures import Overloaded, RateLimited, Unavailable, from_status
from taskq.agent.gate import read_limits
from taskq.agent.shapes import Turn
from taskq.errors import Outcome

if TYPE_CHECKING:
    import anthropic
    import httpx2

API = "https://api.anthropic.com"
HUSH_SECONDS = 1.0
"""For how long a worker keeps to a limit by itself, at most; by then the gate in the database is closed."""
SILENCE_SECONDS = 180.0
"""How long a stream may say nothing (it says `ping` when it thinks) before it counts as dead."""


class Claude:
    """The Messages API, shared by every agent of a worker process.

    The SDK is imported and its client made at the first call, in a thread: that takes seconds.

    :param base_url: another address of the API.
    :param simulated: the address is a fake on this machine; no proxy is used.
    :param http_client: an `httpx2.AsyncClient` to use, for tests.
    :param silence: how many seconds a stream may say nothing.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        simulated: bool = False,
        http_client: httpx2.AsyncClient | None = None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self.simulated = simulated
        self._api_key = api_key
        self._base_url = base_url or API
        self._http_client = http_client
        self._silence = silence
        self._client: anthropic.AsyncAnthropic | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._hushed: dict[str, float] = {}

    async def turn(self, request: dict[str, Any]) -> Turn:
        """Ask for the next message: stream it to its end and return it.

        :param request: the body of the request, as the SDK's `messages.create` takes it.
        :raises RateLimited, Overloaded, Unavailable: try again later; `may_have_charged` says whether this
            call may have cost something.
        :raises Exhausted: the account may spend no more.
        :raises Fail: trying again would not help.
        """
        client = await self._opened()
        if self._hushed.get(request["model"], 0.0) > time.monotonic():
            raise RateLimited("the provider has just asked to wait", after=timedelta(seconds=HUSH_SECONDS))
        try:
            return await _stream(client, request)
        except Exception as error:
            outcome = _outcome(error)
            if outcome is None:
                raise
            if isinstance(outcome, RateLimited | Overloaded):
                self._hush(request["model"], outcome.after)
            raise outcome from error

    def _hush(self, model: str, after: timedelta | None) -> None:
        """Those who have passed the gate and not asked yet need not hear the same."""
        seconds = HUSH_SECONDS if after is None else min(after.total_seconds(), HUSH_SECONDS)
        self._hushed[model] = time.monotonic() + seconds

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> anthropic.AsyncAnthropic:
        async with self._opening:
            # Connections belong to the event loop that made them.
            if self._client is None or self._loop is not asyncio.get_running_loop():
                self._client, self._loop = await asyncio.to_thread(self._open), asyncio.get_running_loop()
            return self._client

    def _open(self) -> anthropic.AsyncAnthropic:
        import anthropic
        import httpx2

        client = anthropic.AsyncAnthropic(
            api_key=self._api_key,
            base_url=self._base_url,
            # The queue owns retries: it counts them, spaces them and shows them.
            max_retries=0,
            timeout=httpx2.Timeout(self._silence, connect=10.0),
            http_client=self._http_client or (_direct() if self.simulated else None),
        )
        # Touched here because its first use imports another second's worth of modules.
        _ = client.messages
        return client


def _direct() -> httpx2.AsyncClient:
    """An HTTP client that uses no proxy; the SDK's own obeys the environment even with `trust_env=False`."""
    import anthropic
    import httpx2

    transport = httpx2.AsyncHTTPTransport(trust_env=False, limits=anthropic.DEFAULT_CONNECTION_LIMITS)
    return anthropic.DefaultAsyncHttpxClient(transport=transport, trust_env=False)


async def _stream(client: anthropic.AsyncAnthropic, request: dict[str, Any]) -> Turn:
    """One message, streamed to its `message_stop`."""
    draft = Draft()
    async with await client.messages.create(**request, stream=True) as stream:
        headers = stream.response.headers
        async for event in stream:
            draft.add(event.to_dict())
    turn = draft.turn()
    if turn is None:
        raise Unavailable("the stream ended before the message did; nothing of it was kept")
    return replace(turn, request_id=headers.get("request-id"), limits=read_limits(headers))


def _outcome(error: Exception) -> Outcome | None:
    """What an error of the SDK or the transport means for the attempt; None of any other error."""
    import anthropic
    import httpx2

    words = f"{type(error).__name__}: {error}"
    if isinstance(error, anthropic.APIStatusError):
        return from_status(error)
    if isinstance(error, anthropic.APIError | httpx2.HTTPError):
        never_sent = isinstance(error.__cause__ or error, httpx2.ConnectError | httpx2.ConnectTimeout)
        return Unavailable(
            f"the Messages API could not be reached or broke off: {words}", may_have_charged=not never_sent
        )
    # Broken JSON, blocks out of order: the stream was not what it should be.
    if isinstance(error, ValueError | LookupError):
        return Unavailable(f"the Messages API's stream made no sense: {words}")
    return None
