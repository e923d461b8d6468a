"""What other sites and hostile requests cannot do, and what browsers are told to refuse."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from taskq.web import create_app
from taskq.web.access import cookies, forgery
from taskq.web.house import House
from web_client import by_browser, client, client_of, house, make_token, stranger_of

EXPLAIN = "/api/v1/tasks/01980000-0000-7000-8000-000000000000/explain"


@pytest.fixture
async def opened(dsn: str) -> AsyncIterator[House]:
    async with house(dsn) as found:
        yield found


def word_in_meta(page: str) -> str:
    found = re.search(r'name="csrf" content="(\w+)"', page)
    assert found is not None
    return found[1]


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


HEADERS = (
    b"authorization", b"cookie", b"content-length", b"content-type", b"forwarded", b"host", b"hx-current-url",
    b"hx-request", b"origin", b"referer", b"sec-fetch-mode", b"sec-fetch-site", b"x-csrf-token",
)  # fmt: skip
BITS = (
    b"Bearer ", b"tq_", b"taskq_session=", b"x" * 43, b"x" * 9000, b"http://", b"127.0.0.1", b"[::1]", b"]",
    b"[", b":", b"@", b"//", b"\\", b"..", b"%00", b"%ff", b"\xff\xfe", b"<script>", b"'", b'"', b";", b"=",
    b",", b"&", b"true", b"cross-site", b"navigate", b"null", b" ", b"\t", b"-1", b"/login", b"?next=",
    b"csrf=", b"token=", b"multipart/form-data; boundary=", b"application/x-www-form-urlencoded",
)  # fmt: skip
PATHS = ("/", "/login", "/logout", "/live", "/healthz", "/static/", "/api/v1/tasks", "/nowhere")


@pytest.mark.parametrize("has_token", [True, False])
async def test_nothing_that_is_sent_breaks_the_door(dsn: str, opened: House, has_token: bool) -> None:
    if has_token:
        await make_token(dsn, "ci", "read")
    chance, app = random.Random(4), create_app(opened)

    def some() -> bytes:
        return b"".join(chance.choices(BITS, k=chance.randint(0, 5)))

    for _ in range(1000):
        headers = [(name, some()) for name in chance.sample(HEADERS, chance.randint(0, 6))]
        if chance.random() < 0.8:
            headers = [
                (b"host", b"127.0.0.1"),
                *((name, value) for name, value in headers if name != b"host"),
            ]
        sent = {
            "method": chance.choice(("GET", "POST", "HEAD", "PUT", "TRACE")),
            "path": chance.choice(PATHS) + some().decode("latin-1"),
            "query_string": some(),
            "headers": headers,
        }
        status = await status_of(app, sent, some())
        assert status < 500, sent


async def status_of(app: Starlette, sent: dict[str, Any], body: bytes) -> int:
    """What the application answers to a request that no client would send."""
    found: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    where = {"scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8340), "root_path": ""}
    await app({"type": "http", "http_version": "1.1", **where, **sent}, receive, send)
    return found[0]


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
