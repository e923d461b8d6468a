"""Who asks, and what he may do.

visitor     who it is                    keyring   the credentials that are good now
middleware  finds out, lets in or not    place     where the server is, whom that lets near
cookies     what a browser keeps         forgery   that a form is really ours
headers     what browsers must refuse for us
"""

from taskq.web.access.place import Place
from taskq.web.access.visitor import NOBODY, SCOPES, Scope, Visitor, require, visitor_of

__all__ = ["NOBODY", "SCOPES", "Place", "Scope", "Visitor", "require", "visitor_of"]
