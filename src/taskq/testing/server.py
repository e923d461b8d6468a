"""Serving an ASGI application on loopback, from a thread."""

from __future__ import annotations

import socket
import threading
from typing import Any


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
            http="h11",
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
