"""The simulated model of the demo: one for all workers, so that what goes wrong goes wrong once.

It plays every agent by the offline script, but for three requests: one is refused with a 429, one answer is
cut off while it is streamed, and the fact checker first hands in a result without the lines that prove it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from taskq.testing import (
    ApiError,
    Cut,
    FakeMessages,
    Reply,
    Request,
    Script,
    first_of,
    in_order,
    offline_script,
    tool_use,
    when,
)
from taskq.testing.fake import OFFLINE_LATENCY

RETRY_AFTER: Final = 1
"""Seconds that the 429 asks for."""
LIMITED, CUT, CHECKED = "data", "design", "check"
"""The tasks, by name, that meet the limit, the cut and the failed check."""


def demo_script() -> Script:
    """A new script; each fault happens once in its life."""
    limit = ApiError(429, message="This request would exceed your rate limit.", retry_after=RETRY_AFTER)
    return first_of(
        when(test=asks(LIMITED), turn=1).then(in_order(limit, offline_script)),
        when(test=asks(CUT), turn=2).then(in_order(cut_off, offline_script)),
        when(test=hands_in_first).then(without_proofs),
        otherwise=offline_script,
    )


@asynccontextmanager
async def simulated_model() -> AsyncIterator[str]:
    """The model, served on this machine for as long as the block lasts; gives its address."""
    async with FakeMessages(demo_script(), latency=OFFLINE_LATENCY).serve() as url:
        yield url


def asks(task: str) -> Callable[[Request], bool]:
    """Whether a request is the task's of this name."""
    return lambda request: request.task == task


def cut_off(request: Request) -> Reply:
    """The usual answer, of which only the beginning arrives."""
    return replace(offline_script(request), fault=Cut(after=6))


def hands_in_first(request: Request) -> bool:
    """Whether the fact checker is about to hand in, and has not yet."""
    if request.task != CHECKED or any(name == "submit_result" for name, *_ in request.calls):
        return False
    return any(block.get("name") == "submit_result" for block in offline_script(request).content)


def without_proofs(request: Request) -> Reply:
    """The usual submission, in a hurry: no list is in it."""
    reply = offline_script(request)
    return replace(reply, content=[hurried(block) for block in reply.content])


def hurried(block: dict[str, object]) -> dict[str, object]:
    """A call without its lists."""
    given = block.get("input")
    if not isinstance(given, dict):
        return block
    kept = {name: value for name, value in given.items() if not isinstance(value, list)}
    return tool_use(str(block["name"]), kept)
