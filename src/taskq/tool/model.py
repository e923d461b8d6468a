"""What a tool is, what it is given, and how it answers."""

from __future__ import annotations

import re
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

from taskq.errors import SettingsError
from taskq.task import Task, Transaction

Effect = Literal["read", "idempotent", "transactional", "unsafe"]
Input = dict[str, Any]

_EFFECTS: Final = typing.get_args(Effect)
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Refused(Exception):
    """The tool says no, as a matter of policy; the model is told so, and the call counts as blocked."""


class ToolError(Exception):
    """The tool tried and failed, or its input does not fit; the model is told so."""


class Unknown(Exception):
    """Raised by a `verify` that cannot tell whether the effect happened."""


@dataclass(frozen=True)
class Answer:
    """What a tool answers.

    `artifact` is what it left behind: a path, an address, the id of a task.  `is_error` marks an answer that
    tells of a failure (a check that did not pass).
    """

    text: str
    artifact: str | None = None
    is_error: bool = False


class Place(Protocol):
    """Where the task's files are."""

    @property
    def directory(self) -> Path: ...

    @property
    def writable(self) -> bool: ...


@dataclass(frozen=True)
class ToolCall:
    """What a tool is given beside its input.

    `workspace` is where the task's files are; None when it has none.  `key` is the call's idempotency key:
    the same when the call is run again after a crash.  `connection` is there for transactional tools only:
    what they write is committed with the record of the call.
    """

    task: Task
    key: str
    workspace: Place | None
    connection: Transaction | None = None


Run = Callable[[ToolCall, Input], Awaitable[str | Answer]]
Verify = Callable[[ToolCall, Input], Awaitable[str | None]]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool as the executor knows it.

    `schema` is the JSON schema of the input.  `input` is the type that the input is checked into; None takes
    every object.  `effect_of` says the effect of one input, where it depends on that.  `verify` is asked
    after a crash: it returns the answer if the effect happened, None if it did not, and raises Unknown if it
    cannot tell.  `begin` starts what `run` then waits for; it is called for all such calls of a turn before
    the first is run.  `ends_task` marks the tool whose input is the task's result; it is never run.
    """

    name: str
    description: str
    schema: dict[str, Any]
    effect: Effect
    run: Run
    needs_approval: bool = False
    verify: Verify | None = None
    input: Any = None
    effect_of: Callable[[Input], Effect] | None = None
    begin: Callable[[ToolCall, Input], Awaitable[None]] | None = None
    ends_task: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingsError(f"a tool has a name of 1 to 64 letters, digits, _ and -, not {self.name!r}")
        if self.effect not in _EFFECTS:
            raise SettingsError(
                f"tool {self.name}: effect must be one of {', '.join(_EFFECTS)}, not {self.effect!r}"
            )
        if not self.description.strip():
            raise SettingsError(f"tool {self.name}: say in its docstring what it does: the model reads that")

    def offer(self) -> dict[str, Any]:
        """The tool as the Messages API wants to hear of it."""
        return {"name": self.name, "description": self.description, "input_schema": self.schema}

    def check(self, given: object) -> None:
        """Whether the input fits.

        :raises ToolError: it does not; the message names the field.
        """
        try:
            msgspec.convert(given, dict if self.input is None else self.input)
        except msgspec.ValidationError as error:
            raise ToolError(f"{self.name}: wrong input: {error}") from None

    def effect_for(self, given: Input) -> Effect:
        """What a call with this input does to the world."""
        return self.effect if self.effect_of is None else self.effect_of(given)
