"""What a browser keeps: one cookie with a random secret, whose digest may be a session of the database."""

from __future__ import annotations

import re
import secrets

from starlette.requests import HTTPConnection

NAME = "taskq_session"
LASTS = 30 * 24 * 60 * 60
"""Seconds."""
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def new_secret() -> str:
    """256 random bits, in letters that a cookie may have."""
    return secrets.token_urlsafe(32)


def secret_of(connection: HTTPConnection) -> str | None:
    """The secret that the browser keeps; None when it has none, or something else."""
    secret = connection.cookies.get(NAME, "")
    return secret if SECRET.fullmatch(secret) else None


def keep(connection: HTTPConnection, secret: str) -> str:
    """The Set-Cookie header that has the browser keep this secret.

    No script can read it, and no other site can have it sent; over https it is never sent without.
    """
    return f"{NAME}={secret}; {attributes(connection)}; Max-Age={LASTS}"


def drop(connection: HTTPConnection) -> str:
    """The Set-Cookie header that has the browser forget it."""
    return f"{NAME}=; {attributes(connection)}; Max-Age=0"


def attributes(connection: HTTPConnection) -> str:
    """Behind a proxy that does not say so, the browser's Origin still tells that it came by https."""
    origin = connection.headers.get("origin", "")
    is_https = connection.scope["scheme"] == "https" or origin.lower().startswith("https://")
    return "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if is_https else "")
