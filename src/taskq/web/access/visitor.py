"""The visitor: who sent this request, and what he may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from starlette.requests import HTTPConnection

Scope = Literal["read", "dispatch", "operate", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a token may be good for: to look; to put tasks in; to act on tasks; to pause roles and set limits."""


@dataclass(frozen=True)
class Visitor:
    """Who sent a request.

    `actor` is what the record will say of him.  `csrf` is what his forms must carry; empty where a token
    came with the request, which no other site can make a browser send.
    """

    actor: str
    scopes: frozenset[Scope]
    csrf: str = ""

    def may(self, scope: Scope) -> bool:
        """Whether he may do what takes this scope."""
        return scope in self.scopes


def visitor_of(connection: HTTPConnection) -> Visitor:
    """Who sent this request; the middleware has found out."""
    visitor: Visitor = connection.state.visitor
    return visitor
