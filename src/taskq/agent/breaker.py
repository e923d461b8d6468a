"""The loop breaker: an agent that makes the same call again and again, and gets the same answer, is warned,
then stopped for a person to look.

The verdict follows from the conversation alone, so a resumed run comes to the same one; nothing is stored.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, Literal

from taskq.agent.untrusted import unmarked

Verdict = Literal["warn", "park"]

WINDOW: Final = 20
"""How many of the last calls are looked at."""

GO_ON: Final = "A person looked at the calls that you repeated, and lets you go on."
"""What the agent is told after somebody approved a parked task; what was before it no longer counts."""


class Breaker:
    """Hears the tool calls of a conversation with their results, in order.

    :param warn_after: how many equal calls with equal results, within the last `WINDOW`, earn a warning.
    :param park_after: how many stop the agent; if not more than `warn_after`, there is no warning.
    """

    def __init__(self, warn_after: int = 3, park_after: int = 5) -> None:
        self._warn_after, self._park_after = warn_after, park_after
        self._heard: deque[bytes] = deque(maxlen=WINDOW)

    def hear(self, tool: str, given: object, result: object) -> Verdict | None:
        """A call and its result: what follows from it.

        :param given: the call's input, as the model gave it; the order of its keys does not matter.
        :param result: the `tool_result` block's content, text or blocks; numbers of markers do not matter.
        """
        call = sha256(_canonical([tool, given, unmarked(_canonical(result))]).encode()).digest()
        self._heard.append(call)
        times = self._heard.count(call)
        if times >= self._park_after:
            return "park"
        return "warn" if times >= self._warn_after else None

    def forget(self) -> None:
        """A person lets the agent go on: what was before does not count any more."""
        self._heard.clear()

    def read(self, messages: Iterable[Mapping[str, Any]]) -> dict[str, Verdict]:
        """Hear a conversation, or the part of it that was not heard yet.

        :param messages: `role` and `content` (a list of blocks) each, beginning with no open tool call.
        :returns: the verdicts on the calls of the last message with results, by tool, the worst of each.
        """
        calls: dict[str, Mapping[str, Any]] = {}
        last: dict[str, Verdict] = {}
        for message in messages:
            blocks = message["content"] if isinstance(message["content"], list) else []
            if message["role"] == "assistant":
                calls = {block["id"]: block for block in blocks if block["type"] == "tool_use"}
                continue
            if any(block["type"] == "tool_result" for block in blocks):
                last = self._hear_all(blocks, calls)
            # The word is ours: what a tool returns is in no text block.
            if any(block["type"] == "text" and block["text"] == GO_ON for block in blocks):
                self.forget()
                last = {}
        return last

    def _hear_all(
        self, blocks: list[Mapping[str, Any]], calls: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Verdict]:
        """Hear the results in one message of ours."""
        verdicts: dict[str, Verdict] = {}
        for block in blocks:
            call = calls.get(block.get("tool_use_id", ""))
            if call is None:
                continue
            verdict = self.hear(call["name"], call["input"], [block.get("content"), block.get("is_error")])
            if verdict and verdicts.get(call["name"]) != "park":
                verdicts[call["name"]] = verdict
        return verdicts


def warning(verdicts: Mapping[str, Verdict]) -> str:
    """What an agent is told that repeats itself, beside the results of its calls."""
    return (
        f"You have made the same call of {', '.join(sorted(verdicts))} several times, and its answer was the"
        " same each time. Making it again will not change that: take another way, or hand in what you have"
        " and say what is missing. If you go on like this, you will be stopped."
    )


def reason(verdicts: Mapping[str, Verdict]) -> str:
    """Why an agent was stopped, for the person who is to look at it."""
    tools = sorted(tool for tool, verdict in verdicts.items() if verdict == "park")
    return (
        f"the agent repeats itself: the same call of {', '.join(tools)} with the same result, again and again"
    )


def _canonical(value: object) -> str:
    """The value as JSON, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, default=str)
