"""What goes wrong with the Messages API, in the queue's terms: by type, code and status, not by wording.

The one exception is a spend limit that the account's owner set: it comes as a plain 400 without a code, and
the documented beginning of its message is all that tells it from a faulty request.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from taskq.agent.gate import RateLimits, read_limits
from taskq.errors import Fail, Outcome, Retry

if TYPE_CHECKING:
    import anthropic

LONGEST_WAIT = timedelta(hours=1)
"""A longer `retry-after` is not believed."""

# An error in mid-stream comes with status 200, and its type is all there is.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_HINTS = {
    401: "the key was not accepted; check ANTHROPIC_API_KEY of the worker",
    402: "the account may spend no more, or has a billing problem; see the provider's console",
    403: "the key may not do this; check its workspace and the manifest's model",
    404: "there is no such model or address; check the manifest's model and ANTHROPIC_BASE_URL",
    413: "the conversation is larger than the API takes",
}


_SPEND_CODES = frozenset(
    {
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "linked_organization_billing_unavailable",
    }
)
_OWN_SPEND_LIMIT = (
    "You have reached your specified API usage",
    "You have reached your specified workspace API usage",
)


class RateLimited(Retry):
    """The provider asks to wait; tried again after its `retry-after`, or the role's backoff.

    `limits` is what its headers said; `may_have_charged` whether a part of the answer was streamed before.
    """

    kind = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        after: timedelta | None = None,
        limits: RateLimits | None = None,
        may_have_charged: bool = False,
    ) -> None:
        super().__init__(message, after=after)
        self.limits, self.may_have_charged = limits, may_have_charged


class Unavailable(Retry):
    """The provider failed or could not be reached, or its answer was cut; tried again.

    `may_have_charged` is false where it surely did not: the request was refused, or never arrived.
    """

    kind = "external_service"

    def __init__(
        self,
        message: str,
        *,
        after: timedelta | None = None,
        limits: RateLimits | None = None,
        may_have_charged: bool = True,
    ) -> None:
        super().__init__(message, after=after)
        self.limits, self.may_have_charged = limits, may_have_charged


class Overloaded(Unavailable):
    """The provider has more to do than it can (529): everybody should wait."""


class Exhausted(Fail):
    """The account may spend no more, until somebody changes that at the provider."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="external_service")
        self.may_have_charged = False


def from_status(error: anthropic.APIStatusError) -> Outcome:
    """The outcome of an attempt whose request was answered with an error."""
    status = error.status_code if error.status_code >= 400 else _STATUS.get(error.type or "", 500)
    message = f"the Messages API answered {status}: {error.api_message or error.message} ({error.request_id})"
    if _is_about_money(error, status):
        return Exhausted(f"{_HINTS[402]}: {message}")
    headers = error.response.headers
    after, limits, streamed = retry_after(headers), read_limits(headers), error.status_code < 400
    if status == 429:
        return RateLimited(message, after=after, limits=limits, may_have_charged=streamed)
    if status == 529:
        return Overloaded(message, after=after, limits=limits, may_have_charged=streamed)
    if status >= 500 or status in (408, 409, 425):
        return Unavailable(message, after=after, limits=limits, may_have_charged=streamed)
    if status in (401, 403):
        return Fail(f"{_HINTS[status]}: {message}", kind="external_service")
    hint = f"{_HINTS[status]}: " if status in _HINTS else ""
    return Fail(f"{hint}{message}", kind="agent_error")


def _is_about_money(error: anthropic.APIStatusError, status: int) -> bool:
    """Whether the account's spend limit or its billing is in the way."""
    if status == 402 or error.type == "billing_error" or error.error_code in _SPEND_CODES:
        return True
    return status == 400 and (error.api_message or "").startswith(_OWN_SPEND_LIMIT)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the provider asks to wait: `retry-after` in seconds or as a date; None if it does not say."""
    given = headers.get("retry-after")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        date = email.utils.parsedate_tz(given)
        if date is None:
            return None
        seconds = email.utils.mktime_tz(date) - time.time()
    # Written so that a NaN is refused too.
    if not 0 <= seconds <= LONGEST_WAIT.total_seconds():
        return None if not seconds > 0 else LONGEST_WAIT
    return timedelta(seconds=seconds)
