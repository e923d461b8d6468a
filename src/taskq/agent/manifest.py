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

from taskq.agent.commands import Command
from taskq.agent.evidence import Evidence
from taskq.agent.fields import READERS
from taskq.agent.mcp import Server
from taskq.agent.text import cut
from taskq.errors import SettingsError

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?(.*)\Z", re.DOTALL | re.MULTILINE)
_ROLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


class ManifestError(SettingsError):
    """A role manifest cannot be used; the message names the file, the field and what is expected."""


@dataclass(frozen=True)
class Manifest:
    """What a role manifest says.

    `tools` are globs over tool names, `approve` over those of which a person must approve each call.
    `max_turns` bounds the model's messages in one task, `max_output_tokens` the tokens of each.
    `timeout` bounds one attempt; None leaves it, `max_attempts` and `backoff` (the wait after each
    failed attempt; the last step stands for all after it) to the task and the design.

    `fallback` names the models to ask while `model` may not be asked, in order.  `budget` limits each
    task with all that descends from it, `daily_budget` the role in a day (UTC): `tokens`, `cost` in US
    dollars, `turns`, `tool_calls`, `seconds`.  `allow_unpriced` admits models that the price table does
    not know: they count as free.

    `repositories` are globs over the checkouts that it may change, `commands` what `run_check` may run,
    `hosts` what `http_get` may ask, `mcp` the servers whose tools are offered too, `delegates` globs
    over the roles that it may give work to.

    `evidence` is what its results must show.  `repeat_warning` and `repeat_limit` are how many equal
    calls with equal results are warned of, and stop the agent.  `unknown_outcome` is what follows an
    unsafe call that a crash interrupted: the model is told, or the task parks for a person first.
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
    if unknown := given.keys() - READERS.keys():
        known = ", ".join(READERS)
        raise ManifestError(f"{path}: {_words(unknown)}: unknown; the fields are {known}")
    if "model" not in given:
        raise ManifestError(f"{path}: model: missing; say which model plays this role")
    fields = {}
    readers: dict[str, Callable[[object], Any]] = {
        **READERS,
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
