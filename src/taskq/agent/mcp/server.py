"""What a role's manifest says of an MCP server.

mcp:
  tickets:
    command: [uvx, tickets-mcp]
    env: [TICKETS_TOKEN]
    tools: ["get_*", close]
    effect: {"get_*": read, close: idempotent}
  search:
    url: https://search.example.org/mcp
    trust_hints: true
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit

from taskq.tool import Effect

_FIELDS: Final = ("command", "url", "env", "tools", "effect", "trust_hints")
# Without two underscores in a row or at an end: NAME__tool belongs to one server only.
_NAME: Final = re.compile(r"(?=.{1,24}\Z)[a-zA-Z0-9]+(?:[_-][a-zA-Z0-9]+)*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EFFECTS: Final[dict[object, Effect]] = {"read": "read", "idempotent": "idempotent", "unsafe": "unsafe"}
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Server:
    """An MCP server: a command that is run, or an address.

    `env` names the variables that the command is given.  `tools` are globs over the server's own names of
    its tools.  `effects` say what a tool does to the world, the first glob that matches; `trust_hints`
    believes what the server says of the others, which are unsafe else.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str | None = None
    env: tuple[str, ...] = ()
    tools: tuple[str, ...] = ("*",)
    effects: tuple[tuple[str, Effect], ...] = ()
    trust_hints: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the address is on this machine, where no proxy leads."""
        return self.url is not None and urlsplit(self.url).hostname in _LOOPBACK

    def allows(self, tool: str) -> bool:
        """Whether a tool, by the server's name for it, may be offered."""
        return any(fnmatchcase(tool, glob) for glob in self.tools)

    def effect(self, tool: str, *, reads: bool | None, repeatable: bool | None) -> Effect:
        """What a tool does to the world; `reads` and `repeatable` are what the server claims."""
        for glob, effect in self.effects:
            if fnmatchcase(tool, glob):
                return effect
        if self.trust_hints and reads:
            return "read"
        return "idempotent" if self.trust_hints and repeatable else "unsafe"


def read_servers(value: object) -> tuple[Server, ...]:
    """The servers of a manifest, by their names.

    :raises ValueError: the value is not understood; the message says what is expected.
    """
    if not isinstance(value, dict):
        raise ValueError("must be servers by their names")
    return tuple(_server(name, value[name]) for name in sorted(value, key=str))


def _server(name: object, value: object) -> Server:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("a server's name has at most 24 letters and digits, with single _ or - between them")
    if not isinstance(value, dict) or not value.keys() <= set(_FIELDS):
        raise ValueError(f"{name}: its fields are {', '.join(_FIELDS)}")
    if ("command" in value) == ("url" in value):
        raise ValueError(f"{name}: needs either a command or a url")
    if "url" in value and "env" in value:
        raise ValueError(f"{name}: env goes with a command")
    given: dict[str, Any] = {"trust_hints": value.get("trust_hints", False)}
    if not isinstance(given["trust_hints"], bool):
        raise ValueError(f"{name}: trust_hints: must be true or false")
    for field in ("command", "env", "tools"):
        if field in value:
            given[field] = _texts(f"{name}: {field}", value[field])
    if wrong := [variable for variable in given.get("env", ()) if not _VARIABLE.fullmatch(variable)]:
        raise ValueError(f"{name}: env: names of variables, without values; {wrong[0]!r} is none")
    if "url" in value:
        given["url"] = _url(name, value["url"])
    return Server(name, effects=_effects(name, value.get("effect", {})), **given)


def _texts(field: str, value: object) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(t, str) and t and "\0" not in t for t in value)
    ):
        raise ValueError(f"{field}: must be a list of texts")
    return tuple(value)


def _url(name: str, value: object) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{name}: url: must be an https address without a user or password")
    if parts.scheme != "https" and (parts.scheme, parts.hostname in _LOOPBACK) != ("http", True):
        raise ValueError(f"{name}: url: must begin with https:// (http:// only on this machine)")
    return parts.geturl()


def _effects(name: str, value: object) -> tuple[tuple[str, Effect], ...]:
    if not isinstance(value, dict) or not all(
        isinstance(glob, str) and isinstance(effect, str) and effect in _EFFECTS
        for glob, effect in value.items()
    ):
        # Not transactional: the tool does not run on our connection.
        raise ValueError(
            f"{name}: effect: must say {', '.join(map(str, _EFFECTS))} for names or globs of tools"
        )
    return tuple((glob, _EFFECTS[effect]) for glob, effect in value.items())
