"""One open connection to an MCP server, held by a task of its own."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation

from taskq.agent.mcp.process import Process
from taskq.agent.mcp.server import Server

CLOSE_SECONDS = 3.5
"""Time for a connection to close; then what is left of the server is killed."""
CONNECT_SECONDS = 10.0
"""Time for a server at an address to take a connection or a request."""


class Connection:
    """A connection, held by a task: the package's contexts must be left by the task that entered them."""

    def __init__(self, server: Server, call_seconds: float) -> None:
        self._server, self._call_seconds = server, call_seconds
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._process: Process | None = None
        self._owner = asyncio.create_task(self._own())

    @property
    def last_words(self) -> str:
        """What a server's process said last on its standard error."""
        return self._process.last_words if self._process else ""

    async def client(self) -> Client:
        """The client, as soon as server and client have agreed on a version.

        :raises Exception: whatever kept the connection from opening.
        """
        return await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Close the connection; a process is killed with its group."""
        self._closing.set()
        if not self._ready.done():
            self._owner.cancel()
        try:
            await asyncio.wait({self._owner}, timeout=CLOSE_SECONDS)
        finally:
            if not self._owner.done():
                self._owner.cancel()
            if self._process is not None:
                self._process.kill()
        await asyncio.wait({self._owner}, timeout=1)

    async def _own(self) -> None:
        """Hold the connection open until it is to be closed."""
        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(await self._new_client(stack))
                self._ready.set_result(client)
                await self._closing.wait()
        except Exception as error:
            # Once it is open, what goes wrong with it shows in the calls.
            if not self._ready.done():
                self._ready.set_exception(error)
                # Nobody may be waiting for it any more.
                self._ready.exception()
        finally:
            self._ready.cancel()

    async def _new_client(self, stack: AsyncExitStack) -> Client:
        transport: AbstractAsyncContextManager[Any]
        if self._server.url is None:
            transport = self._process = Process(self._server)
        else:
            # A stream may be silent for as long as a call takes; the call itself is given up earlier.
            timeout = httpx2.Timeout(CONNECT_SECONDS, read=self._call_seconds + CONNECT_SECONDS)
            http = httpx2.AsyncClient(timeout=timeout, trust_env=not self._server.is_local)
            transport = streamable_http_client(
                self._server.url, http_client=await stack.enter_async_context(http)
            )
        return Client(transport, client_info=Implementation(name="taskq", version="1"), cache=None)
