"""What a request will take from the provider's gate, and what an answer's headers say of it.

The gate itself is in the database (sql/gate.sql): all workers share it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_PREFIX: Final = "anthropic-ratelimit-"
_BYTES_PER_TOKEN: Final = 2.5
"""Fewer than any text that agents read has on average (English 4, code 3)."""


@dataclass(frozen=True)
class RateLimits:
    """A model's limits per minute and what is left of them; None is not said.

    `tokens` counts input and output together.
    """

    requests: int | None = None
    requests_left: int | None = None
    tokens: int | None = None
    tokens_left: int | None = None

    @property
    def are_news(self) -> bool:
        """Whether anything is said at all."""
        return any(number is not None for number in self.as_arguments())

    def as_arguments(self) -> tuple[int | None, int | None, int | None, int | None]:
        """In the order in which taskq.tune_gate takes them."""
        return self.requests, self.requests_left, self.tokens, self.tokens_left


def read_limits(headers: Mapping[str, str]) -> RateLimits:
    """The limits in an answer's headers; what is missing or no whole number is not said."""
    return RateLimits(
        requests=_number(headers, "requests-limit"),
        requests_left=_number(headers, "requests-remaining"),
        tokens=_number(headers, "tokens-limit"),
        tokens_left=_number(headers, "tokens-remaining"),
    )


def estimate(request: dict[str, Any]) -> int:
    """How many input tokens a request has at most, from the length of its JSON in bytes.

    Not the API's count_tokens: that is exact, but costs a request of its own before each one, under a limit
    of its own.
    """
    length = len(json.dumps(request, ensure_ascii=False).encode("utf-8", "replace"))
    return int(length / _BYTES_PER_TOKEN) + 1


def _number(headers: Mapping[str, str], name: str) -> int | None:
    given = headers.get(_PREFIX + name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None
