"""The tool `run_check`: one of the operator's commands, run in the task's workspace.

The model names a command; program, limits and environment are the operator's.  The command ends, with all
that it started, when it is late, when the task is cancelled and when the worker dies: see guard.py.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from taskq.agent.commands import Command
from taskq.agent.workspace import Workspace, workspace_of
from taskq.settings import command_environment
from taskq.tool import Answer, Effect, Input, Refused, Tool, ToolCall, ToolError, schema_of

RUN_CHECK = "run_check"
OUTPUT_BYTES = 16 * 1024
"""How much of what a command says is kept: the head and the tail."""
ARGUMENTS = 20
"""Most arguments that the model may add."""
_PLAIN = re.compile(r"[\w.][\w./:\[\],~+-]{0,299}")
_GUARD = Path(__file__).with_name("guard.py")
_END_SECONDS = 4.0


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (minus a signal that killed it), what it said, seconds it took."""

    code: int
    output: str
    seconds: float
    late: bool


async def run_command(command: Command, workspace: Workspace, arguments: Sequence[str] = ()) -> Ended:
    """Run a command in a workspace.  When the caller is cancelled it is killed, with all that it started.

    :raises Refused: an argument is not plain.
    :raises ToolError: the program cannot be started.
    """
    check_arguments(arguments)
    directory = str(workspace.directory)
    request = {
        "argv": [*command.argv, *arguments],
        "env": {**command_environment(command.env), "HOME": directory},
        "timeout": command.timeout,
        "memory": command.memory,
        "most": OUTPUT_BYTES,
    }
    # The very directory that the jail opened: no link can take its place.
    with workspace.jail.open_directory(".") as fd:
        answer = await _guarded({**request, "fd": fd}, fd)
    if "error" in answer:
        raise ToolError(f"{command.argv[0]}: {answer['error'].lower()}")
    return Ended(answer["code"], answer["output"], answer["seconds"], answer["why"] == "late")


def check_arguments(arguments: Sequence[str]) -> None:
    """:raises Refused: one of them could be more to a program than a name or a path below its directory."""
    for argument in arguments:
        if argument.startswith("-"):
            raise Refused(f"{argument!r}: an argument may not begin with '-'")
        if argument.startswith("/") or ".." in argument.split("/"):
            raise Refused(f"{argument!r}: an argument may not lead out of the directory")
        if not _PLAIN.fullmatch(argument):
            raise Refused(f"{argument!r}: only letters, digits and _ . / : [ ] , ~ + - make an argument")


def run_check(commands: Mapping[str, Command]) -> Tool:
    """The tool for a role with these commands (one at least)."""
    input = _input(commands)

    async def run(call: ToolCall, given: Input) -> Answer:
        tool.check(given)
        command, arguments = commands[given["check"]], given.get("arguments", [])
        if arguments and not command.arguments:
            raise Refused(f"{given['check']}: takes no arguments")
        ended = await run_command(command, workspace_of(call), arguments)
        text = _words(given["check"], ended)
        if ended.late:
            raise TimeoutError(text)
        return Answer(text, is_error=ended.code != 0)

    def effect_of(given: Input) -> Effect:
        command = commands.get(str(given.get("check"))) if isinstance(given, dict) else None
        return command.effect if command else "read"

    tool = Tool(
        name=RUN_CHECK,
        description=_description(commands),
        schema=schema_of(input),
        effect="unsafe" if any(c.effect == "unsafe" for c in commands.values()) else "idempotent",
        effect_of=effect_of,
        run=run,
        input=input,
    )
    return tool


async def _guarded(request: dict[str, Any], fd: int) -> dict[str, Any]:
    """What the guard answers."""
    guard = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(_GUARD),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        pass_fds=[fd], env={}, start_new_session=True,
    )  # fmt: skip
    assert guard.stdin is not None and guard.stdout is not None
    try:
        with suppress(ConnectionError):  # it is gone, and so is its answer
            guard.stdin.write(json.dumps(request).encode() + b"\n")
            await guard.stdin.drain()
        said = await guard.stdout.read()
    finally:
        guard.stdin.close()  # the guard ends the command, if it runs
        try:
            await asyncio.wait_for(guard.wait(), _END_SECONDS)
        finally:
            if guard.returncode is None:
                guard.kill()
    if not said:
        raise ToolError("the command was lost: its guard was killed")
    answer: dict[str, Any] = json.loads(said)
    return answer


def _input(commands: Mapping[str, Command]) -> Any:
    fields: list[Any] = [("check", Literal[tuple(commands)])]
    if any(command.arguments for command in commands.values()):
        of = msgspec.Meta(
            max_length=ARGUMENTS, description="Names or paths to add, for a check that takes them."
        )
        fields.append(("arguments", Annotated[list[str], of], msgspec.field(default_factory=list)))
    return msgspec.defstruct(RUN_CHECK, fields, forbid_unknown_fields=True, kw_only=True)


def _description(commands: Mapping[str, Command]) -> str:
    what = "Run one of the checks of this role in the task's directory; it answers with what the check said."
    return f"{what} {'; '.join(_about(name, command) for name, command in commands.items())}"


def _about(name: str, command: Command) -> str:
    takes = " (takes arguments)" if command.arguments else ""
    return f"{name}{takes}: {command.description or ' '.join(command.argv)}"


def _words(name: str, ended: Ended) -> str:
    """How it ended, over what it said."""
    if ended.late:
        how = f"killed after {ended.seconds:.0f} s"
    elif ended.code < 0:
        how = f"killed by signal {-ended.code}"
    else:
        how = f"{'failed' if ended.code else 'passed'} (exit code {ended.code}, {ended.seconds:.1f} s)"
    return f"{name}: {how}\n{ended.output}".rstrip()
