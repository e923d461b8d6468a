"""Who may come in to Mission Control: with a token, and without one on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from support import eventually
from taskq.web.access import Place
from taskq.web.house import House
from web_client import OPERATOR, client, client_of, house, make_token, stranger_of

EXPLAIN = "/api/v1/tasks/01980000-0000-7000-8000-000000000000/explain"
FAR = Place(is_loopback=False)


@pytest.fixture
async def opened(dsn: str) -> AsyncIterator[House]:
    async with house(dsn) as found:
        yield found


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
