"""What the Messages API refuses with a 400."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_FIELDS = frozenset(
    (
        *("cache_control", "container", "context_management", "diagnostics", "inference_geo", "max_tokens"),
        *("messages", "metadata", "model", "output_config", "service_tier", "speed", "stop_sequences"),
        *("stream", "system", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p"),
    )
)
_REQUIRED: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
    "image": {"source": dict},
    "document": {"source": dict},
}
_OPTIONAL: dict[str, set[str]] = {
    "text": {"citations"},
    "tool_use": {"caller", "toolset_name"},
    "tool_result": {"content", "is_error", "toolset_name"},
    "document": {"title", "context", "citations"},
}
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def fault_of(body: object, *, counting: bool = False) -> str | None:
    """Why a request body is refused; None if it is not.

    :param counting: it is a request to count tokens, which has no `max_tokens`.
    """
    return next(_faults(body, counting), None)


def _faults(body: object, counting: bool) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "The request body is not a JSON object"
        return
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model: Field required"
    if not counting:
        yield from _max_tokens(body)
    for name in sorted(body.keys() - _FIELDS):
        yield f"{name}: Extra inputs are not permitted"
    yield from _tools(body.get("tools", []))
    yield from _messages(body.get("messages"))


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


def _messages(messages: object) -> Iterator[str]:
    if not isinstance(messages, list):
        yield "messages: Field required"
        return
    if not messages:
        yield "messages: at least one message is required"
    for at, message in enumerate(messages):
        yield from _message(f"messages.{at}", message)
    if messages and messages[0]["role"] != "user":
        yield 'messages: first message must use the "user" role'
    yield from _pairs(messages)


def _message(where: str, message: Any) -> Iterator[str]:
    if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
        yield f"{where}.role: Input should be 'user' or 'assistant'"
        return
    content = message.get("content")
    if not isinstance(content, str | list):
        yield f"{where}.content: Field required"
    elif not content:
        yield f"{where}: all messages must have non-empty content"
    elif isinstance(content, list):
        for at, block in enumerate(content):
            yield from _block(f"{where}.content.{at}", block, message["role"])


def _block(where: str, block: Any, role: str) -> Iterator[str]:
    kind = str(block.get("type")) if isinstance(block, dict) else ""
    if kind not in _REQUIRED:
        yield f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        return
    for name, wanted in _REQUIRED[kind].items():
        if not isinstance(block.get(name), wanted):
            yield f"{where}.{kind}.{name}: Field required"
    known = {"type", "cache_control", *_REQUIRED[kind], *_OPTIONAL.get(kind, ())}
    for name in sorted(block.keys() - known):
        yield f"{where}.{kind}.{name}: Extra inputs are not permitted"
    if kind == "text" and not block["text"]:
        yield "messages: text content blocks must be non-empty"
    if kind == "tool_use" and role != "assistant":
        yield f"{where}: `tool_use` blocks can only be in `assistant` messages"
    if kind == "tool_result" and role != "user":
        yield f"{where}: `tool_result` blocks can only be in `user` messages"


def _pairs(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Every tool call is answered at the start of the next message, and nothing else is."""
    seen: set[str] = set()
    for at, message in enumerate(messages):
        calls = _ids(message, "tool_use", "id")
        if seen & set(calls) or len(set(calls)) < len(calls):
            yield "messages: `tool_use` ids must be unique"
        seen.update(calls)
        asked = _ids(messages[at - 1], "tool_use", "id") if at else []
        answered = _ids(message, "tool_result", "tool_use_id")
        if stray := [id for id in answered if id not in asked]:
            yield (
                f"messages.{at}.content.0: unexpected `tool_use_id` found in `tool_result` blocks:"
                f" {stray[0]}. Each `tool_result` block must have a corresponding `tool_use` block"
                " in the previous message."
            )
        if open := [id for id in asked if id not in _leading_answers(message)]:
            yield _unanswered(at - 1, open)
    if messages and (open := _ids(messages[-1], "tool_use", "id")):
        yield _unanswered(len(messages) - 1, open)


def _unanswered(at: int, ids: list[str]) -> str:
    return (
        f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after:"
        f" {', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` block"
        " in the next message."
    )


def _ids(message: dict[str, Any], kind: str, name: str) -> list[str]:
    content = message["content"] if isinstance(message["content"], list) else []
    return [block[name] for block in content if block["type"] == kind]


def _leading_answers(message: dict[str, Any]) -> list[str]:
    """The ids answered before any other block: an answer after a text does not count."""
    ids = []
    for block in message["content"] if isinstance(message["content"], list) else []:
        if block["type"] != "tool_result":
            break
        ids.append(block["tool_use_id"])
    return ids
