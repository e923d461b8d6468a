"""What a script is asked, and what a test looks at afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

from taskq.testing.prefix import Part, as_blocks, parts


@dataclass(frozen=True)
class Call:
    """A tool call of the conversation, answered: `answer` is the answer's text, `failed` its `is_error`."""

    name: str
    arguments: dict[str, Any]
    answer: str
    failed: bool


class Request:
    """One request to the fake.

    `body` is the decoded JSON, `raw` its bytes, `headers` have lower-case names, `path` is the URL's.
    """

    def __init__(self, path: str, headers: Mapping[str, str], raw: bytes, body: dict[str, Any]) -> None:
        self.path = path
        self.headers = headers
        self.raw = raw
        self.body = body

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body["model"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far, each content as a list of blocks."""
        return [{**message, "content": as_blocks(message["content"])} for message in self.body["messages"]]

    @property
    def system(self) -> str:
        """The system prompt as one text."""
        return "\n".join(block.get("text", "") for block in as_blocks(self.body.get("system") or []))

    @property
    def task(self) -> str | None:
        """What the line `Task:` of the first message says: the task's name, or its role if it has none."""
        found = re.search(r"^Task: (.*)$", _texts(self.messages[0]["content"]), re.MULTILINE)
        return found[1] if found else None

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """The tools offered, by name."""
        return {tool["name"]: tool for tool in self.body.get("tools") or []}

    @property
    def turn(self) -> int:
        """Which message of the model is asked for; the first is 1."""
        return 1 + len([message for message in self.messages if message["role"] == "assistant"])

    @property
    def calls(self) -> list[tuple[str, dict[str, Any], str, bool]]:
        """The tool calls so far: name, input, the answer's text, whether that is an error."""
        blocks = [block for message in self.messages for block in message["content"]]
        answers = {block["tool_use_id"]: block for block in blocks if block["type"] == "tool_result"}
        return [
            (
                call["name"],
                call["input"],
                _texts(as_blocks(answers[call["id"]].get("content", ""))),
                bool(answers[call["id"]].get("is_error")),
            )
            for call in blocks
            if call["type"] == "tool_use"
        ]

    @property
    def last_call(self) -> Call | None:
        """The tool call that was answered last, if this turn follows a tool's answer.

        Words of the user's may come after the answer, in a message of their own too.
        """
        since = takewhile(lambda message: message["role"] == "user", reversed(self.messages))
        answers = [
            block for message in since for block in message["content"] if block["type"] == "tool_result"
        ]
        return Call(*self.calls[-1]) if answers else None

    @cached_property
    def parts(self) -> list[Part]:
        """The prompt as a prompt cache sees it, block by block: tools, system, messages."""
        return parts(self.body)

    @property
    def hashes(self) -> list[str]:
        """The hash of the prompt up to and including each block: tools, then system, then messages.

        A request that goes on from an earlier one has the earlier one's last hash among its own.
        """
        return [part.hash for part in self.parts]

    @property
    def prefix_hash(self) -> str:
        """The hash of all that the model is shown; two requests with the same one are the same prompt."""
        return self.parts[-1].hash

    def extends(self, earlier: Request) -> bool:
        """Whether this prompt starts with the whole of an earlier one, byte for byte."""
        return earlier.prefix_hash in self.hashes


def _texts(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(block.get("text", "") for block in blocks)
