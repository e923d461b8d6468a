"""Who asks, and what he may do."""

from taskq.web.access.visitor import SCOPES, Scope, Visitor, visitor_of

__all__ = ["SCOPES", "Scope", "Visitor", "visitor_of"]
