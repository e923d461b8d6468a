"""A reply as the Messages API would word it: one JSON message, or a series of server-sent events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from taskq.testing.reply import Reply
from taskq.testing.request import Request

TEXT_PIECE = 24
"""Characters of text in one event."""
JSON_PIECE = 11
"""Characters of a tool call's arguments in one event: short, so that they break inside words and escapes."""

Event = dict[str, Any]


def message(request: Request, reply: Reply) -> dict[str, Any]:
    """The whole message, as a request without `stream` gets it.  The same request gets the same ids."""
    content = [_with_id(block, request, at) for at, block in enumerate(reply.content)]
    calls = any(block["type"] == "tool_use" for block in content)
    return {
        "id": f"msg_{_id(request, 'message')}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": reply.stop_reason or ("tool_use" if calls else "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens_of(request.body),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": tokens(json.dumps(content)),
            **reply.usage,
        },
    }


def stream(whole: dict[str, Any]) -> Iterator[Event]:
    """The message as the events that a request with `stream` gets."""
    usage = whole["usage"]
    start = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for at, block in enumerate(whole["content"]):
        yield from _block(at, block)
        if at == 0:
            yield {"type": "ping"}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]},
        "usage": {"output_tokens": usage["output_tokens"]},
    }
    yield {"type": "message_stop"}


def encode(event: Event) -> bytes:
    """An event on the wire."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def tokens(text: str) -> int:
    """About how many tokens a text has."""
    return len(text) // 4 + 1


def tokens_of(body: dict[str, Any]) -> int:
    """About how many tokens a request has."""
    return tokens(json.dumps([body.get("system"), body.get("tools"), body.get("messages")]))


def _block(at: int, block: dict[str, Any]) -> Iterator[Event]:
    empty, deltas = _deltas(block)
    yield {"type": "content_block_start", "index": at, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": at, "delta": delta}
    yield {"type": "content_block_stop", "index": at}


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it starts, and what is then added to it."""
    if block["type"] == "text":
        pieces = _pieces(block["text"], TEXT_PIECE)
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": p} for p in _pieces(block["thinking"], TEXT_PIECE)]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
    arguments = json.dumps(block["input"])
    # The real API sends an empty piece first.
    pieces = ["", *_pieces(arguments, JSON_PIECE)]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _with_id(block: dict[str, Any], request: Request, at: int) -> dict[str, Any]:
    if block["type"] == "tool_use" and block["id"] is None:
        return {**block, "id": f"toolu_{_id(request, str(at))}"}
    return block


def _id(request: Request, what: str) -> str:
    return hashlib.sha256(f"{request.prefix_hash} {what}".encode()).hexdigest()[:24]
