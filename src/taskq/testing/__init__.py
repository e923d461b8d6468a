"""For tests of programs that use taskq: a Messages API on this machine, real HTTP and server-sent events.

from taskq.testing import FakeMessages, Reply, by_turn, text, tool_use
"""

from taskq.testing.fake import FakeMessages, by_turn, in_order
from taskq.testing.offline import offline_script
from taskq.testing.reply import (
    Answer,
    ApiError,
    Cut,
    ErrorEvent,
    Fault,
    Reply,
    Stall,
    text,
    thinking,
    tool_use,
)
from taskq.testing.request import Request

__all__ = [
    "Answer",
    "ApiError",
    "Cut",
    "ErrorEvent",
    "FakeMessages",
    "Fault",
    "Reply",
    "Request",
    "Stall",
    "by_turn",
    "in_order",
    "offline_script",
    "text",
    "thinking",
    "tool_use",
]
