"""What is written at the command line, read: durations, JSON, payloads."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import click

from taskq.errors import SettingsError
from taskq.settings import duration


class Length(click.ParamType[timedelta]):
    """A duration: 60, 60s, 2min, 1h, 500ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        try:
            return value if isinstance(value, timedelta) else duration(str(value))
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class Json(click.ParamType[Any]):
    """A JSON value."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return read_json(value)


def read_json(text: str) -> Any:
    """The value of a JSON text.

    :raises click.BadParameter: it is none.
    """
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except ValueError as error:
        raise click.BadParameter(f"this is no JSON: {error}") from None


def refuse_constant(name: str) -> None:
    """Python would read NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is none of its values")


def read_payload(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> dict[str, Any]:
    """The payload, as click's callback: one JSON object, or any number of key=text and key:=JSON.

    :raises click.BadParameter: it is neither.
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        payload: dict[str, Any] = read_json(words[0])
        return payload
    return dict(read_pair(word) for word in words)


def read_pair(word: str) -> tuple[str, Any]:
    """The key and the value of key=text or key:=JSON.

    :raises click.BadParameter: it is neither.
    """
    key, equals, value = word.partition("=")
    if not equals or not key.removesuffix(":"):
        raise click.BadParameter(f"{word!r} is neither a JSON object nor key=text nor key:=JSON")
    return (key[:-1], read_json(value)) if key.endswith(":") else (key, value)
