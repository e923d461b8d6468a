"""What the fields of a manifest may hold: a reader for each, which raises ValueError on anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from taskq.agent.commands import commands
from taskq.agent.evidence import Evidence
from taskq.agent.hosts import read_hosts
from taskq.agent.mcp import read_servers
from taskq.agent.workspace import repositories
from taskq.errors import SettingsError
from taskq.settings import duration


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value.strip()


def globs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(glob, str) and glob for glob in value):
        raise ValueError("must be a list of tool names or globs")
    return tuple(value)


def whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        # True is an int to Python, and no number to people.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return read


def one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return str(value)

    return read


def length(value: object) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be seconds or a duration like 10min")
    try:
        read = duration(str(value))
    except (SettingsError, ValueError):
        raise ValueError("must be seconds or a duration like 10min") from None
    if read <= timedelta():
        raise ValueError("must be longer than nothing")
    return read


def lengths(value: object) -> tuple[timedelta, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of seconds or durations like 10s")
    return tuple(length(step) for step in value)


def models(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(model, str) and model.strip() for model in value):
        raise ValueError("must be a list of models")
    return tuple(model.strip() for model in value)


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def money(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e8:
        raise ValueError("must be US dollars")
    return value


_LIMITS: dict[str, Callable[[object], int | float]] = {
    "tokens": whole(1, 10**15),
    "cost": money,
    "turns": whole(1, 10**9),
    "tool_calls": whole(0, 10**9),
    "seconds": lambda value: length(value).total_seconds(),
}


def budget(value: object) -> Mapping[str, int | float]:
    if not isinstance(value, dict) or not value or value.keys() - _LIMITS.keys():
        raise ValueError(f"must say one or more of {', '.join(_LIMITS)}")
    limits = {}
    for name, limit in value.items():
        try:
            limits[name] = _LIMITS[name](limit)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    return limits


READERS: dict[str, Callable[[object], Any]] = {
    "model": text,
    "tools": globs,
    "max_turns": whole(1, 1000),
    "max_output_tokens": whole(1, 128_000),
    "timeout": length,
    "max_attempts": whole(1, 1000),
    "backoff": lengths,
    "description": text,
    "fallback": models,
    "budget": budget,
    "daily_budget": budget,
    "allow_unpriced": flag,
    "repositories": repositories,
    "commands": commands,
    "evidence": Evidence.read,
    "repeat_warning": whole(2, 20),
    "repeat_limit": whole(2, 20),
    "hosts": read_hosts,
    "mcp": read_servers,
    "delegates": globs,
    "approve": globs,
    "unknown_outcome": one_of("tell", "park"),
}
