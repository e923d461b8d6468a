"""A tap on the wire: passes connections on to the server, and counts the transactions that it answers.

pg_stat_database counts autovacuum's as well, which are more than those of an idle worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

READY = ord("Z")  # the server's "ready for query"; a byte says whether it is in a transaction
IDLE = ord("I")


class Tap:
    """`dsn` leads through the tap; `transactions` counts what ended on the server."""

    def __init__(self, dsn: str) -> None:
        self._url = urlsplit(dsn)
        self.dsn = ""
        self.transactions = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it or the server hangs up."""
        try:
            from_server, to_server = await self._reach_server()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, to_server))
                group.create_task(self._count(from_server, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _reach_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = parse_qs(self._url.query)
        host = query["host"][0] if "host" in query else self._url.hostname or "localhost"
        port = int(query["port"][0]) if "port" in query else self._url.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(5)  # a type, and a length that counts itself
                body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
                self.transactions += head[0] == READY and body[0] == IDLE
                writer.write(head + body)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def tapped(dsn: str) -> AsyncIterator[Tap]:
    """A tap in front of this server, which must let us in without encryption."""
    tap = Tap(dsn)
    server = await asyncio.start_server(tap.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = tap._url.username or "postgres"
    password = f":{tap._url.password}" if tap._url.password else ""
    tap.dsn = f"postgresql://{user}{password}@127.0.0.1:{port}{tap._url.path}?sslmode=disable"
    try:
        yield tap
    finally:
        server.close()
