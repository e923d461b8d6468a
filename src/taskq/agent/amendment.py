"""What a person made of a tool call who was to approve it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from taskq.agent.shapes import Outcome
from taskq.agent.text import shortened

SHOWN: Final = 4000
"""Characters of changed arguments that the model is shown."""


@dataclass(frozen=True)
class Amendment:
    """The arguments that a person gave a call, in place of the model's."""

    input: dict[str, Any]
    by: str

    def told(self, outcome: Outcome) -> Outcome:
        """The outcome with what the model must know before it reads it."""
        given = shortened(json.dumps(self.input, ensure_ascii=False), SHOWN)
        text = f"{self.by} changed the arguments of this call to {given}\n{outcome.text}"
        return Outcome(outcome.status, text, outcome.artifact)
