"""The keyring: the credentials that are good now, read from the database every few seconds at most."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from importlib.resources import files
from typing import Literal
from uuid import UUID

from taskq.database import Pool, read_queries
from taskq.errors import DatabaseError
from taskq.web.access.cookies import LASTS, new_secret
from taskq.web.access.visitor import Scope

QUERIES = read_queries((files("taskq.web") / "queries" / "access.sql").read_text(encoding="utf-8"))
TOKEN = re.compile(r"tq_[A-Za-z0-9_-]{43}")
KEPT = 5.0
"""Seconds for which what was read holds: so long a revoked token still opens, at most."""
PAUSE = 1.0
"""Seconds between two looks for a secret that is not known, at least."""
TOUCHED = 30.0
"""Seconds between two notes of which tokens were used."""


@dataclass(frozen=True)
class Credential:
    """A token, or the session of a browser that logged in with it."""

    digest: bytes = field(repr=False)
    kind: Literal["token", "session"]
    token_id: UUID
    name: str
    scopes: frozenset[Scope]


@dataclass(frozen=True)
class Ring:
    """All credentials, as the database had them at a moment (of time.monotonic) or later."""

    at: float
    credentials: Mapping[bytes, Credential]

    @property
    def age(self) -> float:
        return time.monotonic() - self.at

    def find(self, kind: str, digest: bytes) -> Credential | None:
        found = self.credentials.get(digest)
        good = found is not None and found.kind == kind and hmac.compare_digest(found.digest, digest)
        return found if good else None


class Keyring:
    """Knows which secrets are good.  Its methods raise ConnectionError while the database is away."""

    def __init__(self, dsn: str, *, pooled: bool = False) -> None:
        # Sessions of its own: who may come in does not wait for what others read.
        self._pool = Pool(dsn, size=2, pooled=pooled, queries=QUERIES, patience=5)
        self._ring: Ring | None = None
        self._reading: asyncio.Future[Ring] | None = None
        self._used: set[UUID] = set()
        self._noted = time.monotonic()

    async def find(
        self, kind: Literal["token", "session"], secret: str, *, again: bool = True
    ) -> Credential | None:
        """The credential with this secret; None when it is good for nothing.

        :param again: one that is not known may be brand-new, so ask the database again; that is done once a
            second for all who ask, and waited for.
        """
        if kind == "token" and not TOKEN.fullmatch(secret):
            return None
        asked, digest = time.monotonic(), digest_of(secret)
        ring = await self._look(KEPT)
        while (found := ring.find(kind, digest)) is None and again and ring.at < asked:
            await asyncio.sleep(max(PAUSE - ring.age, 0))
            ring = await self._look(PAUSE)
        if found is not None:
            self._used.add(found.token_id)
        return found

    async def is_empty(self) -> bool:
        """Whether there is no token at all."""
        return not (await self._look(KEPT)).credentials

    async def log_in(self, token: Credential) -> str:
        """Open a session; returns its secret, which is known to nobody else.

        :raises NoSuchTask: the token was revoked a moment ago.
        """
        secret = new_secret()
        await self._pool.fetch("open_session", token.token_id, digest_of(secret), timedelta(seconds=LASTS))
        self.forget()
        return secret

    async def log_out(self, secret: str) -> None:
        """End the session with this secret."""
        await self._pool.fetch("close_session", digest_of(secret))
        self.forget()

    def forget(self) -> None:
        """Something was changed by this process: look again at the next request."""
        self._ring = self._reading = None

    async def close(self) -> None:
        """Note which tokens were used, and end the sessions."""
        with contextlib.suppress(DatabaseError):
            await self._note()
        await self._pool.close()

    async def _look(self, age: float) -> Ring:
        if self._ring is not None and self._ring.age < age:
            return self._ring
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._reading)

    async def _read(self) -> Ring:
        reading, at = asyncio.current_task(), time.monotonic()
        rows = await self._pool.fetch("credentials")
        ring = Ring(
            at,
            {
                row["digest"]: Credential(
                    row["digest"], row["kind"], row["token_id"], row["name"], frozenset(row["scopes"])
                )
                for row in rows
            },
        )
        if reading is self._reading:  # nothing was changed meanwhile
            self._ring = ring
        if at - self._noted > TOUCHED:
            with contextlib.suppress(DatabaseError):  # it is for people to look at; nobody waits for it
                await self._note()
        return ring

    async def _note(self) -> None:
        used, self._used, self._noted = self._used, set(), time.monotonic()
        if used:
            await self._pool.fetch("touch_tokens", list(used))


def digest_of(secret: str) -> bytes:
    """What the database keeps of a secret."""
    return sha256(secret.encode()).digest()
