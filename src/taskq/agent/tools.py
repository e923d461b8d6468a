"""The tools that come with taskq, and who may call which.

A tool that cannot do what it was asked raises `Refused` or `ToolError`; the model is told so and goes on.
Anything else that is raised (a lost lease, a cancelled task, a bug) ends the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec
from msgspec import Meta

from taskq.agent import files, writing
from taskq.agent import grep as searching
from taskq.agent.workspace import workspace_of
from taskq.tool import Answer, Input, Tool, ToolCall, ToolError, from_function, schema_of

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

FILE_TOOLS = frozenset({"list_dir", "read_file", "grep", "write_file", "edit_file"})
"""Those that work on the task's files."""


def allowed(globs: Iterable[str], registry: Mapping[str, Tool], *, is_whole: bool = True) -> list[Tool]:
    """The tools of a registry that match one of the globs, in its order.

    :param is_whole: whether the registry holds all that there will be; else a glob may match none of it yet.
    :raises LookupError: a glob matches no tool.
    """
    globs = list(globs)
    for glob in globs if is_whole else []:
        if not any(fnmatchcase(name, glob) for name in registry):
            raise LookupError(f"{glob!r} matches no tool; there are {', '.join(registry)}")
    return [tool for name, tool in registry.items() if any(fnmatchcase(name, glob) for glob in globs)]
