"""What stands before the operations: scopes, sizes, types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from taskq.web.access import SCOPES
from taskq.web.api import OPERATIONS
from taskq.web.app import BODY_LIMIT
from taskq.web.operations import PREFIX, Operation
from web_client import client, client_of, house, make_token

API = "/api/v1"


def url(operation: Operation) -> str:
    """The path of an operation, its parameters filled in."""
    path = operation.path.replace("{id:uuid}", str(uuid4())).replace("{name:path}", "nightly")
    assert "{" not in path
    return PREFIX + path


async def test_each_operation_is_refused_without_its_scope(dsn: str) -> None:
    async with house(dsn) as opened:
        for scope in SCOPES:
            others = [other for other in SCOPES if other != scope]
            token = await make_token(dsn, f"all but {scope}", *others)
            async with client_of(opened, token) as http:
                for operation in OPERATIONS:
                    if operation.scope == scope:
                        answer = await http.request(operation.method, url(operation))
                        assert answer.status_code == 403, operation.name
                        assert scope in answer.json()["detail"]


async def test_who_shows_no_token_gets_nothing_once_there_is_one(dsn: str) -> None:
    await make_token(dsn, "somebody", "read")
    async with client(dsn, "tq_wrong") as http:
        for operation in OPERATIONS:
            assert (await http.request(operation.method, url(operation))).status_code == 401, operation.name


@pytest.fixture
async def http(dsn: str) -> AsyncIterator:
    async with client(dsn) as opened:
        yield opened


async def test_a_body_that_is_too_large_is_refused_however_it_comes(http) -> None:
    text = b'{"role": "resize", "payload": {"text": "' + b"x" * BODY_LIMIT + b'"}}'

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(text), 1_000_000):
            yield text[at : at + 1_000_000]

    for content in (text, pieces()):
        answer = await http.post(
            f"{API}/tasks", content=content, headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert answer.json()["status"] == 413


async def test_a_form_that_is_too_large_is_refused_by_a_page(http) -> None:
    answer = await http.post("/new", data={"role": "x" * BODY_LIMIT})
    assert answer.status_code == 413 and "<h1>" in answer.text


async def test_a_graph_of_thousands_fits(http) -> None:
    tasks = [{"role": "resize", "id": "0", "payload": {"text": "x" * 500}}]
    tasks += [{"role": "resize", "id": str(n), "depends_on": [str(n - 1)]} for n in range(1, 5000)]
    answer = await http.post(f"{API}/tasks/graph", json={"tasks": tasks}, timeout=60)
    assert answer.status_code == 201 and len(answer.json()["tasks"]) == 5000


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"role": "a"}', "text/plain", 415),
        (b'{"role": "a"}', None, 415),
        (b"{", "application/json", 400),
        (b'{"role": "\xff"}', "application/json", 400),
        (b'{"role": "\\ud800"}', "application/json", 400),
        (b'{"role": "a", "payload": {"a": ' + b"[" * 100_000, "application/json", 400),
        (b"[" * 100_000, "application/json", 422),
        (b'{"role": "a"}', "Application/JSON; charset=utf-8", 201),
        (b"", None, 422),
    ],
)
async def test_a_body_is_json_and_says_so(http, content: bytes, kind: str | None, status: int) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = await http.post(f"{API}/tasks", content=content, headers=headers)
    assert answer.status_code == status, answer.text


async def test_a_wrong_method_is_told_the_right_ones(http) -> None:
    answer = await http.patch(f"{API}/tasks")
    assert answer.status_code == 405 and answer.json()["status"] == 405
    assert {"GET", "POST"} <= {name.strip() for name in answer.headers["allow"].split(",")}
