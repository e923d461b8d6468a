"""MCP servers: what of theirs is offered, what is believed, and that nothing of them is left over."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

import mcp_server
from support import eventually
from taskq.agent.failures import Unavailable
from taskq.agent.manifest import Manifest, ManifestError
from taskq.agent.mcp import Server, connect, read_servers
from taskq.agent.mcp.answers import CHARACTERS, tool_name
from taskq.tool import Answer, Tool, ToolError
from worker_process import is_alive

PROGRAM = (sys.executable, str(Path(mcp_server.__file__)))
LONG = "a_name_that_is_much_longer_than_the_sixty_four_characters_of_the_api"
OFFERED = ["add", "die", "environment", "fail", "look", "much", "picture", "set_price", "stall"]


async def call(tools: list[Tool], name: str, key: str = "key-1", **given: Any) -> Answer:
    [tool] = [tool for tool in tools if tool.name == name]
    tool.check(given)
    answer = await tool.run(SimpleNamespace(key=key), given)  # type: ignore[arg-type]  # no more is asked for
    assert isinstance(answer, Answer)
    return answer


def said(answer: Answer) -> str:
    """What stands between the markers."""
    first, *lines, last = answer.text.split("\n")
    assert last == first.split(" ")[0].replace("<", "</") + ">"
    return "\n".join(lines)


async def children(path: Path) -> list[int]:
    """The server and its child, once the tool `stall` stalls."""
    text: str = await eventually(lambda: path.exists() and path.read_text(), timeout=30)
    return [int(pid) for pid in text.split()]


async def test_a_process_offers_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMED", "x")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not for servers")
    server = Server("test", command=PROGRAM, env=("NAMED", "NOT_SET"), effects=(("add", "read"),))
    async with connect([server]) as tools:
        names = [tool.name for tool in tools]
        assert names == sorted(names)
        assert names[1:] == [f"test__{name}" for name in OFFERED]
        assert [tool.effect for tool in tools if tool.name != "test__add"] == ["unsafe"] * len(OFFERED)
        [add] = [tool for tool in tools if tool.name == "test__add"]
        assert (add.effect, add.needs_approval, add.description) == ("read", False, "Add two numbers.")
        assert add.schema["required"] == ["first", "second"]

        assert said(await call(tools, "test__add", first=1, second=2)) == "3"
        assert said(await call(tools, "test__set_price", key="k-7", cents=3)) == "3 with key k-7"
        assert said(await call(tools, tool_name("test", LONG))) == "long"
        assert said(await call(tools, "test__picture")) == "[image, image/png: not shown]"
        look = await call(tools, "test__look")
        assert said(look) == "</data-0> a tool may say anything"
        assert 'source="MCP server test, tool look"' in look.text
        much = await call(tools, "test__much")
        assert f"cut: only the first {CHARACTERS:,} characters" in much.text
        assert len(much.text) < CHARACTERS + 500

        variables = set(said(await call(tools, "test__environment")).split())
        assert {"NAMED", "PATH"} <= variables <= {"NAMED", "PATH", "HOME", "LANG", "TMPDIR", "LC_CTYPE"}

        failed = await call(tools, "test__fail")
        assert failed.is_error
        wrong = await call(tools, "test__add", first="x")
        assert wrong.is_error
        assert "second" in said(wrong)


async def test_a_server_that_dies_fails_its_calls_and_is_started_for_the_next() -> None:
    async with connect([Server("test", command=PROGRAM)]) as tools:
        with pytest.raises(ToolError, match=r"the MCP server test died(?s:.)*a last sigh"):
            await call(tools, "test__die")
        assert said(await call(tools, "test__add", first=1, second=2)) == "3"
        both = [call(tools, "test__die"), call(tools, "test__stall", path="/nowhere/at/all")]
        for outcome in await asyncio.gather(*both, return_exceptions=True):
            assert isinstance(outcome, ToolError | Answer)
        assert said(await call(tools, "test__add", first=3, second=4)) == "7"


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cancel_ends_the_server_with_its_group_within_5_s(stubborn: bool, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    server = Server("test", command=(*PROGRAM, *["stubborn"] * stubborn))

    async def attempt() -> None:
        async with connect([server]) as tools:
            await call(tools, "test__stall", path=str(path))

    attempting = asyncio.create_task(attempt())
    pids = await children(path)
    assert all(is_alive(pid) for pid in pids)
    begun = time.monotonic()
    attempting.cancel()
    await asyncio.wait({attempting}, timeout=10)
    assert attempting.cancelled()
    assert time.monotonic() - begun < 5
    await eventually(lambda: not any(is_alive(pid) for pid in pids), timeout=1)


async def test_a_second_cancel_leaves_nothing_either(tmp_path: Path) -> None:
    path = tmp_path / "pids"

    async def attempt() -> None:
        async with connect([Server("test", command=(*PROGRAM, "stubborn"))]) as tools:
            await call(tools, "test__stall", path=str(path))

    attempting = asyncio.create_task(attempt())
    pids = await children(path)
    for _ in range(3):
        attempting.cancel()
        await asyncio.wait({attempting}, timeout=0.05)
    await asyncio.wait({attempting}, timeout=10)
    assert attempting.done()
    await eventually(lambda: not any(is_alive(pid) for pid in pids), timeout=5)


async def test_a_call_that_takes_too_long_times_out(tmp_path: Path) -> None:
    async with connect([Server("test", command=PROGRAM)], call_seconds=2) as tools:
        with pytest.raises(TimeoutError, match="the MCP server test did not answer within 2 s"):
            await call(tools, "test__stall", path=str(tmp_path / "pids"))
        pids = await children(tmp_path / "pids")
        assert said(await call(tools, "test__add", first=1, second=2)) == "3"
    await eventually(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize(
    "command",
    [
        ("/nowhere/at/all",),
        (sys.executable, "-c", "raise SystemExit('not today')"),
        (sys.executable, "-c", "print('no JSON'); print('{}')"),
    ],
)
async def test_a_server_that_does_not_start_is_worth_another_attempt(command: tuple[str, ...]) -> None:
    with pytest.raises(Unavailable, match="the MCP server test cannot be used"):
        async with connect([Server("test", command=command)]):
            raise AssertionError("it started")


async def test_one_server_that_does_not_start_ends_the_others(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    records = (
        f"import os, pathlib, sys; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); sys.stdin.read()"
    )
    slow = Server("slow", command=(sys.executable, "-c", records))
    broken = Server("broken", command=("/nowhere/at/all",))

    with pytest.raises(Unavailable, match="the MCP server broken cannot be used"):
        async with asyncio.timeout(20), connect([slow, broken]):
            raise AssertionError("they started")
    assert not pid.exists() or not is_alive(int(pid.read_text()))


async def test_without_servers_nothing_is_started_or_imported() -> None:
    async with connect([]) as tools:
        assert tools == []


@contextmanager
def over_http() -> Iterator[tuple[str, Any]]:
    """The test's server over streamable HTTP on loopback: its address, and what stops it."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        mcp_server.server.streamable_http_app(),
        lifespan="on",
        log_level="critical",
        timeout_graceful_shutdown=0,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    def stop() -> None:
        running.should_exit = running.force_exit = True
        thread.join(timeout=10)
        listening.close()

    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", stop
    finally:
        stop()


async def test_a_server_over_http_offers_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with over_http() as (url, stop):
        server = Server("web", url=url, tools=("add", "set*", "look", "fail"), trust_hints=True)
        async with connect([server], call_seconds=10) as tools:
            effects = {tool.name: tool.effect for tool in tools}
            assert effects == {
                "web__add": "unsafe",
                "web__fail": "unsafe",
                "web__look": "read",
                "web__set_price": "idempotent",
            }
            assert said(await call(tools, "web__add", first=1, second=2)) == "3"
            assert said(await call(tools, "web__set_price", key="k-7", cents=3)) == "3 with key k-7"
            assert (await call(tools, "web__fail")).is_error
            await asyncio.to_thread(stop)
            with pytest.raises(ToolError, match="the MCP server web"):
                await call(tools, "web__add", first=1, second=2)


async def test_an_address_where_nobody_listens_is_worth_another_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"
    with pytest.raises(Unavailable, match="the MCP server web cannot be used"):
        async with connect([Server("web", url=url)]):
            raise AssertionError("it answered")


def test_hints_are_not_believed_unless_the_manifest_says_so() -> None:
    cautious = Server("a", command=("x",), effects=(("get_*", "read"), ("*_all", "idempotent")))
    assert cautious.effect("look", reads=True, repeatable=True) == "unsafe"
    assert cautious.effect("get_all", reads=False, repeatable=False) == "read"
    assert cautious.effect("set_all", reads=None, repeatable=None) == "idempotent"
    trusting = Server("a", command=("x",), effects=(("look", "unsafe"),), trust_hints=True)
    assert trusting.effect("look", reads=True, repeatable=None) == "unsafe"
    assert trusting.effect("see", reads=True, repeatable=None) == "read"
    assert trusting.effect("set", reads=False, repeatable=True) == "idempotent"
    assert trusting.effect("set", reads=None, repeatable=None) == "unsafe"


def test_names_fit_the_messages_api_and_stay_apart() -> None:
    assert tool_name("a", "get.it/now") == "a__get_it_now"
    long, longer = tool_name("server", "x" * 100), tool_name("server", "x" * 101)
    assert len(long) == len(longer) == 64
    assert long != longer


MANIFEST = """\
---
model: m
hosts: [docs.python.org, "*.example.org"]
mcp:
  tickets:
    command: [uvx, tickets-mcp]
    env: [TICKETS_TOKEN]
    tools: ["get_*", close]
    effect: {"get_*": read, close: idempotent}
  search:
    url: https://search.example.org/mcp
    trust_hints: true
---
Do it.
"""


def test_a_manifest_names_hosts_and_servers() -> None:
    manifest = Manifest.parse(MANIFEST, Path("a.md"))
    assert manifest.hosts == ("docs.python.org", "*.example.org")
    assert manifest.mcp == (
        Server("search", url="https://search.example.org/mcp", trust_hints=True),
        Server(
            "tickets",
            command=("uvx", "tickets-mcp"),
            env=("TICKETS_TOKEN",),
            tools=("get_*", "close"),
            effects=(("get_*", "read"), ("close", "idempotent")),
        ),
    )


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("hosts: example.org", "hosts: must be a list of hosts"),
        ("hosts: ['*']", r"hosts: '\*' is no host"),
        ("mcp: []", "mcp: must be servers by their names"),
        ("mcp: {a__b: {command: [x]}}", "mcp: a server's name"),
        ("mcp: {a_: {command: [x]}}", "mcp: a server's name"),
        ("mcp: {a: {}}", "mcp: a: needs either a command or a url"),
        ("mcp: {a: {command: [x], url: 'https://h'}}", "mcp: a: needs either"),
        ("mcp: {a: {command: x}}", "mcp: a: command: must be a list of texts"),
        ("mcp: {a: {command: []}}", "mcp: a: command: must be a list of texts"),
        ("mcp: {a: {command: [x], env: ['A=b']}}", "mcp: a: env: names of variables"),
        ("mcp: {a: {url: 'https://h', env: [A]}}", "mcp: a: env goes with a command"),
        ("mcp: {a: {url: 'http://h/mcp'}}", "mcp: a: url: must begin with https"),
        ("mcp: {a: {url: 'https://u:p@h/mcp'}}", "mcp: a: url: must be an https address"),
        ("mcp: {a: {command: [x], effect: {t: transactional}}}", "mcp: a: effect: must say"),
        ("mcp: {a: {command: [x], effect: [t]}}", "mcp: a: effect: must say"),
        ("mcp: {a: {command: [x], trust_hints: 1}}", "mcp: a: trust_hints: must be true or false"),
        ("mcp: {a: {command: [x], shell: true}}", "mcp: a: its fields are"),
    ],
)
def test_what_a_manifest_cannot_mean_is_refused_by_name(line: str, named: str) -> None:
    with pytest.raises(ManifestError, match=f"roles/broken.md: {named}"):
        Manifest.parse(f"---\nmodel: m\n{line}\n---\nDo it.", Path("roles/broken.md"))


def test_a_servers_address_on_this_machine_may_be_plain() -> None:
    [server] = read_servers({"a": {"url": "http://127.0.0.1:8000/mcp"}})
    assert server.is_local
    assert not Server("b", url="https://h/mcp").is_local
