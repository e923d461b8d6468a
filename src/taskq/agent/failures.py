"""What goes wrong with the Messages API, in the queue's terms: by type and status, never by wording."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

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
    402: "the account has a billing problem; see the provider's console",
    403: "the key may not do this; check its workspace and the manifest's model",
    404: "there is no such model or address; check the manifest's model and ANTHROPIC_BASE_URL",
    413: "the conversation is larger than the API takes",
}


class RateLimited(Retry):
    """The provider asks to wait; tried again after its `retry-after`, or the role's backoff."""

    kind = "rate_limited"


class Unavailable(Retry):
    """The provider failed or could not be reached, or its answer was cut; tried again."""

    kind = "external_service"


def from_status(error: anthropic.APIStatusError) -> Outcome:
    """The outcome of an attempt whose request was answered with an error."""
    status = error.status_code if error.status_code >= 400 else _STATUS.get(error.type or "", 500)
    message = f"the Messages API answered {status}: {error.api_message or error.message} ({error.request_id})"
    if status == 429:
        return RateLimited(message, after=retry_after(error.response.headers))
    if status >= 500 or status in (408, 409, 425):
        return Unavailable(message, after=retry_after(error.response.headers))
    if status in (401, 402, 403):
        return Fail(f"{_HINTS[status]}: {message}", kind="external_service")
    hint = f"{_HINTS[status]}: " if status in _HINTS else ""
    return Fail(f"{hint}{message}", kind="agent_error")


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
