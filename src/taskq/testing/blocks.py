"""The blocks that a message of the model is made of.

A client must send all of them back unchanged, those included that it cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Block = dict[str, Any]


def text(words: str, *, citations: Sequence[dict[str, Any]] = ()) -> Block:
    """A text block, with the `citations` that bear it out."""
    block: Block = {"type": "text", "text": words}
    return {**block, "citations": list(citations)} if citations else block


def citation(url: str, title: str, cited: str) -> dict[str, Any]:
    """A citation of a page that a web search found."""
    return {
        "type": "web_search_result_location",
        "url": url,
        "title": title,
        "cited_text": cited,
        "encrypted_index": "ZW5jcnlwdGVk",
    }


def thinking(words: str, *, signature: str = "c2lnbmF0dXJl") -> Block:
    """A thinking block; its signature is made up.  Without words it is one whose thinking is not shown."""
    return {"type": "thinking", "thinking": words, "signature": signature}


def redacted_thinking(data: str = "ZW5jcnlwdGVk") -> Block:
    """Thinking that nobody may read: encrypted, to be sent back as it is."""
    return {"type": "redacted_thinking", "data": data}


def tool_use(name: str, arguments: dict[str, Any] | str, *, id: str | None = None) -> Block:
    """A tool call.

    :param arguments: its input; as a text, the very JSON that is streamed, cut short as it may be when the
        model runs out of tokens.
    :param id: None takes one that follows from the request.
    """
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def server_tool_use(name: str, arguments: dict[str, Any], *, id: str | None = None) -> Block:
    """A call of a tool that the provider runs, such as `web_search`."""
    return {"type": "server_tool_use", "id": id, "name": name, "input": arguments}


def web_search_tool_result(*urls: str, id: str | None = None) -> Block:
    """What a web search found; it answers the `server_tool_use` before it unless `id` names another."""
    results = [
        {
            "type": "web_search_result",
            "url": url,
            "title": url,
            "encrypted_content": "ZW5jcnlwdGVk",
            "page_age": None,
        }
        for url in urls
    ]
    return {"type": "web_search_tool_result", "tool_use_id": id, "content": results}
