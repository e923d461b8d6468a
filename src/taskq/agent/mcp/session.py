"""What one attempt has to do with one MCP server: its tools, and the calls of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from mcp import Client, MCPError
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, RequestParamsMeta
from mcp_types import Tool as Offer

from taskq.agent.failures import Unavailable
from taskq.agent.mcp import answers
from taskq.agent.mcp.connection import Connection
from taskq.agent.mcp.server import Server
from taskq.agent.text import cut
from taskq.tool import Answer, Input, Tool, ToolCall, ToolError
from taskq.tool.model import Run

OPEN_SECONDS = 30.0
"""Time for a server to start and say what it offers."""
KEY = "taskq/idempotency-key"
"""Where a call's idempotency key is in the `_meta` of its request."""
PAGES = 50
"""Most pages of tools that a server is asked for."""


@asynccontextmanager
async def connect(servers: Sequence[Server], call_seconds: float) -> AsyncIterator[list[Tool]]:
    """See `taskq.agent.mcp.connect`."""
    sessions = [Session(server, call_seconds) for server in servers]
    try:
        yield await _all_tools(sessions)
    finally:
        await asyncio.gather(*(session.close() for session in sessions))


class Session:
    """A server as one attempt knows it; connected when it is needed, and again after it died."""

    def __init__(self, server: Server, call_seconds: float) -> None:
        self._server, self._call_seconds = server, call_seconds
        self._connection: Connection | None = None

    async def tools(self) -> list[Tool]:
        """What the server offers and its manifest allows.

        :raises Unavailable: it cannot be started or reached, or makes no sense.
        """
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                offers = await _offers(await self._connected().client())
                return answers.tools(self._server, offers, self._run)
        except TimeoutError:
            raise Unavailable(self._said(f"did not start within {OPEN_SECONDS:g} s")) from None
        except Exception as error:
            raise Unavailable(self._said(f"cannot be used: {_words(error)}", self._connection)) from error

    async def call(self, tool: str, given: Input, key: str) -> Answer:
        """Call a tool by the server's name for it.

        :param key: the call's idempotency key; the server is told it.
        :raises ToolError: the server refused, died or made no sense.
        :raises TimeoutError: it did not answer in time.
        """
        connection = self._connected()
        try:
            client = await connection.client()
            meta = cast(RequestParamsMeta, {KEY: key})
            result = await client.call_tool(tool, given, self._call_seconds, meta=meta)
        except MCPError as error:
            raise await self._failure(connection, error) from error
        # Whatever a server provokes in the package is the server's failure.
        except Exception as error:
            await self._drop(connection)
            raise ToolError(self._said(f"cannot be used: {_words(error)}", connection)) from error
        return answers.answer(self._server, tool, result)

    async def close(self) -> None:
        """Close the connection, if there is one; a process is killed with its group."""
        if self._connection is not None:
            await self._connection.close()

    def _run(self, tool: str) -> Run:
        async def run(call: ToolCall, given: Input) -> Answer:
            return await self.call(tool, given, call.key)

        return run

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._server, self._call_seconds)
        return self._connection

    async def _drop(self, connection: Connection) -> None:
        """Close a connection that failed; the next call opens another."""
        if self._connection is connection:
            self._connection = None
        await connection.close()

    async def _failure(self, connection: Connection, error: MCPError) -> Exception:
        """What a failed call means to the model."""
        if error.code == REQUEST_TIMEOUT:
            return TimeoutError(self._said(f"did not answer within {self._call_seconds:g} s"))
        if error.code != CONNECTION_CLOSED:
            return ToolError(self._said(f"refused: {_words(error)}"))
        await self._drop(connection)
        return ToolError(self._said("died", connection))

    def _said(self, what: str, connection: Connection | None = None) -> str:
        last_words = connection.last_words if connection else ""
        return f"the MCP server {self._server.name} {what}{last_words and f'; its last words: {last_words}'}"


async def _all_tools(sessions: Sequence[Session]) -> list[Tool]:
    """What all servers offer, in their order; the first failure ends it."""
    try:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(session.tools()) for session in sessions]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [tool for asked in asking for tool in asked.result()]


async def _offers(client: Client) -> list[Offer]:
    """The tools that a server lists, as far as its first pages go."""
    page = await client.list_tools()
    offers = [*page.tools]
    for _ in range(PAGES):
        if page.next_cursor is None:
            break
        page = await client.list_tools(cursor=page.next_cursor)
        offers += page.tools
    return offers


def _words(error: BaseException) -> str:
    """An error in a few words; of a group of errors, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return cut(str(error) or type(error).__name__, 500)
