"""What the Messages API refuses in a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SERVED: dict[str, type | tuple[type, ...]] = {"tool_use_id": str, "content": (list, dict)}
_REQUIRED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "text": {"text": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "search_result": {"content": list, "source": str, "title": str},
    "container_upload": {"file_id": str},
    "server_tool_use": {"id": str, "name": str, "input": dict},
    "web_search_tool_result": _SERVED,
    "web_fetch_tool_result": _SERVED,
    "code_execution_tool_result": _SERVED,
    "bash_code_execution_tool_result": _SERVED,
    "text_editor_code_execution_tool_result": _SERVED,
    "tool_search_tool_result": _SERVED,
}
_OPTIONAL: dict[str, set[str]] = {
    "text": {"citations"},
    "tool_use": {"caller", "toolset_name"},
    "tool_result": {"content", "is_error", "toolset_name"},
    "document": {"title", "context", "citations"},
    "search_result": {"citations"},
    "server_tool_use": {"caller"},
    "web_search_tool_result": {"caller"},
    "web_fetch_tool_result": {"caller"},
}
_NO_BREAKPOINT = {"thinking", "redacted_thinking"}
_OF_THE_ASSISTANT = {"thinking", "redacted_thinking", "tool_use", "server_tool_use"}


def block_faults(where: str, block: Any, role: str) -> Iterator[str]:
    """Why a block of a message of this role is refused, the first reason first."""
    kind = str(block.get("type")) if isinstance(block, dict) else ""
    if kind not in _REQUIRED:
        yield f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        return
    for name, wanted in _REQUIRED[kind].items():
        if not isinstance(block.get(name), wanted):
            yield f"{where}.{kind}.{name}: Field required"
    known = {"type", *_REQUIRED[kind], *_OPTIONAL.get(kind, ())}
    known |= set() if kind in _NO_BREAKPOINT else {"cache_control"}
    for name in sorted(block.keys() - known):
        yield f"{where}.{kind}.{name}: Extra inputs are not permitted"
    yield from _words(block)
    if kind == "tool_result":
        yield from _answer(where, block.get("content", ""))
    if kind in _OF_THE_ASSISTANT and role != "assistant":
        yield f"{where}: `{kind}` blocks can only be in `assistant` messages"
    if kind == "tool_result" and role != "user":
        yield f"{where}: `tool_result` blocks can only be in `user` messages"


def _words(block: dict[str, Any]) -> Iterator[str]:
    if block["type"] == "text" and not block["text"]:
        yield "messages: text content blocks must be non-empty"
    if block["type"] == "text" and not block["text"].strip():
        yield "messages: text content blocks must contain non-whitespace text"


def _answer(where: str, content: Any) -> Iterator[str]:
    if not isinstance(content, str | list):
        yield f"{where}.tool_result.content: Input should be a valid string"
    elif isinstance(content, list):
        for at, block in enumerate(content):
            if not isinstance(block, dict) or block.get("type") in (None, "tool_result", "tool_use"):
                yield f"{where}.tool_result.content.{at}: Input should be a text, an image or a document"
            elif block["type"] == "text" and not block.get("text"):
                yield "messages: text content blocks must be non-empty"
