"""The process: uvicorn around the application, until it is told to stop."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from taskq.settings import Settings
from taskq.web.app import create_app
from taskq.web.house import open_house


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8340

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


async def serve(
    settings: Settings, address: Address, *, operator: str, ready: Callable[[str], None] = lambda _url: None
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param operator: who acts where nobody needs to log in.
    :param ready: called with the URL once it listens.
    :raises SettingsError: it would be reachable from elsewhere, and there are no tokens.
    """
    async with open_house(settings, operator) as house:
        config = uvicorn.Config(
            create_app(house),
            host=address.host,
            port=address.port,
            log_level="warning",
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=5,
        )
        await Server(config, ready, house.hub.close).serve()


class Server(uvicorn.Server):
    """Says where it listens, once it does, and that it ends, so that open streams end too."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[str], None], closing: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready, self._closing = ready, closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell, then wait for what is under way."""
        self._closing()
        await super().shutdown(sockets)
