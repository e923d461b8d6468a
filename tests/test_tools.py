"""The tools of agents: what they show, where they are stopped, and who may call them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from taskq.agent import files, search
from taskq.agent import grep as grep_tool
from taskq.agent.jail import Jail
from taskq.agent.tools import TOOLS
from taskq.agent.workspace import Workspace
from taskq.task import Task
from taskq.tool import Refused, ToolCall, ToolError

SECRET = "the secret of the outside"


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A directory with a few files, next to a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(SECRET)
    inside = tmp_path / "inside"
    (inside / "sql").mkdir(parents=True)
    (inside / "README.md").write_text("# A title\n\nSome words.\n")
    (inside / "sql" / "tables.sql").write_text("create table tasks (\n  id uuid\n);\n")
    return inside


async def call(directory: Path, name: str, **arguments: Any) -> tuple[str, bool]:
    """What a tool answers, and whether it is an error."""
    context = ToolCall(task=Task(), key="key", workspace=Workspace(directory, writable=False))
    try:
        answer = await TOOLS[name].run(context, arguments)
    except (Refused, ToolError) as error:
        return str(error), True
    assert isinstance(answer, str)
    return answer, False


# What the tools show


async def test_list_dir_names_directories_files_and_sizes(inside: Path) -> None:
    answer, failed = await call(inside, "list_dir")
    assert not failed
    assert answer == ".: 2 entries\nREADME.md (23 bytes)\nsql/"


async def test_read_file_says_which_lines_of_how_many(inside: Path) -> None:
    answer, _ = await call(inside, "read_file", path="sql/tables.sql")
    assert answer == "sql/tables.sql: lines 1-3 of 3\ncreate table tasks (\n  id uuid\n);"


async def test_read_file_reads_on_from_a_line(inside: Path) -> None:
    answer, _ = await call(inside, "read_file", path="sql/tables.sql", offset=2, limit=1)
    assert answer == "sql/tables.sql: lines 2-2 of 3\n  id uuid\n[cut: read on with offset=3]"


async def test_read_file_past_the_end_says_how_long_the_file_is(inside: Path) -> None:
    answer, failed = await call(inside, "read_file", path="README.md", offset=9)
    assert failed
    assert "has 3 lines" in answer


async def test_an_empty_file_is_called_empty(inside: Path) -> None:
    (inside / "empty").touch()
    assert await call(inside, "read_file", path="empty") == ("empty: empty", False)


async def test_grep_finds_lines_with_file_and_number(inside: Path) -> None:
    answer, _ = await call(inside, "grep", pattern=r"create\s+table")
    assert answer.endswith("2 files\nsql/tables.sql:1: create table tasks (")


async def test_grep_below_a_directory_gives_paths_that_read_file_takes(inside: Path) -> None:
    answer, _ = await call(inside, "grep", pattern="UUID", path="sql", ignore_case=True)
    assert "sql/tables.sql:2:   id uuid" in answer
    answer, _ = await call(inside, "grep", pattern="uuid", path="sql/tables.sql")
    assert "sql/tables.sql:2:   id uuid" in answer


async def test_grep_keeps_to_the_glob(inside: Path) -> None:
    assert (await call(inside, "grep", pattern="t", glob="*.md"))[0].count("\n") == 1
    assert (await call(inside, "grep", pattern="t", glob="sql/*"))[0].startswith("1 matching lines")


async def test_grep_passes_over_hidden_directories_and_binary_files(inside: Path) -> None:
    (inside / ".git").mkdir()
    (inside / ".git" / "config").write_text("needle")
    (inside / "image").write_bytes(b"needle\0needle")
    assert (await call(inside, "grep", pattern="needle"))[0].startswith("0 matching lines")


# Where they are stopped


ESCAPES = [
    "/etc/passwd",
    "//etc/passwd",
    "..",
    "../outside/secret.txt",
    "sql/../../outside/secret.txt",
    "sql/..",
    "link_file",
    "link_dir",
    "link_dir/secret.txt",
    "link_inside/tables.sql",
    "link_absolute/passwd",
    "link_up/outside/secret.txt",
    "a\0b",
    "bad\udcff",
    "x" * 5000,
    "missing.txt",
    "README.md/x",
]


@pytest.mark.parametrize("tool", ["read_file", "list_dir", "grep"])
@pytest.mark.parametrize("path", ESCAPES, ids=ascii)
async def test_no_path_leads_out(inside: Path, tool: str, path: str) -> None:
    (inside / "link_file").symlink_to("../outside/secret.txt")
    (inside / "link_dir").symlink_to("../outside")
    (inside / "link_inside").symlink_to("sql")
    (inside / "link_absolute").symlink_to("/etc")
    (inside / "link_up").symlink_to("..")
    pattern = {"pattern": "."} if tool == "grep" else {}
    answer, failed = await call(inside, tool, path=path, **pattern)
    assert failed
    assert SECRET not in answer
    assert "root:" not in answer


async def test_a_link_is_called_a_link(inside: Path) -> None:
    (inside / "link").symlink_to("../outside")
    assert "symbolic link" in (await call(inside, "read_file", path="link/secret.txt"))[0]
    assert "symbolic link" in (await call(inside, "list_dir", path="link"))[0]
    assert "link (a link" in (await call(inside, "list_dir"))[0]


async def test_grep_follows_no_links(inside: Path) -> None:
    (inside / "link_file").symlink_to("../outside/secret.txt")
    (inside / "link_dir").symlink_to("../outside")
    assert SECRET not in (await call(inside, "grep", pattern="secret"))[0]


# Linux exchanges two names in one step, so that no look at them finds neither.
SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
exchange = getattr(ctypes.CDLL(None), "renameat2", None)
while True:
    if exchange is not None:
        exchange(-100, b"sub", -100, b"link", 2)
    else:
        os.rename("sub", "real"); os.rename("link", "sub")
        os.rename("sub", "link"); os.rename("real", "sub")
"""


def test_a_directory_that_is_swapped_for_a_link_never_leads_out(inside: Path) -> None:
    """Another process swaps `sub` between a directory and a link to the outside, as fast as it can."""
    (inside / "sub").mkdir()
    (inside / "sub" / "secret.txt").write_text("harmless")
    (inside / "link").symlink_to("../outside")
    jail, answers, links = Jail(inside), 0, 0
    deadline = time.monotonic() + 20
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", SWAP, str(inside)]) as swapper:
        try:
            while (answers < 5000 or links < 5000) and time.monotonic() < deadline:
                try:
                    answer = files.read_file(jail, "sub/secret.txt", 1, 10)
                except (Refused, ToolError) as refusal:
                    links += "link" in str(refusal)
                else:
                    answers += 1
                    assert "harmless" in answer
        finally:
            swapper.kill()
    assert answers
    assert links


async def test_pipes_and_sockets_are_refused_without_waiting(inside: Path) -> None:
    os.mkfifo(inside / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(inside / "socket"))
        async with asyncio.timeout(5):
            for name in ("pipe", "socket"):
                assert (await call(inside, "read_file", path=name))[1]
                assert (await call(inside, "grep", path=name, pattern="x"))[1]
            assert not (await call(inside, "grep", pattern="x"))[1]


async def test_a_relative_directory_starts_at_the_working_directory(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inside.parent)
    assert "README.md" in (await call(Path("inside"), "list_dir"))[0]


async def test_a_link_in_the_declared_directory_itself_is_the_tasks_business(inside: Path) -> None:
    (inside.parent / "alias").symlink_to("inside")
    assert "README.md" in (await call(inside.parent / "alias", "list_dir"))[0]


# Caps


async def test_a_long_file_is_cut_with_a_note(inside: Path) -> None:
    (inside / "long").write_text("".join(f"line {n}\n" for n in range(5000)))
    answer, _ = await call(inside, "read_file", path="long", limit=files.READ_LINES)
    assert answer.startswith(f"long: lines 1-{files.READ_LINES} of 5000\n")
    assert answer.endswith(f"[cut: read on with offset={files.READ_LINES + 1}]")


async def test_wide_lines_are_cut_by_bytes_with_a_note(inside: Path) -> None:
    (inside / "wide").write_text("".join("é" * 1900 + "\n" for _ in range(100)))
    answer, _ = await call(inside, "read_file", path="wide")
    assert len(answer.encode()) < files.READ_BYTES + 1000
    assert "[cut: read on with offset=" in answer


async def test_one_endless_line_is_cut_with_a_note(inside: Path) -> None:
    (inside / "endless").write_text("x" * 3_000_000)
    answer, _ = await call(inside, "read_file", path="endless")
    assert len(answer) < files.LINE_CHARACTERS + 200
    assert "more characters in this line" in answer


async def test_only_the_beginning_of_a_huge_file_is_read(inside: Path) -> None:
    (inside / "huge").write_text(("x" * 99 + "\n") * (files.SCAN_BYTES // 100 + 1000))
    answer, _ = await call(inside, "read_file", path="huge", offset=files.SCAN_BYTES // 100 - 1)
    assert "of more than" in answer
    assert "[cut: only the first 8 MB" in answer


async def test_a_binary_file_is_refused_politely(inside: Path) -> None:
    (inside / "image.png").write_bytes(b"\x89PNG\0\0")
    answer, failed = await call(inside, "read_file", path="image.png")
    assert failed
    assert "binary file (6 bytes)" in answer


async def test_bytes_that_are_no_utf8_are_replaced(inside: Path) -> None:
    (inside / "latin").write_bytes(b"caf\xe9\n")
    assert "caf�" in (await call(inside, "read_file", path="latin"))[0]


async def test_a_full_directory_is_cut_with_a_note(inside: Path) -> None:
    full = inside / "full"
    full.mkdir()
    for n in range(files.LIST_ENTRIES * 21):
        (full / f"{n:06}").touch()
    answer, _ = await call(inside, "list_dir", path="full")
    assert answer.startswith(f"full: {files.LIST_ENTRIES * 21} entries\n000000 ")
    assert f"\n{files.LIST_ENTRIES - 1:06} " in answer
    assert answer.endswith(
        f"[cut: {files.LIST_ENTRIES * 20} of {files.LIST_ENTRIES * 21} entries are not shown]"
    )


async def test_many_matches_are_counted_and_cut_with_a_note(inside: Path) -> None:
    (inside / "many").write_text("needle\n" * 1000)
    answer, _ = await call(inside, "grep", pattern="needle")
    assert answer.startswith("1000 matching lines")
    assert answer.count("many:") == grep_tool.MATCHES
    assert answer.endswith("[cut: 800 of 1000 lines are not shown]")


async def test_a_pattern_that_explodes_is_killed_and_the_loop_goes_on(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grep_tool, "SECONDS", 1.0)
    (inside / "bait").write_text("a" * 60 + "!\n")
    searching = asyncio.create_task(call(inside, "grep", pattern="(a+)+$"))
    started = time.monotonic()
    longest = 0.0
    while not searching.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    answer, failed = await searching
    assert failed
    assert "too much time" in answer
    assert time.monotonic() - started < 10
    assert longest < 0.5


async def test_a_pattern_that_is_none_is_refused_with_the_reason(inside: Path) -> None:
    answer, failed = await call(inside, "grep", pattern="(")
    assert failed
    assert "no regular expression" in answer


def test_the_search_program_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(search.__file__)],
        input=b'{"pattern": "(", "ignore_case": false}',
        capture_output=True,
        check=True,
    )
    assert b"no regular expression" in done.stdout


# What they take


async def test_submit_result_ends_the_task_and_is_never_run(inside: Path) -> None:
    assert await call(inside, "submit_result", summary="x") == (
        "submit_result: ends the task and must be called alone",
        True,
    )
    submit = TOOLS["submit_result"]
    submit.check({"summary": "x", "risks": ["further fields are allowed"]})
    with pytest.raises(ToolError, match="summary"):
        submit.check({"summary": ""})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"path": 3}, "$.path"),
        ({}, "path"),
        ({"path": "README.md", "lines": 3}, "lines"),
        ({"path": "README.md", "offset": 0}, "$.offset"),
        ({"path": "README.md", "limit": 10**9}, "$.limit"),
    ],
)
async def test_wrong_input_is_told_to_the_model(inside: Path, arguments: dict[str, Any], named: str) -> None:
    answer, failed = await call(inside, "read_file", **arguments)
    assert failed
    assert named in answer


def test_every_tool_describes_itself() -> None:
    for offer in [tool.offer() for tool in TOOLS.values()]:
        assert offer.keys() == {"name", "description", "input_schema"}
        assert offer["input_schema"]["type"] == "object"
        assert len(offer["description"]) > 30
