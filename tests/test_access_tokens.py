"""Tokens and sessions: who may come in, for how long, and what ends it."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from hashlib import sha256

import asyncpg
import pytest

from support import eventually, somebody_waits


def digest() -> bytes:
    return sha256(secrets.token_bytes(32)).digest()


async def create(db, name="ci", scopes=("read",), expires_in=None, actor="ada", secret=None):
    return await db.fetchval(
        "select taskq.create_token($1, $2, $3, $4, $5)",
        name, list(scopes), secret or digest(), expires_in, actor,
    )  # fmt: skip


async def open_session(db, token, secret=None, length=timedelta(hours=1)):
    return await db.fetchval("select taskq.open_session($1, $2, $3)", token, secret or digest(), length)


async def credentials(db):
    rows = await db.fetch("select * from taskq.credentials() order by kind, name")
    return [(row["kind"], row["name"], row["scopes"]) for row in rows]


async def refused(call, sqlstate, match):
    with pytest.raises(asyncpg.PostgresError, match=match) as refusal:
        await call
    assert refusal.value.sqlstate == sqlstate
    assert refusal.value.hint


# tokens


async def test_a_token_opens_the_door_with_its_scopes(db):
    secret = digest()
    token = await create(db, scopes=["read", "dispatch", "read"], secret=secret)
    row = await db.fetchrow("select * from taskq.credentials()")
    assert dict(row) == {
        "digest": secret, "kind": "token", "token_id": token, "name": "ci", "scopes": ["dispatch", "read"],
        "expires_at": None,
    }  # fmt: skip
    assert await db.fetchval("select created_by from taskq.tokens") == "ada"


@pytest.mark.parametrize("scopes", [["read", "write"], [], ["Read"]])
async def test_a_scope_that_is_unknown_or_missing_is_refused(db, scopes):
    await refused(create(db, scopes=scopes), "TQ001", "some of the scopes read, dispatch, operate, admin")


@pytest.mark.parametrize("name", ["", "x" * 201])
async def test_a_token_needs_a_name(db, name):
    await refused(create(db, name), "TQ001", "1 to 200 characters")


async def test_a_token_does_not_expire_before_it_is_made(db):
    await refused(create(db, expires_in=timedelta(0)), "TQ001", "expired already")


async def test_a_name_belongs_to_one_live_token(db):
    await create(db)
    await refused(create(db), "TQ001", "there is a live token called ci")
    await db.execute("select taskq.revoke_token('ci')")
    await create(db)
    assert await db.fetchval("select count(*) from taskq.tokens") == 2


async def test_of_two_who_take_a_name_at_once_one_is_refused(db, connect):
    other = await connect()
    transaction = db.transaction()
    await transaction.start()
    await create(db)
    second = asyncio.ensure_future(create(other))
    await eventually(lambda: somebody_waits(db))
    await transaction.commit()
    await refused(second, "TQ001", "there is a live token called ci")


async def test_a_digest_that_is_none_is_refused(db):
    """The secret itself, say."""
    with pytest.raises(asyncpg.CheckViolationError, match="a_digest_is_a_sha_256"):
        await create(db, secret=b"tq_secret")


async def test_an_expired_token_opens_nothing(db):
    await create(db, expires_in=timedelta(days=90))
    assert await credentials(db) == [("token", "ci", ["read"])]
    await db.execute("update taskq.tokens set expires_at = now()")
    assert await credentials(db) == []


@pytest.mark.parametrize("by", ["name", "id"])
async def test_a_revoked_token_opens_nothing_and_its_sessions_end(db, by):
    token = await create(db)
    kept = await create(db, "kept")
    await open_session(db, token)
    await open_session(db, kept)
    named = "ci" if by == "name" else str(token)
    assert await db.fetchval("select taskq.revoke_token($1, 'bob')", named) == token
    assert await credentials(db) == [("session", "kept", ["read"]), ("token", "kept", ["read"])]
    assert await db.fetchval("select array_agg(token_id) from taskq.sessions") == [kept]
    assert await db.fetchval("select revoked_by from taskq.tokens where id = $1", token) == "bob"


async def test_what_is_no_live_token_cannot_be_revoked(db):
    await create(db)
    await db.execute("select taskq.revoke_token('ci')")
    await refused(db.execute("select taskq.revoke_token('ci')"), "TQ003", "there is no live token ci")


async def test_a_use_is_kept_to_the_minute(db):
    token, idle = await create(db), await create(db, "idle")

    async def used():
        await db.execute("select taskq.touch_tokens($1)", [token])
        return await db.fetchval("select last_used_at from taskq.tokens where id = $1", token)

    first = await used()
    assert first is not None
    assert await used() == first
    await db.execute("update taskq.tokens set last_used_at = now() - interval '61 s'")
    assert await used() >= first
    assert await db.fetchval("select last_used_at < now() from taskq.tokens where id = $1", idle)


# sessions


async def test_a_session_may_what_its_token_may_until_it_is_closed(db):
    token = await create(db, scopes=["operate"])
    secret = digest()
    until = await open_session(db, token, secret)
    assert until == await db.fetchval("select expires_at from taskq.sessions")
    assert await credentials(db) == [("session", "ci", ["operate"]), ("token", "ci", ["operate"])]
    assert await db.fetchval("select taskq.close_session($1)", secret) is True
    assert await db.fetchval("select taskq.close_session($1)", secret) is False
    assert await credentials(db) == [("token", "ci", ["operate"])]


async def test_a_session_ends_with_its_token_at_the_latest(db):
    token = await create(db, expires_in=timedelta(minutes=5))
    until = await open_session(db, token, length=timedelta(days=1))
    assert until == await db.fetchval("select expires_at from taskq.tokens")


async def test_a_session_that_is_over_opens_nothing_and_the_next_login_clears_it_away(db):
    token = await create(db)
    await open_session(db, token)
    await db.execute("update taskq.sessions set expires_at = now() - interval '1 s'")
    assert await credentials(db) == [("token", "ci", ["read"])]
    await open_session(db, token)
    assert await db.fetchval("select count(*) from taskq.sessions") == 1


@pytest.mark.parametrize("how", ["revoked_at = now()", "expires_at = now()"])
async def test_nobody_logs_in_with_a_token_that_is_no_good(db, how):
    token = await create(db)
    await db.execute(f"update taskq.tokens set {how}")  # noqa: S608
    await refused(open_session(db, token), "TQ003", "is no good")


async def test_nobody_logs_in_with_a_token_that_is_being_revoked(db, connect):
    other = await connect()
    token = await create(db)
    transaction = db.transaction()
    await transaction.start()
    await db.execute("select taskq.revoke_token('ci')")
    login = asyncio.ensure_future(open_session(other, token))
    await eventually(lambda: somebody_waits(db))
    await transaction.commit()
    await refused(login, "TQ003", "is no good")


async def test_a_revocation_ends_the_session_that_is_being_opened(db, connect):
    other = await connect()
    token = await create(db)
    transaction = db.transaction()
    await transaction.start()
    await open_session(db, token)
    revoked = asyncio.ensure_future(other.execute("select taskq.revoke_token('ci')"))
    await eventually(lambda: somebody_waits(db))
    await transaction.commit()
    await revoked
    assert await db.fetchval("select count(*) from taskq.sessions") == 0
