"""Role manifests: one agent role per file, `roles/NAME.md`.

    ---
    model: claude-sonnet-5-5
    tools: [list_dir, "read_*", submit_result]
    max_turns: 12
    ---
    The instructions, in plain words.

The file's name is the role.  Everything between the two `---` lines is YAML, everything after it the
system prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from taskq.agent.commands import Command, commands
from taskq.agent.evidence import Evidence
from taskq.agent.hosts import read_hosts
from taskq.agent.mcp import Server, read_servers
from taskq.agent.text import cut
from taskq.agent.workspace import repositories
from taskq.errors import SettingsError
from taskq.settings import duration

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?(.*)\Z", re.DOTALL | re.MULTILINE)
_ROLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


class ManifestError(SettingsError):
    """A role manifest cannot be used; the message names the file, the field and what is expected."""


@dataclass(frozen=True)
class Manifest:
    """What a role manifest says.

    `tools` are globs over tool names.  `max_turns` bounds the model's messages in one task,
    `max_output_tokens` the tokens of each.  `timeout` bounds one attempt; None leaves both `timeout`
    and `max_attempts` to the task.  `backoff` is how long to wait after each failed attempt, the last step
    from there on; None leaves it to the design.  `fallback` names the models to ask while `model` may not be
    asked, in order.  `budget` limits each task with all that descends from it, `daily_budget` the role in a
    day (UTC): `tokens`, `cost` in US dollars, `turns`, `tool_calls`, `seconds`.  `allow_unpriced` admits
    models that the price table does not know: they count as free of cost.  `repositories` are globs
    over the checkouts that it may change, `commands` what `run_check` may run, `hosts` what `http_get` may
    ask, `mcp` the servers whose tools are offered too.
    `evidence` is what its results must show; `repeat_warning` and
    `repeat_limit` are how many equal calls with equal results are warned of, and stop the agent.
    `delegates` are globs over the roles that it may give work to, `approve` over the tools of which a person
    must approve each call, `unknown_outcome` what follows an unsafe call that a crash interrupted: the model
    is told, or the task parks for a person first.
    """

    name: str
    model: str
    instructions: str
    tools: tuple[str, ...] = ()
    max_turns: int = 20
    max_output_tokens: int = 8192
    timeout: timedelta | None = None
    max_attempts: int | None = None
    backoff: tuple[timedelta, ...] | None = None
    description: str = ""
    fallback: tuple[str, ...] = ()
    budget: Mapping[str, int | float] | None = None
    daily_budget: Mapping[str, int | float] | None = None
    allow_unpriced: bool = False
    repositories: tuple[str, ...] = ()
    commands: Mapping[str, Command] = field(default_factory=dict)
    evidence: Evidence | None = None
    repeat_warning: int = 3
    repeat_limit: int = 5
    hosts: tuple[str, ...] = ()
    mcp: tuple[Server, ...] = ()
    delegates: tuple[str, ...] = ()
    approve: tuple[str, ...] = ()
    unknown_outcome: Literal["tell", "park"] = "tell"

    @classmethod
    def load(cls, path: Path | str) -> Manifest:
        """Read one manifest.

        :raises ManifestError: the file cannot be read or says something that is not understood.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}: cannot be read: {error}") from error
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path) -> Manifest:
        """Read a manifest from its text; `path` names the role and appears in errors.

        :raises ManifestError: the text says something that is not understood.
        """
        if not _ROLE_NAME.fullmatch(path.stem):
            raise ManifestError(f"{path}: the file's name is the role: letters, digits and _ . : - only")
        match = _FRONT_MATTER.match(text)
        if match is None:
            raise ManifestError(f"{path}: must start with YAML between two lines of '---'")
        fields = _fields(match[1], path)
        instructions = match[2].strip()
        if not instructions:
            raise ManifestError(f"{path}: the instructions after the front matter are empty")
        return cls(name=path.stem, instructions=instructions, **fields)


def load_all(directory: Path | str) -> list[Manifest]:
    """Read every `*.md` of a directory, README.md aside, in the order of their names.

    :raises ManifestError: the directory holds none, or one of them cannot be used.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ManifestError(f"{directory}: is no directory of role manifests")
    paths = sorted(path for path in directory.glob("*.md") if path.name.lower() != "readme.md")
    if not paths:
        raise ManifestError(f"{directory}: holds no role manifest (NAME.md)")
    return [Manifest.load(path) for path in paths]


def _fields(front_matter: str, path: Path) -> dict[str, Any]:
    """The checked fields of a front matter."""
    given = _yaml(front_matter, path)
    if unknown := given.keys() - _READERS.keys():
        known = ", ".join(_READERS)
        raise ManifestError(f"{path}: {_words(unknown)}: unknown; the fields are {known}")
    if "model" not in given:
        raise ManifestError(f"{path}: model: missing; say which model plays this role")
    fields = {}
    readers: dict[str, Callable[[object], Any]] = {
        **_READERS,
        "evidence": partial(Evidence.read, beside=path.parent),
    }
    for name, value in given.items():
        try:
            fields[name] = readers[name](value)
        except ValueError as error:
            raise ManifestError(f"{path}: {name}: {error}, not {cut(repr(value), 200)}") from error
    return fields


def _yaml(text: str, path: Path) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError(f"{path}: the front matter is no YAML: {error}") from error
    if not isinstance(tree, yaml.MappingNode) or not isinstance(given, dict):
        raise ManifestError(f"{path}: the front matter must be 'field: value' lines")
    names = [str(key.value) for key, _ in tree.value]
    # YAML loaders silently keep the last of two equal keys.
    if twice := {name for name in names if names.count(name) > 1}:
        raise ManifestError(f"{path}: {_words(twice)}: given twice")
    return {str(key): value for key, value in given.items()}


def _words(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value.strip()


def _globs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(glob, str) and glob for glob in value):
        raise ValueError("must be a list of tool names or globs")
    return tuple(value)


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        # True is an int to Python, and no number to people.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return read


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return str(value)

    return read


def _timeout(value: object) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be seconds or a duration like 10min")
    try:
        timeout = duration(str(value))
    except (SettingsError, ValueError):
        raise ValueError("must be seconds or a duration like 10min") from None
    if timeout <= timedelta():
        raise ValueError("must be longer than nothing")
    return timeout


def _backoff(value: object) -> tuple[timedelta, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of seconds or durations like 10s")
    return tuple(_timeout(step) for step in value)


def _models(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(model, str) and model.strip() for model in value):
        raise ValueError("must be a list of models")
    return tuple(model.strip() for model in value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _money(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e8:
        raise ValueError("must be US dollars")
    return value


_LIMITS: dict[str, Callable[[object], int | float]] = {
    "tokens": _whole(1, 10**15),
    "cost": _money,
    "turns": _whole(1, 10**9),
    "tool_calls": _whole(0, 10**9),
    "seconds": lambda value: _timeout(value).total_seconds(),
}


def _budget(value: object) -> Mapping[str, int | float]:
    if not isinstance(value, dict) or not value or value.keys() - _LIMITS.keys():
        raise ValueError(f"must say one or more of {', '.join(_LIMITS)}")
    limits = {}
    for name, limit in value.items():
        try:
            limits[name] = _LIMITS[name](limit)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    return limits


_READERS: dict[str, Callable[[object], Any]] = {
    "model": _text,
    "tools": _globs,
    "max_turns": _whole(1, 1000),
    "max_output_tokens": _whole(1, 128_000),
    "timeout": _timeout,
    "max_attempts": _whole(1, 1000),
    "backoff": _backoff,
    "description": _text,
    "fallback": _models,
    "budget": _budget,
    "daily_budget": _budget,
    "allow_unpriced": _flag,
    "repositories": repositories,
    "commands": commands,
    "evidence": Evidence.read,
    "repeat_warning": _whole(2, 20),
    "repeat_limit": _whole(2, 20),
    "hosts": read_hosts,
    "mcp": read_servers,
    "delegates": _globs,
    "approve": _globs,
    "unknown_outcome": _one_of("tell", "park"),
}
