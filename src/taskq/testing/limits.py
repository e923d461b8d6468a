"""Rate limits that really count, as buckets that fill all the time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from taskq.testing.reply import ApiError


@dataclass(frozen=True)
class RateLimit:
    """How much a model answers in `per` seconds; None is no limit.

    :param requests: requests to `/v1/messages`.
    :param tokens: input and output tokens together.
    :param input_tokens: input tokens; what is read from the prompt cache does not count.
    :param output_tokens: output tokens, counted when they are there: too many keep the next request waiting.
    :param per: seconds in which an empty bucket is full again.
    """

    requests: int | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    per: float = 60.0


@dataclass
class Bucket:
    """One limit: what is left of it, at a time of `time.monotonic`."""

    limit: int
    per: float
    left: float
    at: float

    def fill(self, now: float) -> None:
        """Add what has come in since."""
        self.left = min(self.limit, self.left + (now - self.at) * self.limit / self.per)
        self.at = now

    def wait(self, wanted: float) -> float:
        """Seconds until that much is there; until it is full, for what is more than it holds."""
        return max(0.0, (min(wanted, self.limit) - self.left) * self.per / self.limit)


class Limiter:
    """The buckets of every model."""

    def __init__(self, limits: RateLimit) -> None:
        self._limits = limits
        self._buckets: dict[str, dict[str, Bucket]] = {}

    def admit(self, model: str, tokens: int) -> ApiError | None:
        """Count a request with so many input tokens, or say why it is too many."""
        wanted = {"requests": 1, "tokens": tokens, "input-tokens": tokens, "output-tokens": 1}
        buckets = self._of(model)
        waits = {name: bucket.wait(wanted[name]) for name, bucket in buckets.items()}
        name = max(waits, key=lambda name: waits[name], default=None)
        if name is not None and waits[name] > 0:
            return _too_many(name, buckets[name], waits[name], model)
        for name, bucket in buckets.items():
            bucket.left -= 0 if name == "output-tokens" else wanted[name]
        return None

    def spend(self, model: str, output_tokens: int) -> None:
        """Count the tokens of an answer."""
        for name, bucket in self._of(model).items():
            bucket.left -= output_tokens if name in ("tokens", "output-tokens") else 0

    def headers(self, model: str) -> dict[str, str]:
        """The `anthropic-ratelimit-` headers of a response."""
        now = datetime.now(UTC)
        return {
            f"anthropic-ratelimit-{name}-{what}": value
            for name, bucket in self._of(model).items()
            for what, value in _told(bucket, now)
        }

    def _of(self, model: str) -> dict[str, Bucket]:
        now = time.monotonic()
        if model not in self._buckets:
            self._buckets[model] = {
                field.name.replace("_", "-"): Bucket(limit, self._limits.per, limit, now)
                for field in fields(RateLimit)
                if field.name != "per" and (limit := getattr(self._limits, field.name)) is not None
            }
        for bucket in self._buckets[model].values():
            bucket.fill(now)
        return self._buckets[model]


def _told(bucket: Bucket, now: datetime) -> Iterator[tuple[str, str]]:
    yield "limit", str(bucket.limit)
    yield "remaining", str(max(0, math.floor(bucket.left)))
    full = now + timedelta(seconds=bucket.wait(bucket.limit))
    yield "reset", full.isoformat(timespec="seconds").replace("+00:00", "Z")


def _too_many(name: str, bucket: Bucket, wait: float, model: str) -> ApiError:
    unit = "minute" if bucket.per == 60 else f"{bucket.per:g} seconds"
    return ApiError(
        429,
        message=f"This request would exceed your organization's rate limit of {bucket.limit:,}"
        f" {name.replace('-', ' ')} per {unit} (model: {model}). For details, refer to:"
        " https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage."
        " Please reduce the prompt length or the maximum tokens requested, or try again later.",
        retry_after=max(1, math.ceil(wait)),
    )
