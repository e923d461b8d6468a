"""A browser logs in to Mission Control, for as long as its token is good."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from taskq import Queue
from taskq.web.access import Place, cookies, forgery
from taskq.web.house import House
from web_client import house, make_token, stranger_of

EXPLAIN = "/api/v1/tasks/01980000-0000-7000-8000-000000000000/explain"


@pytest.fixture
async def opened(dsn: str) -> AsyncIterator[House]:
    async with house(dsn) as found:
        yield found


async def log_in(http: httpx2.AsyncClient, token: str, **form: str) -> httpx2.Response:
    """Paste a token into the form."""
    page = await http.get("/login")
    return await http.post("/login", data={"token": token, "csrf": word_in(page.text), **form})


def word_in(page: str) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', page)
    assert found is not None
    return found[1]


# logging in


async def test_a_browser_logs_in_with_a_token_and_out_again(
    dsn: str, opened: House, db: asyncpg.Connection
) -> None:
    token = await make_token(dsn, "ci", "read")
    async with stranger_of(opened) as http:
        before = (await http.get("/login")).cookies[cookies.NAME]
        found = await log_in(http, token, next="/tasks?status=failed")
        assert (found.status_code, found.headers["location"]) == (303, "/tasks?status=failed")
        secret = http.cookies[cookies.NAME]
        assert secret != before
        page = await http.get("/")
        assert page.status_code == 200 and "Log out" in page.text
        assert token not in page.text and secret not in page.text
        assert (await http.get("/login?next=/roles")).headers["location"] == "/roles"
        kept = await db.fetchrow(
            "select encode(digest, 'hex'), expires_at - now() > interval '29 days' from taskq.sessions"
        )
        assert kept[1] is True and secret.encode().hex() not in kept[0]
        assert (await http.post("/logout")).status_code == 403
        out = await http.post("/logout", data={"csrf": forgery.word_of(secret)})
        assert (out.headers["location"], "Max-Age=0" in out.headers["set-cookie"]) == ("/login", True)
        again = await http.get("/", headers={"Cookie": f"{cookies.NAME}={secret}"})
        assert again.headers["location"] == "/login?next=%2F"
        assert await db.fetchval("select count(*) from taskq.sessions") == 0


async def test_a_session_ends_with_its_token(dsn: str, opened: House, db: asyncpg.Connection) -> None:
    token = await make_token(dsn, "ci", "read")
    await make_token(dsn, "kept", "read")
    async with stranger_of(opened) as http:
        await log_in(http, token)
        assert (await http.get("/")).status_code == 200
        await db.execute("select taskq.revoke_token('ci')")
        opened.changed()
        assert (await http.get("/")).status_code == 303


async def test_a_session_may_what_its_token_may(dsn: str, opened: House, queue: Queue) -> None:
    task = await queue.enqueue("resize", {})
    token = await make_token(dsn, "ci", "operate")
    async with stranger_of(opened) as http:
        await log_in(http, token)
        assert "scope read" in (await http.get("/")).text
        assert (await http.get(f"/api/v1/tasks/{task}/explain")).status_code == 403


async def test_a_session_is_no_token_and_a_token_no_session(dsn: str, opened: House) -> None:
    token = await make_token(dsn, "ci", "read")
    async with stranger_of(opened) as http:
        await log_in(http, token)
        session = http.cookies[cookies.NAME]
    async with stranger_of(opened) as http:
        for found in (session, f"tq_{session}"):
            bearer = {"Authorization": f"Bearer {found}"}
            assert (await http.get(EXPLAIN, headers=bearer)).status_code == 401
        for found in (token, token.removeprefix("tq_")):
            cookie = {"Cookie": f"{cookies.NAME}={found}"}
            assert (await http.get(EXPLAIN, headers=cookie)).status_code == 401


async def test_a_wrong_token_gets_the_form_again_and_always_the_same_words(
    dsn: str, opened: House, db: asyncpg.Connection
) -> None:
    token = await make_token(dsn, "ci", "read")
    revoked = await make_token(dsn, "gone", "read")
    await db.execute("select taskq.revoke_token('gone')")
    answers = set()
    async with stranger_of(opened) as http:
        for wrong in ("", "x", "tq_" + "x" * 43, revoked, token[:-1], "\x00\u2028<b>"):
            found = await log_in(http, wrong)
            assert found.status_code == 422 and "set-cookie" not in found.headers
            assert 'aria-invalid="true"' in found.text and (len(wrong) < 4 or wrong not in found.text)
            answers.add(found.text)
        assert (await log_in(http, f"  {token}\n")).status_code == 303
    assert len(answers) == 1


async def test_nobody_is_logged_in_by_another_site(dsn: str, opened: House) -> None:
    token = await make_token(dsn, "ci", "read")
    async with stranger_of(opened) as http:
        assert (await http.post("/login", data={"token": token})).status_code == 403
        http.headers["Origin"] = "https://evil.example"
        assert (await log_in(http, token)).status_code == 403


@pytest.mark.parametrize(
    "following",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example",
        "javascript:alert(1)",
        "", "/login", "/logout?a",
    ],
)  # fmt: skip
async def test_after_the_login_nobody_is_led_elsewhere(dsn: str, opened: House, following: str) -> None:
    token = await make_token(dsn, "ci", "read")
    async with stranger_of(opened) as http:
        assert (await log_in(http, token, next=following)).headers["location"] == "/"
        assert (await http.get("/login", params={"next": following})).headers["location"] == "/"


@pytest.mark.parametrize(
    ("headers", "scheme"), [({}, "https"), ({"Origin": "https://tasks.example.com"}, "http")]
)
async def test_over_https_the_cookie_is_never_sent_without(
    dsn: str, opened: House, headers: dict[str, str], scheme: str
) -> None:
    token = await make_token(dsn, "ci", "read")
    place = Place(hosts=frozenset({"tasks.example.com"}))
    async with stranger_of(opened, place, "tasks.example.com") as http:
        http.base_url = httpx2.URL(f"{scheme}://tasks.example.com")
        page = await http.get("/login")
        form = {"token": token, "csrf": word_in(page.text)}
        found = await http.post("/login", data=form, headers=headers)
        assert "; Secure" in found.headers["set-cookie"]
