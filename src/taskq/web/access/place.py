"""Where the server is: the names that it goes by, and who is on the same machine.

A page of another site can have its own name lead to 127.0.0.1 (DNS rebinding) and then read what it likes,
as its own.  What it cannot do is change the Host header: that still says the other site's name.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from starlette.requests import HTTPConnection

HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


@dataclass(frozen=True)
class Place:
    """Where the server is.

    :param is_loopback: only this machine can connect to it.
    :param hosts: further names that it goes by, such as a proxy's, in lower case.
    """

    is_loopback: bool = True
    hosts: frozenset[str] = frozenset()

    @property
    def is_private(self) -> bool:
        """Whether only this machine is meant to reach it."""
        return self.is_loopback and not self.hosts

    def trusts(self, name: str) -> bool:
        """Whether a request may call it that.  An address is no name: none can be made to lead elsewhere."""
        return name == "localhost" or name in self.hosts or address(name) is not None

    def is_at_home(self, connection: HTTPConnection) -> bool:
        """Whether a request surely comes from this machine, and was meant for it."""
        client = address(connection.client.host) if connection.client else None
        return (
            self.is_private
            and client is not None
            and client.is_loopback
            and names_loopback(host_of(connection) or "")
            and not any(header in connection.headers for header in FORWARDED)
        )


def host_of(connection: HTTPConnection) -> str | None:
    """The name in the Host header, in lower case and without its port; None when it is none."""
    return name_in(connection.headers.get("host", ""))


def name_in(authority: str) -> str | None:
    """The host of `host:port`; None when it is malformed."""
    found = HOST.fullmatch(authority)
    if found is None:
        return None
    name = found["name"].lower()
    return None if name.startswith("[") and address(name) is None else name


def names_loopback(name: str) -> bool:
    """Whether this name can only mean the machine itself."""
    found = address(name)
    return name == "localhost" or (found is not None and found.is_loopback)


def address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that this is, brackets or not; None for a name."""
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
