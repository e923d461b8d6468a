"""The process: uvicorn around the application, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from taskq import schema
from taskq.errors import NotMigrated, SettingsError
from taskq.settings import Settings
from taskq.web.access import Place
from taskq.web.app import create_app
from taskq.web.house import House, open_house

LOOPBACK = ["127.0.0.1", "::1"]
GRACE = 3
"""Seconds that a request under way has to end in."""
NO_TOKENS = (
    "others could reach this server, and there is no token that they would have to show: make one first with "
    "`taskq token create NAME --scope read`"
)


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes a free one.

    :param public_hosts: further names that people call it by, such as a proxy's.
    """

    host: str = "127.0.0.1"
    port: int = 8340
    public_hosts: tuple[str, ...] = ()


async def serve(
    settings: Settings,
    address: Address,
    *,
    operator: str,
    ready: Callable[[str], None] = lambda _url: None,
    warn: Callable[[str], None] = lambda _what: None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param operator: who acts where nobody needs to log in.
    :param ready: called with the URL once it listens.
    :param warn: called with what people should know.
    :raises SettingsError: it cannot listen there; or others could reach it, and there are no tokens.
    :raises DatabaseError: the database cannot be reached, or its tables are of another version.
    """
    async with open_house(settings, operator) as house:
        await look_at_schema(settings.listen_url or house.queue.dsn, warn)
        sockets = bind(address)
        try:
            place = place_of(sockets, address)
            await refuse_to_be_open(house, place)
            config = uvicorn.Config(
                create_app(house, place),
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                forwarded_allow_ips=LOOPBACK,
                timeout_graceful_shutdown=GRACE,
            )
            await Server(config, ready, house.hub.close).serve(sockets)
        finally:
            for each in sockets:
                each.close()


async def look_at_schema(dsn: str, warn: Callable[[str], None]) -> None:
    """:raises NotMigrated: the tables are of another version; functions of another one are only told of."""
    standing = await schema.examine(dsn)
    if standing.revision != standing.head:
        raise NotMigrated(str(standing))
    if not standing.is_current:
        warn(str(standing))


def bind(address: Address) -> list[socket.socket]:
    """Sockets for every address of the host, not yet listening.

    :raises SettingsError: there is no such address here, or the port is taken.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        port = address.port
        for family, kind, protocol, _, where in dict.fromkeys(found):
            each = socket.socket(family, kind, protocol)
            bound.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((where[0], port, *where[2:]))
            port = each.getsockname()[1]
    except (OSError, UnicodeError) as error:
        for each in bound:
            each.close()
        raise SettingsError(f"cannot listen at {address.host}, port {address.port}: {why(error)}") from error
    return bound


def why(error: OSError | UnicodeError) -> str:
    """What people can do something about."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "another program does; stop it, or choose another port with --port"
    return (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)).lower()


def place_of(sockets: list[socket.socket], address: Address) -> Place:
    """Where these sockets are."""
    names = {name.lower().rstrip(".") for name in address.public_hosts}
    if not is_address(address.host) and address.host != "localhost":
        names.add(address.host.lower())
    is_loopback = all(ipaddress.ip_address(each.getsockname()[0]).is_loopback for each in sockets)
    return Place(is_loopback, frozenset(names))


def is_address(host: str) -> bool:
    """Whether it is an IP address, and no name."""
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


async def refuse_to_be_open(house: House, place: Place) -> None:
    """:raises SettingsError: others could reach the server, and nobody needs to log in."""
    if not place.is_private and await house.keyring.is_empty():
        raise SettingsError(NO_TOKENS)


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

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end it; unlike uvicorn's own way they do so only, and what is open is closed."""
        loop, signals = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
