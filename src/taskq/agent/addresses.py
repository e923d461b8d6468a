"""Addresses that a tool may connect to: those of the public internet, and no others."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

# Not public, whatever the library of the day says: its lists grew between versions of Python.
_RESERVED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)
# Outside of it: loopback, link-local, unique-local, multicast, IPv4-mapped, IPv4-compatible and NAT64.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


async def resolve(name: str, port: int) -> list[str]:
    """The addresses of a name, in the order in which to try them.

    :raises OSError: the name is not known.
    """
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet; False of what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if any(parsed in network for network in _RESERVED) or _isatap(parsed):
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed not in _GLOBAL_UNICAST:
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved)


def _isatap(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the address is a tunnel to the IPv4 address in its last 32 bits."""
    return address.version == 6 and address.packed[8:12] in (b"\0\0\x5e\xfe", b"\2\0\x5e\xfe")
