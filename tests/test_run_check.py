"""`run_check`: the operator's commands and nothing else; nothing that they start outlives them."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support import eventually
from taskq.agent.commands import Command
from taskq.agent.manifest import Manifest, ManifestError
from taskq.agent.run_check import OUTPUT_BYTES, Ended, run_check, run_command
from taskq.agent.workspace import Workspace
from taskq.task import Task
from taskq.tool import Answer, Refused, ToolCall, ToolError

LINUX = sys.platform == "linux"


def python(program: str, **fields: Any) -> Command:
    return Command(argv=(sys.executable, "-I", "-S", "-c", program), **fields)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "space").mkdir()
    return Workspace(tmp_path / "space", writable=True)


@pytest.fixture
async def mark() -> AsyncIterator[str]:
    """A word in the command line of whatever a test starts; nothing of it may be left."""
    mark = uuid4().hex
    yield mark
    left = pids(mark)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left


def pids(mark: str) -> list[int]:
    """The processes with the mark in their command line that are no zombies."""
    done = subprocess.run(["ps", "-axwwo", "pid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in done.stdout.splitlines() if mark in line]
    return [int(pid) for pid, state, _ in rows if not state.startswith("Z")]


async def check(workspace: Workspace | None, command: Command, **given: Any) -> Answer:
    tool = run_check({"unit": command})
    call = ToolCall(task=Task(), key="k", workspace=workspace)
    answer = await tool.run(call, {"check": "unit", **given})
    assert isinstance(answer, Answer)
    return answer


# What it says


async def test_a_check_that_passes_says_so_and_what_it_said(workspace: Workspace) -> None:
    answer = await check(workspace, python("print('3 passed')"))
    assert answer.text.startswith("unit: passed (exit code 0, ")
    assert answer.text.endswith("s)\n3 passed")
    assert not answer.is_error


async def test_a_check_that_fails_is_an_error_with_what_it_said(workspace: Workspace) -> None:
    answer = await check(workspace, python("import sys; print('no', file=sys.stderr); sys.exit(3)"))
    assert answer.is_error
    assert "failed (exit code 3" in answer.text
    assert answer.text.endswith("\nno")


async def test_a_check_that_is_killed_names_the_signal(workspace: Workspace) -> None:
    answer = await check(workspace, python("import os; os.abort()"))
    assert answer.is_error
    assert "killed by signal 6" in answer.text


async def test_a_program_that_is_not_there_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(ToolError, match="no such file"):
        await check(workspace, Command(argv=("no-such-program",)))


async def test_long_output_keeps_its_head_and_its_tail(workspace: Workspace) -> None:
    answer = await check(workspace, python("print('first'); print('x\\n' * 10_000_000); print('last')"))
    assert len(answer.text) < OUTPUT_BYTES + 200
    assert "\nfirst\nx" in answer.text
    assert answer.text.endswith("\nlast")
    assert "bytes are not shown]" in answer.text


async def test_output_that_is_no_text_is_shown_all_the_same(workspace: Workspace) -> None:
    answer = await check(workspace, python("import os; os.write(1, b'caf\\xe9')"))
    assert answer.text.endswith("caf�")


# What it gets


async def test_it_runs_in_the_workspace_with_an_environment_from_the_list(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("NOT_SET", raising=False)
    program = "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    answer = await check(workspace, python(program, env=("CI", "NOT_SET")))
    directory, environment = json.loads(answer.text.partition("\n")[2])
    assert directory == str(workspace.directory)
    environment.pop("LC_CTYPE", None)  # Python's own doing
    assert environment == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": directory,
        "CI": "true",
    }


async def test_it_reads_nothing_from_the_worker_and_leads_a_session(workspace: Workspace) -> None:
    program = "import os, sys; print([sys.stdin.read(), os.getsid(0) == os.getpid(), os.listdir('/dev/fd')])"
    answer = await check(workspace, python(program))
    stdin, leads, descriptors = eval(answer.text.partition("\n")[2])
    assert (stdin, leads) == ("", True)
    assert len(descriptors) <= 4  # the three, and the one that lists


async def test_it_is_limited(workspace: Workspace) -> None:
    program = "import resource; print([resource.getrlimit(getattr(resource, 'RLIMIT_' + n))[0] for n in %r])"
    names = ["CPU", "FSIZE", "CORE", *(["AS"] if LINUX else [])]
    answer = await check(workspace, python(program % (names,), timeout=7, memory=512))
    limits = eval(answer.text.partition("\n")[2])
    assert limits[:3] == [8, 256 * 1024 * 1024, 0]
    assert limits[3:] == ([512 * 1024 * 1024] if LINUX else [])
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] != limits[0]


@pytest.mark.skipif(not LINUX, reason="macOS has no limit of the address space")
async def test_it_cannot_take_all_memory(workspace: Workspace) -> None:
    answer = await check(workspace, python("print('began', flush=True); bytearray(10 ** 9)", memory=256))
    assert answer.is_error
    assert "MemoryError" in answer.text


async def test_it_cannot_fill_the_disk(workspace: Workspace) -> None:
    program = "import os\nwith open('big', 'wb') as f:\n    os.truncate(f.fileno(), 10 ** 12)"
    assert (await check(workspace, python(program))).is_error
    assert (workspace.directory / "big").stat().st_size == 0


async def test_the_loop_goes_on_meanwhile(workspace: Workspace) -> None:
    running = asyncio.create_task(check(workspace, python("while True: print('x' * 1000)", timeout=1)))
    longest = 0.0
    while not running.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    with pytest.raises(TimeoutError):
        await running
    assert longest < 0.5


# Who may say what is run


TAKES = python("import sys; print(sys.argv[1:])", arguments=True)


async def test_plain_arguments_reach_a_check_that_takes_them(workspace: Workspace) -> None:
    given = ["tests/test_a.py::test_b[1-x]", "src", "a..b"]
    answer = await check(workspace, TAKES, arguments=given)
    assert eval(answer.text.partition("\n")[2]) == given


@pytest.mark.parametrize(
    "argument",
    [
        "-c",
        "--rootdir=/",
        "-",
        "/etc/passwd",
        "../outside/test_x.py",
        "src/../../x",
        "..",
        "SHELL=evil",
        "@file",
        "$(id)",
        "`id`",
        "a;id",
        "a|id",
        "a b",
        "a\nb",
        "a\0b",
        "*",
        "~root",
        "",
        "x" * 301,
    ],
    ids=ascii,
)
async def test_an_argument_that_is_more_than_a_name_is_blocked(workspace: Workspace, argument: str) -> None:
    (workspace.directory / "ran").unlink(missing_ok=True)
    command = python("open('ran', 'w')", arguments=True)
    with pytest.raises(Refused):
        await check(workspace, command, arguments=["fine", argument])
    assert not (workspace.directory / "ran").exists()


async def test_a_check_that_takes_no_arguments_is_not_given_any(workspace: Workspace) -> None:
    tool = run_check({"unit": python("pass"), "some": TAKES})
    with pytest.raises(Refused, match="unit: takes no arguments"):
        await tool.run(
            ToolCall(task=Task(), key="k", workspace=workspace), {"check": "unit", "arguments": ["x"]}
        )


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"check": "rm"}, "$.check"),
        ({}, "`check`"),
        ({"check": "unit", "argv": ["rm"]}, "`argv`"),
        ({"check": "unit", "arguments": ["x"]}, "`arguments`"),
    ],
)
async def test_the_model_names_a_check_and_nothing_more(
    workspace: Workspace, given: dict[str, Any], named: str
) -> None:
    tool = run_check({"unit": python("pass")})
    with pytest.raises(ToolError) as error:
        await tool.run(ToolCall(task=Task(), key="k", workspace=workspace), given)
    assert named in str(error.value)


async def test_a_task_without_files_runs_nothing() -> None:
    with pytest.raises(Refused, match="no files"):
        await check(None, python("pass"))


def test_the_schema_names_the_checks() -> None:
    tool = run_check(
        {"unit": Command(argv=("make", "test")), "lint": Command(argv=("ruff",), arguments=True)}
    )
    assert tool.schema["properties"]["check"] == {"enum": ["lint", "unit"]}
    assert tool.schema["properties"]["arguments"]["items"] == {"type": "string"}
    assert "unit: make test; lint (takes arguments): ruff" in tool.description
    assert "arguments" not in run_check({"unit": Command(argv=("make",))}).schema["properties"]


def test_each_check_has_the_effect_that_the_operator_declares() -> None:
    tool = run_check(
        {
            "unit": Command(argv=("a",)),
            "lint": Command(argv=("b",), effect="read"),
            "deploy": Command(argv=("c",), effect="unsafe"),
        }
    )
    assert tool.effect == "unsafe"
    assert [tool.effect_for({"check": name}) for name in ("unit", "lint", "deploy")] == [
        "idempotent",
        "read",
        "unsafe",
    ]
    assert tool.effect_for({}) == "read"  # it will be refused


# Its end

# A child, a grandchild in its group, and two more in sessions of their own; all ignore SIGTERM.
FAMILY = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
first = os.getpid()
if os.fork() == 0 and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
open("there-%d" % os.getpid(), "w")
while os.getpid() == first and len([name for name in os.listdir() if "there" in name]) < 4:
    time.sleep(0.01)
if os.getpid() == first:
    print("all are there", flush=True)
"""
FOR_EVER = FAMILY + "time.sleep(600)"
LEAVES = FAMILY + "time.sleep(0 if os.getpid() == first else 600)"
FAMILY_SIZE = 4


def family(program: str, mark: str, **fields: Any) -> Command:
    return Command(argv=(sys.executable, "-I", "-S", "-c", program, mark), **fields)


async def all_there(workspace: Workspace) -> None:
    await eventually(lambda: len(list(workspace.directory.glob("there-*"))) == FAMILY_SIZE)


@pytest.mark.skipif(not LINUX, reason="only Linux lets a process adopt what left its session")
async def test_a_late_check_is_killed_with_all_that_it_started(workspace: Workspace, mark: str) -> None:
    with pytest.raises(TimeoutError, match=r"killed after") as late:
        await check(workspace, family(FOR_EVER, mark, timeout=1.5))
    assert "all are there" in str(late.value)
    assert len(list(workspace.directory.glob("there-*"))) == FAMILY_SIZE
    assert not pids(mark)


@pytest.mark.skipif(not LINUX, reason="only Linux lets a process adopt what left its session")
async def test_a_cancelled_check_is_gone_with_all_that_it_started(workspace: Workspace, mark: str) -> None:
    running = asyncio.create_task(check(workspace, family(FOR_EVER, mark)))
    await all_there(workspace)
    assert len(pids(mark)) == FAMILY_SIZE
    cancelled = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not pids(mark)
    assert time.monotonic() - cancelled < 5


@pytest.mark.skipif(not LINUX, reason="only Linux lets a process adopt what left its session")
async def test_a_check_that_ends_leaves_nothing_behind(workspace: Workspace, mark: str) -> None:
    answer = await check(workspace, family(LEAVES, mark))
    assert "passed" in answer.text
    assert not pids(mark)


WORKER = """
import asyncio, sys
from pathlib import Path
from taskq.agent.commands import Command
from taskq.agent.run_check import run_command
from taskq.agent.workspace import Workspace
command = Command(argv=tuple(sys.argv[2:]), timeout=600)
asyncio.run(run_command(command, Workspace(Path(sys.argv[1]), writable=True)))
"""


@pytest.mark.skipif(not LINUX, reason="only Linux lets a process adopt what left its session")
async def test_a_check_ends_with_a_worker_that_is_killed(workspace: Workspace, mark: str) -> None:
    argv = family(FOR_EVER, mark).argv
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(workspace.directory), *argv, env={**os.environ}
    )
    try:
        await all_there(workspace)
    finally:
        worker.kill()
        await worker.wait()
    await eventually(lambda: not pids(mark), timeout=5)


async def test_a_check_ends_with_its_group_everywhere(workspace: Workspace, mark: str) -> None:
    program = "import os, time\nos.fork()\nopen('there-%d' % os.getpid(), 'w')\ntime.sleep(600)"
    running = asyncio.create_task(check(workspace, family(program, mark)))
    await eventually(lambda: len(list(workspace.directory.glob("there-*"))) == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not pids(mark)


async def test_many_checks_run_side_by_side(workspace: Workspace) -> None:
    program = "import sys; print(sys.argv[1])"
    ended = await asyncio.gather(
        *(run_command(python(program, arguments=True), workspace, [f"n{n}"]) for n in range(8))
    )
    assert [one.output.strip() for one in ended] == [f"n{n}" for n in range(8)]
    assert all(isinstance(one, Ended) and one.code == 0 and not one.late for one in ended)


# The manifest


def manifest(commands: str) -> Manifest:
    return Manifest.parse(f"---\nmodel: m\ncommands: {commands}\n---\nWork.\n", Path("coder.md"))


def test_a_manifest_names_its_commands() -> None:
    read = manifest(
        "{unit: {argv: [make, test], timeout: 5min, effect: read, env: [CI], arguments: true, memory: 512,"
        " description: All tests.}, lint: {argv: [ruff]}}"
    )
    assert read.commands == {
        "unit": Command(
            argv=("make", "test"),
            timeout=300,
            effect="read",
            env=("CI",),
            arguments=True,
            memory=512,
            description="All tests.",
        ),
        "lint": Command(argv=("ruff",)),
    }


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        ("[make]", "must be 'name"),
        ("{unit: make}", "unit: must have an argv"),
        ("{unit: {argv: make test}}", "unit: argv: must be a list"),
        ("{unit: {argv: []}}", "unit: argv: must be a list"),
        ("{unit: {argv: ['']}}", "unit: argv: names no program"),
        ("{unit: {argv: [make, 3]}}", "unit: argv: must be a list"),
        ("{unit: {argv: [make], shell: true}}", "unit: shell: unknown"),
        ("{unit: {argv: [make], timeout: soon}}", "unit: timeout: must be seconds"),
        ("{unit: {argv: [make], timeout: 2h}}", "at most an hour"),
        ("{unit: {argv: [make], effect: transactional}}", "unit: effect: must be"),
        ("{unit: {argv: [make], env: ['A=b']}}", "unit: env: must be"),
        ("{unit: {argv: [make], arguments: 1}}", "unit: arguments: must be true or false"),
        ("{unit: {argv: [make], memory: 1}}", "unit: memory: must be"),
        ("{'a b': {argv: [make]}}", "must be a name"),
    ],
)
def test_a_command_that_is_not_understood_is_named(commands: str, why: str) -> None:
    with pytest.raises(ManifestError) as error:
        manifest(commands)
    assert "coder.md: commands: " in str(error.value)
    assert why in str(error.value)
