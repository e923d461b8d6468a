"""What a script is asked, and what a test looks at afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any


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
        return [{**message, "content": _blocks(message["content"])} for message in self.body["messages"]]

    @property
    def system(self) -> str:
        """The system prompt as one text."""
        return "\n".join(block.get("text", "") for block in _blocks(self.body.get("system") or []))

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
                _text(answers[call["id"]].get("content", "")),
                bool(answers[call["id"]].get("is_error")),
            )
            for call in blocks
            if call["type"] == "tool_use"
        ]

    @cached_property
    def hashes(self) -> list[str]:
        """The hash of the request up to and including each message: model, system, tools, message 1 .. n.

        A request that goes on from an earlier one has the earlier one's last hash among its own.
        """
        digest = hashlib.sha256()
        for part in ("model", "system", "tools"):
            digest.update(_bytes(self.body.get(part)))
        hashes = []
        for message in self.body["messages"]:
            digest.update(_bytes(message))
            hashes.append(digest.hexdigest())
        return hashes

    @property
    def prefix_hash(self) -> str:
        """The hash of all that the model is shown; two requests with the same one are the same prompt."""
        return self.hashes[-1]

    def extends(self, earlier: Request) -> bool:
        """Whether this prompt starts with the whole of an earlier one, byte for byte."""
        return earlier.prefix_hash in self.hashes


def _bytes(value: object) -> bytes:
    # Keys stay in their order: another order is another prompt to a cache.
    return (
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\0"
    )


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _text(content: Any) -> str:
    return "\n".join(block.get("text", "") for block in _blocks(content))
