"""A client of the application itself: no process, no socket, the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from taskq.settings import Settings
from taskq.web import create_app
from taskq.web.house import House, open_house

OPERATOR = "ada"


@asynccontextmanager
async def client(dsn: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client for as long as the block lasts; it acts as OPERATOR, who needs no token."""
    async with house(dsn) as opened, client_of(opened) as http:
        yield http


@asynccontextmanager
async def house(dsn: str) -> AsyncIterator[House]:
    """What the application works with."""
    async with open_house(Settings(database_url=dsn), OPERATOR) as opened:
        yield opened


@asynccontextmanager
async def client_of(opened: House) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application on this house."""
    transport = httpx2.ASGITransport(app=create_app(opened), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http
