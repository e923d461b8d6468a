"""The tools that come with taskq, and who may call which.

A tool that cannot do what it was asked raises `Refused` or `ToolError`; the model is told so and goes on.
Anything else that is raised (a lost lease, a cancelled task, a bug) ends the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from taskq.agent import files, writing
from taskq.agent import grep as searching
from taskq.agent.commands import Command
from taskq.agent.jail import Jail
from taskq.agent.run_check import RUN_CHECK, run_check
from taskq.agent.workspace import Workspace, workspace_of
from taskq.errors import Fail, SettingsError
from taskq.task import Task
from taskq.tool import Answer, Input, Refused, Tool, ToolCall, ToolError, from_function, schema_of

SUBMIT = "submit_result"

_Path = Annotated[str, Meta(description="Relative to the task's directory; '.' is the directory itself.")]
_Part = Annotated[str, Meta(max_length=writing.EDIT_CHARACTERS)]


def list_dir(call: ToolCall, path: _Path = ".") -> str:
    """List one directory of the task: its sub-directories (with a trailing /) and files with their sizes."""
    return files.list_dir(workspace_of(call).jail, path)


def read_file(
    call: ToolCall,
    path: _Path,
    offset: Annotated[int, Meta(ge=1, description="The first line to show; the file starts at 1.")] = 1,
    limit: Annotated[int, Meta(ge=1, le=files.READ_LINES, description="How many lines to show.")] = 400,
) -> str:
    """Read lines of a text file. Long files are cut; the last line then says where to read on."""
    return files.read_file(workspace_of(call).jail, path, offset, limit)


def grep(
    call: ToolCall,
    pattern: Annotated[str, Meta(min_length=1, max_length=500)],
    path: _Path = ".",
    glob: Annotated[str, Meta(description="Only files whose path or name matches, such as '*.sql'.")] = "*",
    ignore_case: bool = False,
) -> str:
    """Find the lines that match a regular expression (Python's), in a file or below a directory.
    Answers 'file:line: text'. Hidden directories, links and binary files are passed over."""
    return searching.grep(workspace_of(call).jail, pattern, path, glob, ignore_case)


def write_file(
    call: ToolCall,
    path: _Path,
    content: Annotated[str, Meta(max_length=writing.WRITE_BYTES, description="The whole new content.")],
) -> Answer:
    """Write a text file: make it, or replace all of it. Directories that are missing are made."""
    return Answer(writing.write_file(workspace_of(call).writing(), path, content, key=call.key), path)


def edit_file(
    call: ToolCall,
    path: _Path,
    old: Annotated[_Part, Meta(min_length=1, description="The text to replace; it must be there once.")],
    new: Annotated[_Part, Meta(description="The text to put in its place.")],
) -> Answer:
    """Replace one place of a text file. The old text must match exactly, with its line ends and spaces, and
    be there only once: give enough of its surroundings."""
    return Answer(writing.edit_file(workspace_of(call).writing(), path, old, new, key=call.key), path)


class SubmitResult(msgspec.Struct):
    """What `submit_result` takes; further fields are allowed."""

    summary: Annotated[
        str, Meta(min_length=1, description="What was found or decided, for a reader in a hurry.")
    ]
    findings: Annotated[
        list[str], Meta(description="The facts, each with its file and line where it has one.")
    ] = []
    files: Annotated[list[str], Meta(description="The files that the result rests on.")] = []


async def _must_be_alone(call: ToolCall, given: Input) -> str:
    raise ToolError(f"{SUBMIT}: ends the task and must be called alone")


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        from_function(list_dir, effect="read"),
        from_function(read_file, effect="read"),
        from_function(grep, effect="read"),
        from_function(write_file, effect="idempotent"),
        from_function(edit_file, effect="idempotent"),
        Tool(
            name=SUBMIT,
            description="Hand in the result and end the task. Call it once, alone, when the work is done and"
            " checked. Further fields are allowed where the instructions ask for them.",
            schema=schema_of(SubmitResult),
            effect="read",
            run=_must_be_alone,
            input=SubmitResult,
            ends_task=True,
        ),
    )
}
FILE_TOOLS = frozenset({"list_dir", "read_file", "grep", "write_file", "edit_file", RUN_CHECK})
"""Those that work on the task's files."""


def registry(commands: Mapping[str, Command], *more: Tool) -> dict[str, Tool]:
    """All tools that a role could be allowed: the shipped ones, `run_check` if it has commands, and `more`.

    :raises SettingsError: two of them have one name.
    """
    tools = dict(TOOLS)
    for tool in [*([run_check(commands)] if commands else []), *more]:
        if tool.name in tools:
            raise SettingsError(f"tool {tool.name}: there are two of this name; give yours another")
        tools[tool.name] = tool
    return tools


def allowed(globs: Iterable[str], registry: Mapping[str, Tool] = TOOLS) -> list[Tool]:
    """The tools of a registry that match one of the globs, in its order.

    :raises LookupError: a glob matches no tool.
    """
    globs = list(globs)
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in registry):
            raise LookupError(f"{glob!r} matches no tool; there are {', '.join(registry)}")
    return [tool for name, tool in registry.items() if any(fnmatchcase(name, glob) for glob in globs)]


class Toolbox:
    """The tools of one attempt: those that its role allows, jailed to the task's directory."""

    def __init__(self, globs: Iterable[str], directory: str | Path | None) -> None:
        """:raises Fail: a file tool is allowed and the directory is missing or cannot be opened."""
        self.tools = {tool.name: tool for tool in allowed(globs)}
        self.workspace = self._open(directory)

    @property
    def jail(self) -> Jail | None:
        """The way to the files, if there are any."""
        return self.workspace.jail if self.workspace else None

    def offers(self) -> list[dict[str, Any]]:
        """The tools as the Messages API wants to hear of them."""
        return [tool.offer() for tool in self.tools.values()]

    async def run(self, call: dict[str, Any]) -> dict[str, Any]:
        """Do what a `tool_use` block asks; the answer is its `tool_result` block."""
        result = {"type": "tool_result", "tool_use_id": call["id"]}
        try:
            return {**result, "content": await self._run(call["name"], call["input"], call["id"])}
        except (Refused, ToolError) as error:
            return {**result, "content": str(error), "is_error": True}

    def submission(self, calls: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
        """The result that one of the `tool_use` blocks hands in, if it may and is well formed."""
        for call in calls:
            if call["name"] == SUBMIT and SUBMIT in self.tools:
                try:
                    self.tools[SUBMIT].check(call["input"])
                except ToolError:
                    continue
                result: dict[str, Any] = call["input"]
                return result
        return None

    async def _run(self, name: str, given: Any, id: str) -> str:
        if name not in self.tools:
            raise Refused(f"{name}: is not among this role's tools ({', '.join(self.tools) or 'none'})")
        call = ToolCall(task=Task(), key=id, workspace=self.workspace)
        self.tools[name].check(given)
        try:
            answer = await self.tools[name].run(call, given)
        except OSError as error:
            raise ToolError(f"{name}: {error.strerror or 'failed'}") from error
        return answer if isinstance(answer, str) else answer.text

    def _open(self, directory: str | Path | None) -> Workspace | None:
        if FILE_TOOLS.isdisjoint(self.tools):
            return None
        if not isinstance(directory, str | Path) or not str(directory):
            raise Fail(
                "the payload needs a 'directory': this role's file tools are jailed to it",
                kind="validation_error",
            )
        return Workspace(directory, writable=False)
