"""What a role must show before its result counts: the field `evidence` of its manifest.

    evidence:
      schema: report.schema.json     # or the schema itself
      tools: [read_file]             # called with success at least once
      files: [report.md]             # there, and not empty
      commands: [tests]              # exit with 0
      reviewer: CRITIC               # a child task that says approved
      rounds: 3

`examine.py` checks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from taskq.agent import found, schemas

ROUNDS: Final = 3
MOST_ROUNDS: Final = 20
SUBMIT: Final = "submit_result"


@dataclass(frozen=True)
class Evidence:
    """What is checked of a submitted result.

    `schema` is the JSON schema of the result, `tools` are names or globs of tools, `files` globs in the
    task's directory, `commands` names of the manifest's commands, `reviewer` a role.  `rounds` bounds the
    submissions.
    """

    schema: dict[str, Any] | None = None
    tools: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    reviewer: str | None = None
    rounds: int = ROUNDS

    @classmethod
    def read(cls, value: object, beside: Path | None = None) -> Evidence:
        """The field as a manifest gives it.

        :param beside: the directory of the manifest; a schema's path starts there.
        :raises ValueError: it says something that is not understood, or declares nothing.
        """
        fields = ("schema", "tools", "files", "commands", "reviewer", "rounds")
        if not isinstance(value, dict) or not set(value) <= set(fields):
            raise ValueError(f"must be a mapping of {', '.join(fields)}")
        read = cls(
            schema=schemas.read(value["schema"], beside) if "schema" in value else None,
            tools=_names(value, "tools"),
            files=_names(value, "files"),
            commands=_names(value, "commands"),
            reviewer=_reviewer(value.get("reviewer")),
            rounds=_rounds(value.get("rounds", ROUNDS)),
        )
        if read == cls(rounds=read.rounds):
            raise ValueError("declares nothing to check")
        for glob in read.files:
            if wrong := found.fault(glob):
                raise ValueError(f"files: {glob!r}: {wrong}")
        return read

    def fault(self, tools: Iterable[str], commands: Iterable[str]) -> str | None:
        """Why a role could never show this, if it could not.

        :param tools: the tools that the role may call.
        :param commands: the commands that its manifest names.
        """
        tools, commands = list(tools), list(commands)
        if self.schema is not None and SUBMIT not in tools:
            return f"schema: needs the tool {SUBMIT}, which this role may not call"
        for glob in self.tools:
            if not any(fnmatchcase(tool, glob) for tool in tools):
                return f"tools: {glob!r}: is no tool that this role may call"
        for name in self.commands:
            if name not in commands:
                return f"commands: {name!r}: the manifest names no such command"
        return None


def submission_schema(evidence: Evidence | None, ordinary: dict[str, Any]) -> dict[str, Any]:
    """The input schema with which `submit_result` is offered: the declared one, so that the model sees what
    is asked of it, else the ordinary one."""
    return ordinary if evidence is None or evidence.schema is None else evidence.schema


def _names(value: dict[str, Any], field: str) -> tuple[str, ...]:
    names = value.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{field}: must be a list of names")
    if len(set(names)) < len(names):
        raise ValueError(f"{field}: names one twice")
    return tuple(names)


def _reviewer(value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ValueError("reviewer: must be a role")
    return value


def _rounds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_ROUNDS:
        raise ValueError(f"rounds: must be a whole number from 1 to {MOST_ROUNDS}")
    return value
