"""The hosts that a role may fetch from: `docs.python.org`, `*.example.org`, `example.org:8443`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ENTRY = re.compile(rf"(\*\.)?({_LABEL}(?:\.{_LABEL})*)(?::([1-9]\d{{0,4}}))?")
PORTS = (80, 443)
"""The ports that an entry without a port stands for."""


class Hosts:
    """An allow-list of hosts.

    `*.example.org` stands for every name below example.org, not for example.org itself.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """:raises ValueError: an entry is no host."""
        self._entries = [_parse(entry) for entry in entries]

    def allow(self, name: str, port: int) -> bool:
        """Whether a host may be asked at a port; `name` is in ASCII and lower case."""
        return any(
            (name.endswith("." + host) if below else name == host)
            and (port in PORTS if own_port is None else port == own_port)
            for below, host, own_port in self._entries
        )


def _parse(entry: str) -> tuple[bool, str, int | None]:
    parts = _ENTRY.fullmatch(entry.lower())
    if parts is None or int(parts[3] or 1) > 65535:
        raise ValueError(f"{entry!r} is no host; write example.org, *.example.org or example.org:8443")
    return bool(parts[1]), parts[2], int(parts[3]) if parts[3] else None


def read_hosts(value: object) -> tuple[str, ...]:
    """The entries of a manifest.

    :raises ValueError: the value is no list of hosts.
    """
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("must be a list of hosts")
    Hosts(value)
    return tuple(value)
