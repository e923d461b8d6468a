"""A client of the application itself: no process, no socket, the real database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import asyncpg
import httpx2

from taskq.settings import Settings
from taskq.web import create_app
from taskq.web.access import Place, cookies, forgery
from taskq.web.house import House, open_house

OPERATOR = "ada"


@asynccontextmanager
async def client(dsn: str, token: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """A client for as long as the block lasts.

    With a token it is a program that shows it; without one it is a browser on this machine, which acts as
    OPERATOR as long as there is no token in the database.
    """
    async with house(dsn) as opened, client_of(opened, token) as http:
        yield http


@asynccontextmanager
async def house(dsn: str) -> AsyncIterator[House]:
    """What the application works with."""
    async with open_house(Settings(database_url=dsn), OPERATOR) as opened:
        yield opened


@asynccontextmanager
async def client_of(
    opened: House, token: str | None = None, place: Place | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application on this house."""
    headers = by_browser() if token is None else {"Authorization": f"Bearer {token}"}
    async with stranger_of(opened, place) as http:
        http.headers.update(headers)
        yield http


@asynccontextmanager
async def stranger_of(
    opened: House, place: Place | None = None, host: str = "127.0.0.1", peer: str = "127.0.0.1"
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that has no token, and no cookie yet.

    :param host: what it calls the server.
    :param peer: its own address.
    """
    app = create_app(opened, place or Place())
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=(peer, 12345))
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield http


def by_browser() -> dict[str, str]:
    """The headers of a browser that has opened a page: its cookie, and the word that its forms carry."""
    secret = cookies.new_secret()
    return {"Cookie": f"{cookies.NAME}={secret}", forgery.HEADER: forgery.word_of(secret)}


async def make_token(dsn: str, name: str, *scopes: str) -> str:
    """Make a token; returns its secret."""
    secret = f"tq_{secrets.token_urlsafe(32)}"
    session = await asyncpg.connect(dsn)
    try:
        await session.execute(
            "select taskq.create_token($1, $2, $3)", name, list(scopes), sha256(secret.encode()).digest()
        )
    finally:
        await session.close()
    return secret
