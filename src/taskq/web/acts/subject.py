"""The subject: the task that a person is about to act on, as he sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from taskq.web.reads import Reads


@dataclass(frozen=True)
class Question:
    """The tool call that an agent is parked for.

    :param asks: whether it needs a yes; if not it has begun, and a crash hid its outcome.
    :param arguments: what the model asked for, whole.
    :param said: what the model said just before, as Markdown.
    """

    call_id: str
    tool: str
    effect: str
    asks: bool
    arguments: Any
    said: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Question | None:
        """The question of a row with the columns of the statement `subject`; None where there is none."""
        if row["call_id"] is None:
            return None
        blocks = msgspec.json.decode(row["said"] or "[]")
        given = next((block["input"] for block in blocks if block.get("id") == row["call_id"]), row["input"])
        said = [block["text"] for block in blocks if block.get("type") == "text"]
        return cls(row["call_id"], row["tool"], row["effect"], bool(row["asks"]), given, "\n\n".join(said))


class Subject:
    """One row of the statement `subject`, and what follows from it."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.id: UUID = row["id"]
        self.role: str = row["role"]
        self.name: str = row["name"] or row["role"]
        self.status: str = row["status"]
        self.payload: dict[str, Any] = row["payload"]
        self.attempt: int = row["attempt"]
        self.is_agent: bool = row["is_agent"]
        self.explain: str = row["explain"]

    @cached_property
    def question(self) -> Question | None:
        """The tool call that it is parked for."""
        return Question.of(self.row)

    @property
    def why_parked(self) -> str | None:
        """Why a task that ran waits for a person; None for one that has not begun."""
        why: str | None = self.row["why_parked"]
        return why if self.status == "awaiting_approval" else None

    @property
    def has_begun(self) -> bool:
        """Whether some of its work may be done already."""
        return self.row["started_at"] is not None

    @cached_property
    def seen(self) -> str:
        """What a person's answer is about: another one when something else is in question by then."""
        about = [self.status, self.row["call_id"], self.payload, self.why_parked]
        return sha256(msgspec.json.encode(about, order="deterministic")).hexdigest()[:16]


async def find_subject(reads: Reads, id: UUID) -> Subject | None:
    """The task as it is now; None when there is none."""
    rows = await reads.send("subject", id)
    return Subject(rows[0]) if rows else None
