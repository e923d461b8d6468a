"""The commands that an operator allows a role, in its manifest.

    commands:
      tests:
        argv: [python, -m, pytest, -q]
        timeout: 5min
        arguments: true
        env: [CI]

The model only names one.  There is no shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from taskq.errors import SettingsError
from taskq.settings import duration

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST = 3600.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command.

    `timeout` in seconds bounds its wall time and each process's CPU time, `memory` in MB the address space of
    each process.  `env` names variables that it gets beside PATH, LANG and HOME.  `arguments`: whether the
    model may add plain ones.  `effect` is what it does to the world.
    """

    argv: tuple[str, ...]
    timeout: float = 60.0
    effect: Literal["read", "idempotent", "unsafe"] = "idempotent"
    env: tuple[str, ...] = ()
    arguments: bool = False
    memory: int = 4096
    description: str = ""


def commands(value: object) -> dict[str, Command]:
    """Reads the manifest's field.

    :raises ValueError: it says something that is not understood.
    """
    if not isinstance(value, Mapping):
        raise ValueError("must be 'name: {argv: [...]}' lines")
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} must be a name of letters, digits and _ . -")
    return {name: _command(name, fields) for name, fields in value.items()}


def _command(name: str, given: object) -> Command:
    if not isinstance(given, Mapping) or "argv" not in given:
        raise ValueError(f"{name}: must have an argv: the program and its arguments")
    if unknown := sorted(map(str, given.keys() - _READERS.keys())):
        raise ValueError(f"{name}: {', '.join(unknown)}: unknown; the fields are {', '.join(_READERS)}")
    fields: dict[str, Any] = {}
    for field, value in given.items():
        try:
            fields[field] = _READERS[field](value)
        except ValueError as error:
            raise ValueError(f"{name}: {field}: {error}") from error
    return Command(**fields)


def _argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(arg, str) for arg in value):
        raise ValueError("must be a list: the program and its arguments, each a text")
    if not value[0] or any("\0" in arg for arg in value):
        raise ValueError("names no program, or holds a NUL")
    return tuple(value)


def _seconds(value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise SettingsError("no duration")
        seconds = duration(str(value)).total_seconds()
    except SettingsError:
        raise ValueError("must be seconds or a duration like 5min") from None
    if not 0 < seconds <= LONGEST:
        raise ValueError("must be longer than nothing, and at most an hour")
    return seconds


def _effect(value: object) -> str:
    if value not in ("read", "idempotent", "unsafe"):
        raise ValueError("must be read, idempotent or unsafe")
    return str(value)


def _env(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(n, str) and _VARIABLE.fullmatch(n) for n in value):
        raise ValueError("must be a list of names of variables")
    return tuple(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _memory(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 64 <= value <= 1024 * 1024:
        raise ValueError("must be a whole number of MB, 64 or more")
    return value


def _description(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return " ".join(value.split())


_READERS = {
    "argv": _argv,
    "timeout": _seconds,
    "effect": _effect,
    "env": _env,
    "arguments": _flag,
    "memory": _memory,
    "description": _description,
}
