"""A reply as the Messages API would word it: one JSON message, or a series of server-sent events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from taskq.testing.blocks import Block
from taskq.testing.prefix import PromptCache, tokens
from taskq.testing.reply import USUAL, Pieces, Reply
from taskq.testing.request import Request

Event = dict[str, Any]


def message(request: Request, reply: Reply, usage: dict[str, int] | None = None) -> dict[str, Any]:
    """The whole message, as a request without `stream` gets it.  The same request gets the same ids.

    :param usage: the input side of its `usage`; None reckons it for an empty prompt cache.
    """
    usage = PromptCache().usage(request.parts) if usage is None else usage
    content = _with_ids(request, reply)
    return {
        "id": f"msg_{_id(request, 'message')}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": _stop_reason(reply),
        "stop_sequence": reply.stop_sequence,
        "stop_details": _stop_details(reply),
        "usage": {**usage, "output_tokens": tokens(json.dumps(content)), **reply.usage},
    }


def whole(message: dict[str, Any]) -> dict[str, Any]:
    """The message as JSON: arguments that were cut short are none."""
    return {**message, "content": [_parsed(block) for block in message["content"]]}


def stream(message: dict[str, Any], pieces: Pieces = USUAL) -> Iterator[Event]:
    """The message as the events that a request with `stream` gets."""
    usage = message["usage"]
    nothing: dict[str, Any] = {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }
    yield {
        "type": "message_start",
        "message": {**message, **nothing, "usage": {**usage, "output_tokens": 1}},
    }
    for at, block in enumerate(message["content"]):
        empty, deltas = _deltas(block, pieces)
        yield {"type": "content_block_start", "index": at, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": at, "delta": delta}
        yield {"type": "content_block_stop", "index": at}
        if at == 0:
            yield {"type": "ping"}
    stop = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": stop, "usage": usage}
    yield {"type": "message_stop"}


def encode(event: Event) -> bytes:
    """An event on the wire."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def _deltas(block: Block, pieces: Pieces) -> tuple[Block, list[dict[str, Any]]]:
    """A block as it starts, and what is then added to it."""
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": p} for p in _cut(block["text"], pieces.text)]
            cited = [{"type": "citations_delta", "citation": c} for c in block.get("citations") or []]
            empty: dict[str, Any] = {"citations": []} if cited else {}
            return {**block, "text": "", **empty}, [*deltas, *cited]
        case "thinking":
            words = _cut(block["thinking"], pieces.text)
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in words]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
        case "tool_use" | "server_tool_use":
            given = block["input"]
            arguments = given if isinstance(given, str) else json.dumps(given)
            # The real API sends an empty piece first.
            parts = ["", *_cut(arguments, pieces.json)]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in parts]
        case _:
            return block, []


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _stop_reason(reply: Reply) -> str:
    calls = any(block["type"] == "tool_use" for block in reply.content)
    follows = "stop_sequence" if reply.stop_sequence else "tool_use" if calls else "end_turn"
    return reply.stop_reason or follows


def _stop_details(reply: Reply) -> dict[str, Any] | None:
    if reply.stop_reason == "refusal" and reply.stop_details is None:
        return {"type": "refusal", "category": None, "explanation": None}
    return reply.stop_details


def _with_ids(request: Request, reply: Reply) -> list[Block]:
    """The blocks, with ids for those that have none yet; a result takes the id of the call before it."""
    blocks: list[Block] = []
    called = ""
    for at, block in enumerate(reply.content):
        if block["type"] in ("tool_use", "server_tool_use") and block["id"] is None:
            kind = "toolu" if block["type"] == "tool_use" else "srvtoolu"
            block = {**block, "id": f"{kind}_{_id(request, str(at))}"}
        if block["type"] == "server_tool_use":
            called = block["id"]
        if "tool_use_id" in block and block["tool_use_id"] is None:
            block = {**block, "tool_use_id": called}
        blocks.append(block)
    return blocks


def _parsed(block: Block) -> Block:
    if not isinstance(block.get("input"), str):
        return block
    try:
        return {**block, "input": json.loads(block["input"])}
    except ValueError:
        return {**block, "input": {}}


def _id(request: Request, what: str) -> str:
    return hashlib.sha256(f"{request.prefix_hash} {what}".encode()).hexdigest()[:24]
