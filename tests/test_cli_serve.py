"""taskq serve as a process: where it listens, when it refuses to, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2
import pytest

from cli_runner import Taskq, finish
from mission_control import free_port, serving
from support import eventually
from taskq import Queue
from web_client import make_token


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


@asynccontextmanager
async def started(taskq: Taskq, *options: str) -> AsyncIterator[str]:
    """A server; yields the URL that it says."""
    process = await taskq.start("serve", "--port", "0", *options)
    assert process.stdout is not None
    try:
        said = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert said.startswith("Mission Control: http://"), (said, await process.communicate())
        yield said.split()[-1]
    finally:
        if process.returncode is None:
            process.terminate()
        code, _, said = await finish(process)
        assert (code, said) == (0, "")


@pytest.mark.parametrize("options", [("--host", "0.0.0.0"), ("--public-host", "tasks.example.com")])
async def test_where_others_could_reach_it_there_must_be_a_token(
    taskq: Taskq, dsn: str, db: asyncpg.Connection, options: tuple[str, ...]
) -> None:
    said = await taskq.error("serve", "--port", "0", *options, code=2)
    assert "taskq token create" in said and said.count("\n") == 1
    token = await make_token(dsn, "ci", "read")
    async with started(taskq, *options) as url, httpx2.AsyncClient() as http:
        url = url.replace("0.0.0.0", "127.0.0.1")
        assert (await http.get(url)).headers["location"] == "/login?next=%2F"
        found = await http.get(f"{url}api/v1/openapi.json", headers={"Authorization": f"Bearer {token}"})
        assert found.status_code == 200
        found = await http.get(url, headers={"Host": "evil.example"})
        assert found.status_code == 421
        found = await http.get(url, headers={"Host": "tasks.example.com"})
        assert found.status_code == (303 if "tasks.example.com" in options else 421)
        await db.execute("select taskq.revoke_token('ci')")

        async def is_shut() -> bool:
            return (await http.get(url, headers={"Authorization": f"Bearer {token}"})).status_code == 401

        await eventually(is_shut)
        assert (await http.get(url)).status_code == 303  # without any token it is open to nobody
    said = await taskq.error("serve", "--port", "0", *options, code=2)
    assert "taskq token create" in said


async def test_on_this_machine_it_needs_no_token(taskq: Taskq) -> None:
    async with started(taskq, "--host", "localhost") as url, httpx2.AsyncClient() as http:
        assert (await http.get(url)).status_code == 200
        assert (await http.get(url, headers={"X-Forwarded-For": "192.0.2.7"})).status_code == 303


async def test_sigterm_ends_it_within_seconds_although_streams_are_open(dsn: str) -> None:
    async with (
        serving(dsn) as control,
        httpx2.AsyncClient(base_url=control.url, timeout=30) as http,
        http.stream("GET", "/live?topic=overview") as stream,
    ):
        assert stream.status_code == 200
        assert await anext(stream.aiter_lines())
        began = time.monotonic()
        code = await control.stop()
        assert (code, time.monotonic() - began < 3) == (0, True)


async def test_a_stream_ends_soon_after_its_token_was_revoked(
    dsn: str, db: asyncpg.Connection, queue: Queue
) -> None:
    token, kept = await make_token(dsn, "ci", "read"), await make_token(dsn, "kept", "read")
    async with serving(dsn) as control, httpx2.AsyncClient(base_url=control.url, timeout=30) as http:

        async def listen(path: str, secret: str) -> None:
            async with http.stream("GET", path, headers={"Authorization": f"Bearer {secret}"}) as stream:
                assert stream.status_code == 200
                heard.add(path)
                async for _ in stream.aiter_lines():
                    pass

        heard: set[str] = set()
        paths = ("/live?topic=overview", "/api/v1/events")
        ended = [asyncio.ensure_future(listen(path, token)) for path in paths]
        stays = asyncio.ensure_future(listen("/live?topic=tasks", kept))
        await eventually(lambda: len(heard) == 3)
        await db.execute("select taskq.revoke_token('ci')")
        await asyncio.wait_for(asyncio.gather(*ended), 8)
        assert not stays.done()
        stays.cancel()


async def test_a_port_that_is_taken_is_one_error(taskq: Taskq) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = await taskq.error("serve", "--port", port, code=2)
    assert said == (
        f"taskq: cannot listen at 127.0.0.1, port {port}: another program does; stop it, or choose"
        " another port with --port\n"
    )


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid", "a" * 300, "\u00e4..b"])
async def test_a_host_that_is_not_here_is_one_error(taskq: Taskq, host: str) -> None:
    said = await taskq.error("serve", "--host", host, "--port", "0", code=2)
    assert said.startswith(f"taskq: cannot listen at {host}, port 0: ") and said.count("\n") == 1


@pytest.mark.parametrize("name", ["https://tasks.example.com", "tasks.example.com:443", "*", ""])
async def test_a_public_host_is_a_name(taskq: Taskq, name: str) -> None:
    assert "is no host" in await taskq.error("serve", "--public-host", name, code=2)


async def test_a_database_that_is_away_at_the_start_is_one_error() -> None:
    taskq = Taskq(f"postgresql://taskq@127.0.0.1:{free_port()}/taskq")
    said = await taskq.error("serve", "--port", "0", code=5)
    assert "Connect call failed" in said and said.count("\n") == 1


async def test_a_database_is_migrated_by_nobody_but_taskq_migrate(databases) -> None:
    async with databases.database() as empty:
        assert "run: taskq migrate" in await Taskq(empty).error("serve", "--port", "0", code=5)


async def test_functions_of_another_version_are_told_of(taskq: Taskq, db: asyncpg.Connection) -> None:
    await db.execute("update taskq.laid set digest = 'another'")
    process = await taskq.start("serve", "--port", "0")
    assert process.stdout is not None
    assert b"Mission Control" in await process.stdout.readline()
    process.terminate()
    _, _, said = await finish(process)
    assert "functions of another version; run: taskq migrate" in said
