"""What the Messages API refuses with a 400: the request around its messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from taskq.testing.prefix import as_blocks
from taskq.testing.turns import message_faults

_FIELDS = frozenset(
    (
        *("cache_control", "container", "context_management", "diagnostics", "inference_geo", "max_tokens"),
        *("messages", "metadata", "model", "output_config", "service_tier", "speed", "stop_sequences"),
        *("stream", "system", "thinking", "tool_choice", "tools"),
    )
)
_SAMPLING = frozenset(("temperature", "top_k", "top_p"))
"""Fields of older versions of the API."""
NEWEST = "2026-10-21"
"""The version of the API that is played; what it refuses and older ones took is refused since then only."""
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
MOST_BREAKPOINTS = 4


def fault_of(body: object, *, counting: bool = False, version: str = NEWEST) -> str | None:
    """Why a request body is refused; None if it is not.

    :param counting: it is a request to count tokens, which has no `max_tokens`.
    :param version: the `anthropic-version` that the client speaks.
    """
    return next(_faults(body, counting, version >= NEWEST), None)


def _faults(body: object, counting: bool, is_new: bool) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "The request body is not a JSON object"
        return
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model: Field required"
    if not counting:
        yield from _max_tokens(body)
    for name in sorted(body.keys() - (_FIELDS if is_new else _FIELDS | _SAMPLING)):
        yield f"{name}: Extra inputs are not permitted"
    yield from _tools(body.get("tools", []))
    yield from _tool_choice(body)
    yield from _system(body.get("system", []))
    yield from message_faults(body, is_new)
    if (found := _breakpoints(body)) > MOST_BREAKPOINTS:
        yield (f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {found}.")


def _max_tokens(body: dict[str, Any]) -> Iterator[str]:
    if "max_tokens" not in body:
        yield "max_tokens: Field required"
    elif not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
        yield "max_tokens: Input should be greater than or equal to 1"


def _tools(tools: object) -> Iterator[str]:
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        yield "tools: Input should be a valid list"
        return
    names = [tool.get("name") for tool in tools]
    for number, tool in enumerate(tools):
        if not _TOOL_NAME.fullmatch(str(tool.get("name"))):
            yield f"tools.{number}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        if tool.get("type") not in (None, "custom"):
            continue
        schema = tool.get("input_schema")
        if not isinstance(schema, dict):
            yield f"tools.{number}.custom.input_schema: Field required"
        elif schema.get("type") != "object":
            yield f"tools.{number}.custom.input_schema.type: Input should be 'object'"
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."


def _tool_choice(body: dict[str, Any]) -> Iterator[str]:
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not isinstance(choice, dict) or choice.get("type") not in ("auto", "any", "tool", "none"):
        yield "tool_choice: Input should be an object of type 'auto', 'any', 'tool' or 'none'"
    elif choice["type"] != "none" and not body.get("tools"):
        yield "tool_choice: tool_choice may only be specified while providing tools"
    elif choice["type"] == "tool" and choice.get("name") not in [tool["name"] for tool in body["tools"]]:
        yield f"tool_choice: Tool '{choice.get('name')}' not found in provided tools"


def _system(system: object) -> Iterator[str]:
    if not isinstance(system, str | list):
        yield "system: Input should be a valid list"
    elif isinstance(system, list):
        for at, block in enumerate(system):
            if not isinstance(block, dict) or block.get("type") != "text":
                yield f"system.{at}.type: Input should be 'text'"
            elif not block.get("text"):
                yield "system: text content blocks must be non-empty"


def _breakpoints(body: dict[str, Any]) -> int:
    blocks = [*body.get("tools", []), *as_blocks(body.get("system", []))]
    for message in body["messages"]:
        for block in as_blocks(message["content"]):
            blocks += [block, *as_blocks(block.get("content") or [])]
    marked = [block for block in (body, *blocks) if isinstance(block, dict) and block.get("cache_control")]
    return len(marked)
