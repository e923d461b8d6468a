"""The models of the fake: `GET /v1/models`, `GET /v1/models/{id}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from taskq.testing.reply import ApiError

KNOWN = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5")
"""What the list shows when the fake takes every name."""
_PREFILLED = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-5])?(-\d{8}|$))")


class Models:
    """The names that are models.

    :param names: None takes every name for a model.
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self._any = names is None
        self._names = list(KNOWN if names is None else names)

    def missing(self, name: str) -> ApiError | None:
        """The error for a name that is no model."""
        if self._any or name in self._names:
            return None
        return ApiError(404, message=f"model: {name}")

    def page(self, query: Mapping[str, str]) -> dict[str, Any] | ApiError:
        """A page of the list: `limit`, and `after_id` or `before_id`."""
        if (
            not query.get("limit", "20").isdecimal()
            or not 1 <= (limit := int(query.get("limit", "20"))) <= 1000
        ):
            return ApiError(400, message="limit: Input should be between 1 and 1000")
        names, before = self._names, query.get("before_id")
        if (after := query.get("after_id")) in names:
            names = names[names.index(str(after)) + 1 :]
        if before in names:
            names = names[max(0, names.index(str(before)) - limit) : names.index(str(before))]
        shown = names[:limit]
        return {
            "data": [describe(name) for name in shown],
            "has_more": len(names) > len(shown),
            "first_id": shown[0] if shown else None,
            "last_id": shown[-1] if shown else None,
        }


def describe(name: str) -> dict[str, Any]:
    """A model as the API shows it."""
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


def continues(name: str) -> bool:
    """Whether a model goes on with an assistant message that is begun: those after 4.5 do not."""
    return bool(_PREFILLED.match(name))
