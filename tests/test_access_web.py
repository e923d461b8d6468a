"""Who may come in to Mission Control, with what, and for how long."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from support import eventually
from taskq import Queue
from taskq.web.access import Place, cookies, forgery
from taskq.web.house import House
from web_client import OPERATOR, by_browser, client, client_of, house, make_token, stranger_of

EXPLAIN = "/api/v1/tasks/01980000-0000-7000-8000-000000000000/explain"
FAR = Place(is_loopback=False)


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


# tokens


async def test_a_token_opens_the_api(dsn: str) -> None:
    token = await make_token(dsn, "ci", "read")
    async with client(dsn, token) as http:
        assert (await http.get(EXPLAIN)).status_code == 404


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "bearer tq_", "Bearer tq_" + "x" * 43, "Bearer  two words", "Basic YTpi",
        b"Bearer \xff\xfe", "Bearer " + "x" * 9000, "Bearer tq_\u00e9" + "x" * 42, "Bearer ' or true --",
        "tq_" + "x" * 43,
    ],
)  # fmt: skip
async def test_what_is_no_token_is_a_problem_and_no_error(opened: House, dsn: str, header: str) -> None:
    await make_token(dsn, "ci", "read")
    raw = header if isinstance(header, bytes) else header.encode("utf-8")
    async with stranger_of(opened) as http:
        found = await http.get(EXPLAIN, headers=[(b"Authorization", raw)])
    assert found.status_code == 401
    assert found.headers["www-authenticate"] == 'Bearer realm="taskq"'
    assert found.headers["content-type"] == "application/problem+json"
    assert "Set-Cookie" not in found.headers


async def test_a_missing_scope_is_named(dsn: str) -> None:
    token = await make_token(dsn, "ci", "dispatch")
    async with client(dsn, token) as http:
        found = await http.get(EXPLAIN)
        assert found.status_code == 403 and "scope read" in found.json()["detail"]
        page = await http.get("/")
        assert page.status_code == 403 and "scope read; ci has: dispatch" in page.text
        assert (await http.get("/metrics")).json()["status"] == 403


async def test_a_new_token_is_good_at_once(dsn: str, opened: House) -> None:
    first = await make_token(dsn, "first", "read")
    async with client_of(opened, first) as http:
        assert (await http.get(EXPLAIN)).status_code == 404
        second = await make_token(dsn, "second", "read")
        found = await http.get(EXPLAIN, headers={"Authorization": f"Bearer {second}"})
        assert found.status_code == 404


async def test_a_revoked_token_is_good_for_5_s_at_most_and_for_none_where_it_was_revoked(
    dsn: str, opened: House, db: asyncpg.Connection
) -> None:
    token = await make_token(dsn, "ci", "read")
    await make_token(dsn, "kept", "read")
    async with house(dsn) as other, client_of(opened, token) as here, client_of(other, token) as there:
        assert {(await http.get(EXPLAIN)).status_code for http in (here, there)} == {404}
        await db.execute("select taskq.revoke_token('ci')")
        opened.changed()
        assert (await here.get(EXPLAIN)).status_code == 401

        async def is_out() -> bool:
            return (await there.get(EXPLAIN)).status_code == 401

        await eventually(is_out, timeout=5.5, every=0.2)


async def test_strangers_cost_one_look_a_second(dsn: str, opened: House, db: asyncpg.Connection) -> None:
    token = await make_token(dsn, "ci", "read")
    looks = 0
    fetch = opened.keyring._pool.fetch

    async def counted(query: str, *args: object) -> list[object]:
        nonlocal looks
        looks += query == "credentials"
        return await fetch(query, *args)

    opened.keyring._pool.fetch = counted  # type: ignore[method-assign]
    async with client_of(opened, token) as http:
        for number in range(50):
            assert (await http.get(EXPLAIN)).status_code == 404, number
        assert looks == 1
        for letter in "xyz":
            wrong = {"Authorization": f"Bearer tq_{letter * 43}"}
            assert (await http.get(EXPLAIN, headers=wrong)).status_code == 401
    assert looks == 4


async def test_the_use_of_a_token_is_kept(dsn: str, db: asyncpg.Connection) -> None:
    used = await make_token(dsn, "used", "read")
    await make_token(dsn, "idle", "read")
    async with client(dsn, used) as http:
        await http.get(EXPLAIN)
    rows = await db.fetch("select name from taskq.tokens where last_used_at is not null")
    assert [row["name"] for row in rows] == ["used"]


async def test_nobody_comes_in_while_the_database_is_away() -> None:
    async with house("postgresql://taskq@127.0.0.1:1/nowhere") as away, stranger_of(away) as http:
        page, problem = await http.get("/"), await http.get(EXPLAIN)
        assert (page.status_code, problem.status_code) == (503, 503)
        assert "cannot be reached" in page.text and problem.headers["retry-after"] == "1"
        assert (await http.get("/static/taskq.css")).status_code == 200


# this machine


async def test_without_tokens_this_machine_acts_as_the_operator(opened: House) -> None:
    async with stranger_of(opened) as http:
        page = await http.get("/")
        assert page.status_code == 200 and OPERATOR in page.text and "Log out" not in page.text
        assert (await http.get("/login")).headers["location"] == "/"


async def test_as_soon_as_there_is_a_token_everybody_logs_in(dsn: str, opened: House) -> None:
    async with client_of(opened) as http:
        assert (await http.get("/")).status_code == 200
        await make_token(dsn, "ci", "read")
        opened.changed()
        found = await http.get("/tasks?status=failed&text=a b")
        assert found.status_code == 303
        assert found.headers["location"] == "/login?next=%2Ftasks%3Fstatus%3Dfailed%26text%3Da%2520b"


@pytest.mark.parametrize(
    "how",
    [
        {"peer": "192.0.2.7"},
        {"peer": "fe80::1"},
        {"place": FAR},
        {"place": Place(hosts=frozenset({"tasks.example.com"}))},
        {"host": "192.168.1.5"},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=127.0.0.1"}},
        {"headers": {"Via": "1.1 proxy"}},
    ],
)
async def test_whoever_may_come_from_elsewhere_is_nobody(opened: House, how: dict) -> None:
    headers = how.pop("headers", {})
    async with stranger_of(opened, **how) as http:
        assert (await http.get("/", headers=headers)).headers["location"] == "/login?next=%2F"
        assert (await http.get(EXPLAIN, headers=headers)).status_code == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8340", "127.0.0.1:8340", "127.9.9.9", "[::1]:8340"])
async def test_this_machine_has_several_names(opened: House, host: str) -> None:
    async with stranger_of(opened) as http:
        assert (await http.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8340", ""]
)
@pytest.mark.parametrize("path", ["/", EXPLAIN, "/static/taskq.css", "/login"])
async def test_a_name_that_leads_here_from_another_site_reads_nothing(
    opened: House, host: str, path: str
) -> None:
    async with stranger_of(opened) as http:
        found = await http.get(path, headers={"Host": host})
        assert found.status_code in (400, 421) and OPERATOR not in found.text


@pytest.mark.parametrize("host", ["[", "[::::]", "a b", "a@b", "127.0.0.1:port", "\xff", "a/b", "<script>"])
async def test_a_host_that_is_none_is_a_problem_and_no_error(opened: House, host: str) -> None:
    async with stranger_of(opened) as http:
        for path in ("/", EXPLAIN, "/healthz"):
            found = await http.get(path, headers=[(b"Host", host.encode("latin-1"))])
            assert found.status_code == 400 and "<script>" not in found.text


async def test_a_public_host_is_trusted(dsn: str, opened: House) -> None:
    token = await make_token(dsn, "ci", "read")
    place = Place(hosts=frozenset({"tasks.example.com"}))
    async with client_of(opened, token, place) as http:
        assert (await http.get(EXPLAIN, headers={"Host": "Tasks.example.com"})).status_code == 404
        assert (await http.get(EXPLAIN, headers={"Host": "other.example.com"})).status_code == 421


# forgery


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, 404),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({forgery.HEADER: ""}, 403),
        ({forgery.HEADER: "0" * 64}, 403),
        ({forgery.HEADER: "\xff"}, 403),
        ({"Cookie": ""}, 403),
        ({"Cookie": "taskq_session=short"}, 403),
        ({"Cookie": by_browser()["Cookie"]}, 403),
    ],
)
async def test_what_another_site_has_the_browser_send_is_not_done(
    opened: House, headers: dict[str, str], status: int
) -> None:
    async with stranger_of(opened) as http:
        for path in ("/api/v1/nowhere", "/nowhere"):
            raw = {k: v.encode("latin-1") for k, v in ({**by_browser(), **headers}).items()}
            found = await http.post(path, headers=raw)
            assert found.status_code == status


async def test_a_form_carries_the_word_in_a_field_and_arrives_whole(opened: House) -> None:
    async with stranger_of(opened) as http:
        word = word_in_meta((await http.get("/")).text)
        for body in ({"data": {"csrf": word}}, {"data": {"csrf": word}, "files": {"a": b"x"}}):
            assert (await http.post("/nowhere", **body)).status_code == 404
        for body in ({"data": {"csrf": "0" * 64}}, {"json": {"csrf": word}}, {"content": f"csrf={word}"}):
            assert (await http.post("/nowhere", **body)).status_code == 403


def word_in_meta(page: str) -> str:
    found = re.search(r'name="csrf" content="(\w+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("body", [b"", b"\xff\xfe=%zz&&&", b"--x\r\nbroken", b"&".join([b"a=b"] * 5000)])
async def test_a_form_that_is_none_is_refused(opened: House, kind: str, body: bytes) -> None:
    async with stranger_of(opened) as http:
        await http.get("/")
        found = await http.post("/nowhere", content=body, headers={"Content-Type": kind})
        assert found.status_code == 403


async def test_a_token_needs_no_word(dsn: str) -> None:
    token = await make_token(dsn, "ci", "read")
    async with client(dsn, token) as http:
        assert (
            await http.post("/api/v1/nowhere", headers={"Origin": "http://evil.example"})
        ).status_code == 404


async def test_the_first_page_gives_the_cookie_and_the_next_keeps_it(opened: House) -> None:
    async with stranger_of(opened) as http:
        first = await http.get("/")
        cookie = first.headers["set-cookie"]
        assert re.fullmatch(
            r"taskq_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000", cookie
        )
        assert http.cookies[cookies.NAME] not in first.text
        second = await http.get("/")
        assert "set-cookie" not in second.headers
        assert word_in_meta(second.text) == word_in_meta(first.text)
        assert "set-cookie" not in (await http.get(EXPLAIN, headers={"Cookie": ""})).headers


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


# where those go who are not known


async def test_a_part_of_a_page_sends_the_browser_to_the_login(dsn: str, opened: House) -> None:
    await make_token(dsn, "ci", "read")
    async with stranger_of(opened) as http:
        part = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1/tasks?a=1"}
        found = await http.get("/tasks/1/cancel", headers=part)
        assert (found.status_code, found.headers["hx-redirect"]) == (401, "/login?next=%2Ftasks%3Fa%3D1")
        part["HX-Current-URL"] = "http://evil.example/tasks"
        assert (await http.get("/", headers=part)).headers["hx-redirect"] == "/login?next=%2F"


async def test_a_form_of_a_session_that_ended_leads_back_to_its_page(dsn: str, opened: House) -> None:
    await make_token(dsn, "ci", "read")
    async with stranger_of(opened) as http:
        found = await http.post("/tasks/1/cancel", headers={"Referer": "http://127.0.0.1/tasks/1"})
        assert (found.status_code, found.headers["location"]) == (303, "/login?next=%2Ftasks%2F1")


async def test_a_link_on_another_site_leads_to_the_page_although_the_cookie_was_kept_back(
    dsn: str, opened: House
) -> None:
    await make_token(dsn, "ci", "read")
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with stranger_of(opened) as http:
        found = await http.get('/tasks?text="><script>', headers=link)
        assert found.status_code == 200 and "set-cookie" not in found.headers
        assert 'content="0; url=/tasks?text=%22%3E%3Cscript%3E"' in found.text
        assert (
            await http.get("/tasks", headers={**link, "Sec-Fetch-Site": "same-origin"})
        ).status_code == 303


@pytest.mark.parametrize("path", ["/live", "/metrics", EXPLAIN, "/api/v1/openapi.json"])
async def test_programs_are_told_that_they_need_a_token(dsn: str, opened: House, path: str) -> None:
    await make_token(dsn, "ci", "read")
    async with stranger_of(opened) as http:
        found = await http.get(path)
        assert found.status_code == 401 and found.json()["title"] == "Unauthorized"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/static/taskq.css", "/login"])
async def test_some_doors_are_open(dsn: str, opened: House, path: str) -> None:
    await make_token(dsn, "ci", "read")
    async with stranger_of(opened, FAR, peer="192.0.2.7") as http:
        assert (await http.get(path)).status_code in (200, 404)
        if path in ("/healthz", "/readyz"):  # asked by machines that do not know its name
            assert (await http.get(path, headers={"Host": "pod"})).status_code in (200, 404)


# what browsers are told


@pytest.mark.parametrize("path", ["/", "/nowhere", "/login", EXPLAIN, "/static/taskq.css", "/static/nothing"])
async def test_every_answer_tells_the_browser_what_to_refuse(opened: House, path: str) -> None:
    async with stranger_of(opened) as http:
        headers = (await http.get(path)).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert path == "/static/taskq.css" or headers["cache-control"] == "no-store"


async def test_an_error_that_nobody_foresaw_tells_it_too(
    opened: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("tq_secret")

    monkeypatch.setattr(opened.reads, "fetch", broken)
    async with stranger_of(opened) as http:
        found = await http.get("/")
    assert found.status_code == 500 and "tq_secret" not in found.text
    assert "content-security-policy" in found.headers and found.headers["cache-control"] == "no-store"


async def test_a_static_file_is_kept_for_ever_under_the_address_of_its_version(opened: House) -> None:
    async with stranger_of(opened) as http:
        versioned = re.findall(r'/static/[^"#]+', (await http.get("/")).text)[0]
        found = await http.get(versioned)
        assert "immutable" in found.headers["cache-control"]
        plain = await http.get("/static/taskq.css")
        assert plain.headers["cache-control"] == "no-cache"
        again = await http.get("/static/taskq.css", headers={"If-None-Match": plain.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/%00", "/static/" + "x" * 3000]
)
async def test_only_static_files_are_served_as_such(opened: House, path: str) -> None:
    async with stranger_of(opened) as http:
        assert (await http.get(path)).status_code == 404


async def test_a_body_that_is_too_large_is_refused(opened: House) -> None:
    async with client_of(opened) as http:
        assert (await http.post("/login", content=b"x" * (8 * 1024 * 1024 + 1))).status_code == 413


@pytest.mark.parametrize("body", [b"x" * 70_000, "in parts"])
async def test_of_nobody_only_a_short_form_is_read(dsn: str, opened: House, body: bytes | str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"token=x"

    await make_token(dsn, "ci", "read")
    async with client_of(opened) as http:
        content = body if isinstance(body, bytes) else parts()
        assert (await http.post("/login", content=content)).status_code == 413
