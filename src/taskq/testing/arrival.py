"""When requests came, and what became of them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Arrival:
    """One request to any path of the fake, refused ones included.  Times are `time.monotonic`, in seconds.

    :param at: when it came.
    :param path: of the URL, without the query.
    :param model: the model asked for, where one was.
    :param status: the HTTP status it got; None before that, and if it got none.
    :param answered: when the status was sent.
    :param ended: when nothing more was sent.
    :param end: how it ended: `whole`, `broken` by a scripted fault, or `closed` by the client.
    :param request_id: as in the `request-id` header of the response.
    """

    path: str
    at: float = field(default_factory=time.monotonic)
    model: str | None = None
    status: int | None = None
    answered: float | None = None
    ended: float | None = None
    end: Literal["whole", "broken", "closed"] | None = None
    request_id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")
