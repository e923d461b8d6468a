"""What people decide for all tasks: roles, limits, and who may come in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, Literal
from uuid import UUID

from taskq.database import Pool
from taskq.json_text import decode, encode

Scope = Literal["read", "dispatch", "operate", "admin"]
TOKEN_PREFIX: Final = "tq_"
"""What a secret begins with, so that people and scanners know it for one."""


def new_secret() -> str:
    """A secret that nobody guesses: 256 random bits behind the prefix."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What the database keeps of a secret.  It is random and long: no slow hash is needed."""
    return sha256(secret.encode()).digest()


class Governing:
    """The part of `Queue` that decides for all tasks."""

    _pool: Pool

    async def pause_role(self, role: str, reason: str | None = None, actor: str | None = None) -> bool:
        """Have nobody claim a role until it is resumed; what runs goes on.

        :returns: False when it was paused already.
        """
        return bool(await self._pool.fetch_value("pause_role", role, reason, actor))

    async def resume_role(self, role: str, reason: str | None = None, actor: str | None = None) -> bool:
        """Let workers claim a paused role again; returns False when it was not paused."""
        return bool(await self._pool.fetch_value("resume_role", role, reason, actor))

    async def dispatch(self) -> list[dict[str, Any]]:
        """Wake who sleeps for each role that has something ready, and say how each role stands.

        :returns: by role `ready`, `scheduled`, `blocked`, `awaiting_approval`, `workers`, `slots`, `paused`,
            `rung` (whether somebody slept and was woken), and `why`: what can run, what cannot, in a line.
        """
        return [dict(row) for row in await self._pool.fetch("dispatch")]

    async def save_template(self, name: str, task: Mapping[str, Any], actor: str | None = None) -> None:
        """Keep a task, or several, under a name for the form; what had that name is replaced.

        :raises InvalidTask: the name is empty, or too long.
        """
        await self._pool.fetch_value("save_template", name, encode(task), actor)

    async def drop_template(self, name: str) -> bool:
        """Take a template away; returns False when there was none of this name."""
        return bool(await self._pool.fetch_value("drop_template", name))

    async def create_token(
        self,
        name: str,
        scopes: Sequence[Scope],
        expires_in: timedelta | None = None,
        actor: str | None = None,
    ) -> tuple[UUID, str]:
        """Make a token for the HTTP interface; returns its id and its secret, which is shown nowhere again.

        :raises InvalidTask: a scope is unknown, or a live token has this name.
        """
        secret = new_secret()
        id = await self._pool.fetch_value(
            "create_token", name, list(scopes), digest(secret), expires_in, actor
        )
        return UUID(str(id)), secret

    async def revoke_token(self, name_or_id: str, actor: str | None = None) -> UUID:
        """Revoke a token and end the sessions that it opened; returns its id.

        :raises NoSuchTask: there is no live token of this name or id.
        """
        return UUID(str(await self._pool.fetch_value("revoke_token", name_or_id, actor)))

    async def tokens(self) -> list[dict[str, Any]]:
        """All tokens, the newest first, without what opens a door."""
        return [dict(row) for row in await self._pool.fetch("tokens")]

    async def set_budget(
        self, scope: str, key: str, limits: Mapping[str, float | None], actor: str | None = None
    ) -> None:
        """Set limits of a task, mission or role; None takes one away, what is not named stays.

        :param limits: `tokens`, `cost` (US dollars), `turns`, `tool_calls`, `seconds`.
        :raises NoSuchTask: there is no such task or mission.
        """
        await self._pool.fetch_value("set_budget", scope, key, encode(limits), actor)

    async def set_gate(
        self, provider: str, model: str, requests: int | None, tokens: int | None, actor: str | None = None
    ) -> None:
        """Set how many requests and tokens a minute a model (`*`: all of them together) may be asked for."""
        await self._pool.fetch_value("set_gate", provider, model, requests, tokens, actor)

    async def resume_gate(self, provider: str, model: str = "*", actor: str | None = None) -> bool:
        """Lift the pause of a provider or of one of its models; returns whether it was paused."""
        return bool(await self._pool.fetch_value("resume_gate", provider, model, actor))

    async def tend(self) -> dict[str, int]:
        """One pass of maintenance; returns what was done."""
        return dict(decode(await self._pool.fetch_value("tend")))
