"""A request as the prompt cache sees it: a row of blocks, each with a hash of all up to it.

The order is tools, system, messages.  `cache_control` only says where to keep what: it is in no hash.  A text
is the same as its block, and messages of one role in a row are one turn, as for the real API.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LOOKBACK = 20
"""How many blocks, itself included, a breakpoint looks back for something kept."""
FRAME = 3
"""Tokens around a prompt, which no cache holds."""


@dataclass(frozen=True)
class Part:
    """One block: the hash of the prompt up to and including it, its tokens, whether it is a breakpoint."""

    hash: str
    tokens: int
    is_breakpoint: bool


def parts(body: dict[str, Any]) -> list[Part]:
    """The blocks of a request to `/v1/messages` that is valid."""
    digest = hashlib.sha256(_bytes(body.get("model")))
    found = []
    for where, block in _blocks_of(body):
        raw = _bytes({name: value for name, value in block.items() if name != "cache_control"})
        digest.update(where.encode() + raw)
        found.append(Part(digest.hexdigest(), tokens(raw), bool(block.get("cache_control"))))
    if body.get("cache_control") and found:
        found[-1] = Part(found[-1].hash, found[-1].tokens, True)
    return found


def tokens(text: str | bytes) -> int:
    """About how many tokens a text has."""
    return len(text) // 4 + 1


def tokens_of(body: dict[str, Any]) -> int:
    """About how many tokens a request has."""
    return FRAME + sum(part.tokens for part in parts(body))


class PromptCache:
    """What was kept at the breakpoints of the requests so far.

    Unlike the real one, it keeps the shortest prompt, for ever, so that a test needs neither 1,024 tokens
    nor a clock.
    """

    def __init__(self) -> None:
        self._kept: set[str] = set()

    def usage(self, parts: list[Part]) -> dict[str, int]:
        """The input side of a request's `usage`: what is read, what would be kept, what is neither."""
        marks = [at for at, part in enumerate(parts) if part.is_breakpoint]
        looked_at = [at for mark in marks for at in range(max(0, mark - LOOKBACK + 1), mark + 1)]
        read = max((at + 1 for at in looked_at if parts[at].hash in self._kept), default=0)
        written = max(marks[-1] + 1 if marks else 0, read)
        return {
            "input_tokens": FRAME + sum(part.tokens for part in parts[written:]),
            "cache_creation_input_tokens": sum(part.tokens for part in parts[read:written]),
            "cache_read_input_tokens": sum(part.tokens for part in parts[:read]),
        }

    def keep(self, parts: list[Part]) -> None:
        """Keep a prompt up to each of its breakpoints."""
        self._kept.update(part.hash for part in parts if part.is_breakpoint)


def as_blocks(content: Any) -> list[dict[str, Any]]:
    """A content as a list of blocks."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _blocks_of(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from (("tool", tool) for tool in body.get("tools") or [])
    yield from (("system", block) for block in as_blocks(body.get("system") or []))
    # These change what the messages are to the model, but neither tools nor system.
    settings = {name: body[name] for name in ("thinking", "tool_choice") if name in body}
    for message in body["messages"]:
        for block in as_blocks(message["content"]):
            yield message["role"] + json.dumps(settings), block


def _bytes(value: object) -> bytes:
    # Keys stay in their order: another order is another prompt to a cache.
    return (
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\0"
    )
