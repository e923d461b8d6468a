"""A web server on loopback that says exactly the bytes that a test wants, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Say = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Web:
    """The server: its port, the heads of the requests, the names that TLS clients asked for."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]


@asynccontextmanager
async def serve(
    say: Say, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Web]:
    """Serves `say(path, writer)` on a free port; the connection is closed after each answer."""
    web = Web()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            web.heads.append(head)
            await say(head.split(" ")[1], writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    if tls is not None:
        tls.sni_callback = lambda _connection, name, _context: web.names.append(name)
    server = await asyncio.start_server(answer, host, 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        server.close()


def page(body: bytes | str, kind: str = "text/plain", status: str = "200 OK", **headers: str) -> bytes:
    """An answer with this body."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def redirect(location: str, status: str = "302 Found") -> bytes:
    return page("", status=status, Location=location)


def pages(**by_path: bytes) -> Say:
    """Says the page of a path without its slash; `other` for all that have none."""

    async def say(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(
            by_path.get(
                path.partition("?")[0].strip("/"),
                by_path.get("other", page("no page", status="404 Not Found")),
            )
        )
        await writer.drain()

    return say
