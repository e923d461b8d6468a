"""JSON schemas of results: whether one can be used, and what a result lacks.

Nothing here imports `jsonschema` until the first manifest declares a schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from taskq.agent.text import cut

FAULTS: Final = 10
"""Most faults of a result that are told."""
FAULT_CHARACTERS: Final = 300
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")


def read(value: object, beside: Path | None) -> dict[str, Any]:
    """A schema as a manifest gives it.

    :param value: the schema itself, or the path of a JSON file, from the directory `beside`.
    :raises ValueError: there is no such file, it is no JSON schema, or no tool's input can have it.
    """
    schema = _file(value, beside) if isinstance(value, str) else _json_of(value)
    if not isinstance(schema, dict):
        raise ValueError("schema: must be a JSON schema or the path of one")
    _check(schema)
    if schema.get("type") != "object":
        raise ValueError("schema: must say 'type: object' at its top: a result has fields")
    if branches := [name for name in _BRANCHES if name in schema]:
        raise ValueError(
            f"schema: {', '.join(branches)}: the Messages API refuses it at the top of a tool's input"
        )
    return schema


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with the value, each fault with its place in it; the first `FAULTS` of them."""
    found = sorted(_validator(json.dumps(schema)).iter_errors(value), key=lambda error: error.json_path)
    words = [f"{error.json_path}: {cut(error.message, FAULT_CHARACTERS)}" for error in found[:FAULTS]]
    return [*words, f"and {len(found) - FAULTS} more"] if len(found) > FAULTS else words


def _file(name: str, beside: Path | None) -> Any:
    path = (beside or Path()) / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"schema: {path} cannot be read as JSON: {error}") from error


def _json_of(value: object) -> Any:
    """The value as JSON would carry it: YAML knows dates and loops, JSON does not."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"schema: is no JSON: {error}") from error


def _check(schema: dict[str, Any]) -> None:
    """:raises ValueError: it is no JSON schema, or points to what it does not hold."""
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        validator = _validator(json.dumps(schema))
        kind: Any = type(validator)  # the stubs know no format_checker here
        kind.check_schema(schema, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as error:
        raise ValueError(f"schema: {error.json_path}: {cut(error.message, FAULT_CHARACTERS)}") from error
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ValueError(f"schema: $ref {reference!r}: must point into the schema itself (#…)")
        try:
            _lookup(schema, reference)
        except Unresolvable as error:
            raise ValueError(f"schema: $ref {reference!r}: points to nothing") from error
    try:
        for _ in validator.iter_errors({}):
            pass
    except RecursionError:
        raise ValueError("schema: its $ref go in a circle that no value can end") from None


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    """What validates by this schema: by the draft that it names, else 2020-12; nothing is fetched.

    Any: the library's own protocol does not know all that its validators can do.
    """
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    schema = json.loads(text)
    kind: Any = validator_for(schema, default=Draft202012Validator)
    # A registry of its own: without one, jsonschema fetches what a $ref names.
    return kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)


def _lookup(schema: dict[str, Any], reference: str) -> None:
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    root = Resource.from_contents(schema, default_specification=DRAFT202012)
    Registry().resolver_with_root(root).lookup(reference)


def _references(value: object) -> Iterator[str]:
    """Every `$ref` in a schema."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(item, str):
                yield item
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
