"""What a person is asked before he acts on a task: one struct a form."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=8000)]
Perhaps = Annotated[str, msgspec.Meta(max_length=8000)]


class Why(msgspec.Struct, frozen=True):
    """A reason, for the record."""

    reason: Words


class PerhapsWhy(msgspec.Struct, frozen=True):
    """A reason, if there is one to give."""

    reason: Perhaps | None = None


class Said(msgspec.Struct, frozen=True):
    """Something for an agent to hear."""

    text: Words


class Answer(msgspec.Struct, frozen=True):
    """What came of a task that a person plays."""

    kind: Literal["text", "json", "failure"]
    result: Annotated[str, msgspec.Meta(max_length=500_000)] = ""


class Payload(msgspec.Struct, frozen=True):
    """Another payload."""

    payload: str
    reason: Words


class Arguments(msgspec.Struct, frozen=True):
    """Other arguments for a tool call."""

    arguments: str
    reason: Perhaps | None = None
