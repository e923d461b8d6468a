"""What is said in a conversation: the shapes that the page shows. All of it is text of others: escape it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FOLDED = 1500
"""A message to the model that is longer than this is folded: most are prompts."""


@dataclass(frozen=True)
class Text:
    """Some text, cut if it is long; `size` is what it would be."""

    text: str
    size: int

    @property
    def is_cut(self) -> bool:
        return len(self.text) < self.size

    @property
    def is_long(self) -> bool:
        """Whether it is better folded."""
        return self.size > FOLDED


@dataclass(frozen=True)
class Part:
    """A part of a message that is text: `kind` is text, thinking or other."""

    kind: str
    body: Text


@dataclass(frozen=True)
class CallPart:
    """A tool call, with its answer if there is one, and what the ledger says of it."""

    tool: str
    gist: str
    arguments: Text
    answer: Text | None
    answer_seq: int | None
    is_error: bool
    ledger: Mapping[str, Any] | None
    kind: str = "call"


@dataclass(frozen=True)
class Said:
    """A message: who speaks, when, what, and what it cost."""

    seq: int
    by: str
    """agent, person, tool or task: the model; who steered it; answers without their calls; the prompt."""
    actor: str | None
    at: datetime
    attempt: int
    parts: Sequence[Part | CallPart]
    model: str | None = None
    stop_reason: str | None = None
    cost: float | None = None
    simulated: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int = 0


@dataclass
class Talk:
    """A stretch of a conversation."""

    messages: list[Said] = field(default_factory=list)
    earlier: int | None = None
    """The number before which there is more; None when this is the beginning."""


def cut_to(text: str, most: int | None) -> Text:
    """The text, or its beginning."""
    return Text(text if most is None else text[:most], len(text))
