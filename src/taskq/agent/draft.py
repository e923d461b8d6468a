"""A message of the model while it is being streamed."""

from __future__ import annotations

import json
from typing import Any

from taskq.agent.shapes import Block, Turn

Event = dict[str, Any]


class Draft:
    """The message so far, from the events of the stream.

    Not the SDK's own accumulator: that parses a tool's arguments anew with every piece, fails on a piece that
    ends inside an escape, and takes a cut object for a whole one.  Events and deltas of unknown types are
    passed over, as the API's versioning policy asks.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}
        self._arguments: dict[int, list[str]] = {}
        self._message: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._finished = False

    def add(self, event: Event) -> None:
        """Take in one event.

        :raises ValueError, LookupError: it does not fit what came before.
        """
        match event["type"]:
            case "message_start":
                self._message = event["message"]
            case "content_block_start":
                self._blocks[event["index"]] = event["content_block"]
            case "content_block_delta":
                self._extend(event["index"], event["delta"])
            case "content_block_stop":
                self._close(event["index"])
            case "message_delta":
                self._stop_reason = event["delta"]["stop_reason"]
                # Counts are totals; those that are left out or null stand as they were.
                counts = {name: count for name, count in event["usage"].items() if count is not None}
                self._message["usage"] = {**self._message["usage"], **counts}
            case "message_stop":
                self._finished = True

    def turn(self) -> Turn | None:
        """The message, if it was streamed to its end."""
        if not self._finished:
            return None
        return Turn(
            content=[self._blocks[index] for index in sorted(self._blocks)],
            stop_reason=self._stop_reason,
            model=self._message["model"],
            usage=self._message["usage"],
        )

    def _extend(self, index: int, delta: dict[str, Any]) -> None:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or []), delta["citation"]]
            case "input_json_delta":
                self._arguments.setdefault(index, []).append(delta["partial_json"])

    def _close(self, index: int) -> None:
        if arguments := "".join(self._arguments.pop(index, [])):
            self._blocks[index]["input"] = json.loads(arguments)
