"""The tools that an agent may call, and who may call which.

A tool that cannot do what it was asked raises `Refused`; the model is told so and goes on.  Anything else
that is raised (a lost lease, a cancelled task, a bug) ends the attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from taskq.agent import files
from taskq.agent.grep import grep
from taskq.agent.jail import Jail, Refused
from taskq.errors import Fail

SUBMIT = "submit_result"

_Path = Annotated[str, Meta(description="Relative to the task's directory; '.' is the directory itself.")]


class ListDir(msgspec.Struct, forbid_unknown_fields=True):
    """List one directory of the task: its sub-directories (with a trailing /) and files with their sizes."""

    path: _Path = "."


class ReadFile(msgspec.Struct, forbid_unknown_fields=True):
    """Read lines of a text file. Long files are cut; the last line then says where to read on."""

    path: _Path
    offset: Annotated[int, Meta(ge=1, description="The first line to show; the file starts at 1.")] = 1
    limit: Annotated[int, Meta(ge=1, le=files.READ_LINES, description="How many lines to show.")] = 400


class Grep(msgspec.Struct, forbid_unknown_fields=True):
    """Find the lines that match a regular expression (Python's), in a file or below a directory.
    Answers 'file:line: text'. Hidden directories, links and binary files are passed over."""

    pattern: Annotated[str, Meta(min_length=1, max_length=500)]
    path: _Path = "."
    glob: Annotated[str, Meta(description="Only files whose path or name matches, such as '*.sql'.")] = "*"
    ignore_case: bool = False


class SubmitResult(msgspec.Struct):
    """Hand in the result and end the task. Call it once, alone, when the work is done and checked.
    Further fields are allowed where the instructions ask for them."""

    summary: Annotated[
        str, Meta(min_length=1, description="What was found or decided, for a reader in a hurry.")
    ]
    findings: Annotated[
        list[str], Meta(description="The facts, each with its file and line where it has one.")
    ] = []
    files: Annotated[list[str], Meta(description="The files that the result rests on.")] = []


@dataclass(frozen=True)
class Tool:
    """A tool: its name, the type of its input and what it does with it in a jail (None: it ends the task)."""

    name: str
    input: type[msgspec.Struct]
    run: Callable[[Jail, Any], str] | None = None

    def offer(self) -> dict[str, Any]:
        """The tool as the Messages API wants to hear of it."""
        _, components = msgspec.json.schema_components([self.input])
        schema = components[self.input.__name__]
        description = " ".join(schema.pop("description").split())
        del schema["title"]
        return {"name": self.name, "description": description, "input_schema": schema}


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("list_dir", ListDir, lambda jail, call: files.list_dir(jail, call.path)),
        Tool(
            "read_file",
            ReadFile,
            lambda jail, call: files.read_file(jail, call.path, call.offset, call.limit),
        ),
        Tool(
            "grep", Grep, lambda jail, call: grep(jail, call.pattern, call.path, call.glob, call.ignore_case)
        ),
        Tool(SUBMIT, SubmitResult),
    )
}


def allowed(globs: Iterable[str]) -> list[Tool]:
    """The tools that match one of the globs, in a fixed order.

    :raises LookupError: a glob matches no tool.
    """
    globs = list(globs)
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in TOOLS):
            raise LookupError(f"{glob!r} matches no tool; there are {', '.join(TOOLS)}")
    return [tool for name, tool in TOOLS.items() if any(fnmatchcase(name, glob) for glob in globs)]


class Toolbox:
    """The tools of one attempt: those that its role allows, jailed to the task's directory."""

    def __init__(self, globs: Iterable[str], directory: str | Path | None) -> None:
        """:raises Fail: a file tool is allowed and the directory is missing or cannot be opened."""
        self.tools = {tool.name: tool for tool in allowed(globs)}
        self.jail = self._jail(directory)

    def offers(self) -> list[dict[str, Any]]:
        """The tools as the Messages API wants to hear of them."""
        return [tool.offer() for tool in self.tools.values()]

    async def run(self, call: dict[str, Any]) -> dict[str, Any]:
        """Do what a `tool_use` block asks; the answer is its `tool_result` block."""
        result = {"type": "tool_result", "tool_use_id": call["id"]}
        try:
            return {**result, "content": await self._run(call["name"], call["input"])}
        except Refused as refusal:
            return {**result, "content": str(refusal), "is_error": True}

    def submission(self, calls: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
        """The result that one of the `tool_use` blocks hands in, if it may and is well formed."""
        for call in calls:
            if call["name"] == SUBMIT and SUBMIT in self.tools and self._fault(SUBMIT, call["input"]) is None:
                result: dict[str, Any] = call["input"]
                return result
        return None

    async def _run(self, name: str, given: object) -> str:
        if name not in self.tools:
            raise Refused(f"{name}: is not among this role's tools ({', '.join(self.tools) or 'none'})")
        if fault := self._fault(name, given):
            raise Refused(fault)
        tool = self.tools[name]
        if tool.run is None or self.jail is None:
            raise Refused(f"{name}: ends the task and must be called alone")
        call = msgspec.convert(given, tool.input)
        try:
            return await asyncio.to_thread(tool.run, self.jail, call)
        except OSError as error:
            raise Refused(f"{name}: {error.strerror or 'failed'}") from error

    def _fault(self, name: str, given: object) -> str | None:
        """What is wrong with the input of a call, if anything."""
        try:
            msgspec.convert(given, self.tools[name].input)
        except msgspec.ValidationError as error:
            return f"{name}: wrong input: {error}"
        return None

    def _jail(self, directory: str | Path | None) -> Jail | None:
        if all(tool.run is None for tool in self.tools.values()):
            return None
        if not isinstance(directory, str | Path) or not str(directory):
            raise Fail(
                "the payload needs a 'directory': this role's file tools are jailed to it",
                kind="validation_error",
            )
        try:
            return Jail(directory)
        except (OSError, ValueError) as error:
            raise Fail(
                f"the payload's directory cannot be opened: {error}", kind="validation_error"
            ) from error
