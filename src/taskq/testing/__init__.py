"""For tests of programs that use taskq: a Messages API on this machine, real HTTP and server-sent events.

from taskq.testing import FakeMessages, Reply, by_turn, text, tool_use
"""

from taskq.testing.arrival import Arrival
from taskq.testing.blocks import (
    citation,
    redacted_thinking,
    server_tool_use,
    text,
    thinking,
    tool_use,
    web_search_tool_result,
)
from taskq.testing.fake import FakeMessages
from taskq.testing.faults import (
    Cut,
    Drip,
    ErrorEvent,
    Extra,
    Fault,
    Garbage,
    Reset,
    Stall,
    ping,
    unknown_delta,
    unknown_event,
)
from taskq.testing.limits import RateLimit
from taskq.testing.offline import offline_script
from taskq.testing.reply import Answer, ApiError, Pieces, Reply
from taskq.testing.request import Call, Request
from taskq.testing.scripting import Script, by_role, by_turn, first_of, in_order, when

__all__ = [
    "Answer",
    "ApiError",
    "Arrival",
    "Call",
    "Cut",
    "Drip",
    "ErrorEvent",
    "Extra",
    "FakeMessages",
    "Fault",
    "Garbage",
    "Pieces",
    "RateLimit",
    "Reply",
    "Request",
    "Reset",
    "Script",
    "Stall",
    "by_role",
    "by_turn",
    "citation",
    "first_of",
    "in_order",
    "offline_script",
    "ping",
    "redacted_thinking",
    "server_tool_use",
    "text",
    "thinking",
    "tool_use",
    "unknown_delta",
    "unknown_event",
    "web_search_tool_result",
    "when",
]
