"""Serving an ASGI application on loopback, from a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

from taskq.testing.response import TRANSPORT, Receive, Scope, Send


class Server:
    """A uvicorn server on a free port of 127.0.0.1, in a daemon thread with its own event loop.

    A thread, so that it answers even while the caller's loop is busy, and signals stay with the caller.
    """

    def __init__(self, app: Any) -> None:
        import uvicorn

        # Bound and listening before the thread runs: a connection made at once waits instead of failing.
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_protocol(),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            # Longer than any client keeps a connection, so that none is closed under a request.
            timeout_keep_alive=600,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="fake-messages-api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, dropping what is being answered, and wait until that is done."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _protocol() -> type[asyncio.Protocol]:
    """Uvicorn's HTTP, which also hands the application its connection: ASGI knows no way to reset one."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            app: Any = self.app

            async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
                scope[TRANSPORT] = transport
                await app(scope, receive, send)

            self.app = with_transport

    return Protocol
