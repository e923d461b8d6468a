"""The arguments of a tool call, so that a person can read what he is asked to allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Literal

from taskq.web.render import pretty

EDIT = (("old", "new"), ("old_string", "new_string"), ("before", "after"))
"""Names of arguments that say what a text was and what it becomes."""


@dataclass(frozen=True)
class Argument:
    """One of them: a word, a text of several lines, JSON, or the lines of a difference with their signs."""

    name: str
    kind: Literal["word", "text", "json", "diff"]
    text: str
    lines: tuple[tuple[str, str], ...] = ()


def shown(arguments: Any) -> list[Argument]:
    """The arguments in the order in which they were given; an edit as its difference."""
    if not isinstance(arguments, dict):
        return [Argument("", "json", arguments if isinstance(arguments, str) else pretty(arguments))]
    return list(each(arguments))


def each(arguments: dict[str, Any]) -> Iterator[Argument]:
    edit = next((pair for pair in EDIT if all(isinstance(arguments.get(name), str) for name in pair)), None)
    for name, value in arguments.items():
        if edit and name == edit[0]:
            yield difference(arguments[edit[0]], arguments[edit[1]])
        elif edit and name == edit[1]:
            continue
        elif isinstance(value, str):
            yield Argument(name, "text" if "\n" in value or len(value) > 120 else "word", value)
        elif isinstance(value, bool | int | float | None):
            yield Argument(name, "word", pretty(value))
        else:
            yield Argument(name, "json", pretty(value))


def difference(old: str, new: str) -> Argument:
    """The lines that go and those that come, with some around them."""
    lines = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3))[2:]
    return Argument("change", "diff", "", tuple((line[0], line[1:]) for line in lines if line))
