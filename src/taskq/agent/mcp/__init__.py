"""Tools of MCP servers that a role's manifest names.

server.py      what a manifest says of a server
session.py     what one attempt has to do with one server: its tools, and the calls of them
connection.py  one open connection, over HTTP or to a process
process.py     a server that runs as a process of ours
answers.py     what a server offers and answers, as tools and text
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from taskq.agent.mcp.server import Server, read_servers
from taskq.tool import Tool

__all__ = ["CALL_SECONDS", "Server", "connect", "read_servers"]

CALL_SECONDS = 120.0
"""Time for one call of a tool."""


@asynccontextmanager
async def connect(
    servers: Sequence[Server], *, call_seconds: float = CALL_SECONDS
) -> AsyncIterator[list[Tool]]:
    """The tools of the servers, in a fixed order, for as long as the context lasts.

    At its end, and when it is cancelled, the connections are closed, and each server's process is killed with
    its group.  A server that dies fails the calls under way; the next call starts it again.

    :raises Unavailable: a server cannot be started or reached; worth another attempt.
    """
    if not servers:
        yield []
        return
    # In a thread: the `mcp` package takes a second to import, and agents without servers never pay it.
    session = await asyncio.to_thread(importlib.import_module, "taskq.agent.mcp.session")
    async with session.connect(servers, call_seconds) as tools:
        yield tools
