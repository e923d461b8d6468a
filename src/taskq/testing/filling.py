"""What the offline script hands in: a value that fits a JSON schema, made of what was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 3
"""Items of a list of objects."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    path: str
    line: int
    words: str


@dataclass(frozen=True)
class Found:
    """What there is to hand in."""

    summary: str
    facts: Sequence[str]
    files: Sequence[str]
    places: Sequence[Place]


def fact(name: str, given: dict[str, Any], head: str, failed: bool) -> str:
    """What the first line of a tool's answer says."""
    if failed:
        return f"{name} failed: {head}."
    if name == "list_dir" and (entries := re.search(r"(\d+) entries", head)):
        return f"Directory {given.get('path', '.')} has {entries[1]} entries."
    if name == "read_file" and (lines := re.search(r"of (?:more than )?(\d+)$", head)):
        return f"{given['path']} has {lines[1]} lines."
    if name == "grep" and (lines := re.search(r"^(\d+) matching lines .* in (\d+) files", head)):
        return f"{given['pattern']} is on {lines[1]} lines ({lines[2]} files searched)."
    if name == "delegate":
        return f"{given['role']} was asked to check one of them, and answered."
    return f"{name}: {head}."


def filled(schema: Schema, found: Found) -> dict[str, Any]:
    """An object of this schema: lists because they can be filled, other fields because they are required."""
    required = schema.get("required", [])
    fields: dict[str, Schema] = schema.get("properties", {})
    return {
        name: _value(name, field, found)
        for name, field in fields.items()
        if name in required or field.get("type") == "array"
    }


def _value(name: str, schema: Schema, found: Found) -> Any:
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    match _type(schema):
        case "array":
            return _list(name, schema, found)
        case "object":
            return filled(schema, found)
        case "integer" | "number":
            here = found.places[0].line if "line" in name and found.places else len(found.facts)
            return max(here, schema.get("minimum", 0))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(name, schema, found)


def _type(schema: Schema) -> str | None:
    """The first type that says something."""
    kinds = schema.get("type") or [
        _type(some) for some in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    ]
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return next((kind for kind in kinds if kind != "null"), kinds[0] if kinds else None)


def _list(name: str, schema: Schema, found: Found) -> list[Any]:
    """Facts, files, or an object for each place."""
    items, least = schema.get("items") or {}, schema.get("minItems", 0)
    most = schema.get("maxItems", 10_000)
    if _type(items) in ("string", None) and not items.get("enum"):
        values: list[Any] = list(found.files if "file" in name else found.facts)
    else:
        values = [_value(name, items, _at(place, found)) for place in found.places[:MOST]]
    while len(values) < least:
        values.append(_value(name, items, found))
    return values[:most]


def _at(place: Place, found: Found) -> Found:
    """What there is to say of one place."""
    return Found(found.summary, found.facts, [place.path], [place])


def _text(name: str, schema: Schema, found: Found) -> str:
    text = found.summary
    if found.files and any(word in name for word in ("file", "path")):
        text = found.files[0]
    elif found.places and any(word in name for word in ("quote", "line", "words")):
        text = found.places[0].words
    return text[: schema.get("maxLength")].ljust(schema.get("minLength", 0), ".")
