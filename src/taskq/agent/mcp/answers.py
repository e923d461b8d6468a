"""What an MCP server offers and answers: untrusted, and bounded."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from mcp_types import CallToolResult
from mcp_types import Tool as Offer

from taskq.agent.mcp.server import Server
from taskq.agent.text import cut
from taskq.agent.untrusted import marked
from taskq.tool import Answer, Tool
from taskq.tool.model import Run

CHARACTERS = 48 * 1024
"""Most characters that are shown of an answer."""
DESCRIPTION_CHARACTERS = 2000
"""Most characters of a tool's description."""
NAME_CHARACTERS = 64
"""Most characters of a tool's name, the server's included."""
# The Messages API takes none of these at the top of a schema; the server checks its input by itself.
_NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf")


def tools(server: Server, offers: list[Offer], run: Callable[[str], Run]) -> list[Tool]:
    """The tools that a server offers and its manifest allows, by name; `run` makes what calls one of them."""
    found: dict[str, Tool] = {}
    for offer in sorted(offers, key=lambda offer: offer.name):
        name = tool_name(server.name, offer.name)
        if server.allows(offer.name) and name not in found:
            found[name] = Tool(
                name=name,
                description=_description(server, offer),
                schema=_schema(offer.input_schema),
                effect=server.effect(offer.name, **_claims(offer)),
                run=run(offer.name),
            )
    return list(found.values())


def tool_name(server: str, tool: str) -> str:
    """`SERVER__TOOL` in the characters and the length that the Messages API takes."""
    name = f"{server}__{re.sub(r'[^a-zA-Z0-9_-]', '_', tool)}"
    if len(name) <= NAME_CHARACTERS:
        return name
    return f"{name[: NAME_CHARACTERS - 9]}_{hashlib.sha256(tool.encode()).hexdigest()[:8]}"


def answer(server: Server, tool: str, result: CallToolResult) -> Answer:
    """What a tool answered, marked as data from that server."""
    text = "\n".join(_text(block) for block in result.content)
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    source = f"MCP server {server.name}, tool {cut(tool, 100)}"
    head = f"[cut: only the first {CHARACTERS:,} characters are shown]\n" if len(text) > CHARACTERS else ""
    return Answer(head + marked(text[:CHARACTERS], source), is_error=result.is_error)


def _text(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type == "resource_link":
        return f"[resource {cut(str(block.uri), 500)}]"
    if block.type == "resource":
        text = getattr(block.resource, "text", None)
        return f"[resource {cut(str(block.resource.uri), 500)}: no text]" if text is None else str(text)
    return f"[{block.type}, {cut(str(getattr(block, 'mime_type', '')), 100)}: not shown]"


def _description(server: Server, offer: Offer) -> str:
    words = (offer.description or "").strip() or f"The tool {offer.name} of the MCP server {server.name}."
    return cut(words, DESCRIPTION_CHARACTERS)


def _schema(given: dict[str, Any]) -> dict[str, Any]:
    return {**{key: value for key, value in given.items() if key not in _NOT_AT_THE_TOP}, "type": "object"}


def _claims(offer: Offer) -> dict[str, bool | None]:
    hints = offer.annotations
    return {
        "reads": hints.read_only_hint if hints else None,
        "repeatable": hints.idempotent_hint if hints else None,
    }
