"""The visitor: who sent this request, and what he may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from starlette.requests import HTTPConnection

from taskq.web.problems import Refused

Scope = Literal["read", "dispatch", "operate", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a token may be good for: to look; to put tasks in; to act on tasks; to pause roles and set limits."""


@dataclass(frozen=True)
class Visitor:
    """Who sent a request.

    `actor` is what the record will say of him.  `csrf` is what his forms must carry; empty where a token
    came with the request, which no other site can make a browser send.  `has_session`: he can log out.
    """

    actor: str
    scopes: frozenset[Scope]
    csrf: str = ""
    has_session: bool = False

    def may(self, scope: Scope) -> bool:
        """Whether he may do what takes this scope."""
        return scope in self.scopes


NOBODY = Visitor("", frozenset())
"""Who is not known; he may log in."""


def visitor_of(connection: HTTPConnection) -> Visitor:
    """Who sent this request; the middleware has found out."""
    visitor: Visitor = connection.state.visitor
    return visitor


def require(connection: HTTPConnection, scope: Scope) -> Visitor:
    """The visitor, who may do what takes this scope.

    :raises Refused: he may not (403); it says which scope it takes.
    """
    visitor = visitor_of(connection)
    if not visitor.may(scope):
        his = ", ".join(s for s in SCOPES if visitor.may(s)) or "none"
        raise Refused(403, f"this takes a token with the scope {scope}; {visitor.actor} has: {his}")
    return visitor
