"""The answer of a web server, read as text that a model can be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskq.agent.html import text_of
from taskq.agent.text import cut
from taskq.agent.untrusted import marked
from taskq.tool import Answer, ToolError

if TYPE_CHECKING:
    import httpx2

BYTES = 256 * 1024
"""Most bytes that are read of an answer."""
CHARACTERS = 48 * 1024
"""Most characters that are shown of it."""
_TEXT = ("json", "xml", "javascript", "yaml", "toml", "csv", "x-sh", "x-www-form-urlencoded")


async def read(url: httpx2.URL, response: httpx2.Response) -> Answer:
    """The text of an answer, marked as data that comes from `url`; an error's text is an answer too.

    :raises ToolError: it is no text.
    """
    shown = cut(str(url), 200)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("text/") and not kind.endswith(_TEXT):
        raise ToolError(f"{shown}: answered {cut(kind, 100)}, which is no text")
    if (coding := response.headers.get("content-encoding", "identity")) != "identity":
        raise ToolError(f"{shown}: answered in {cut(coding, 100)}, which was not asked for")
    data, whole = await _body(response)
    if b"\0" in data:
        raise ToolError(f"{shown}: answered bytes that are no text")
    text = data.decode(_charset(response), "replace")
    if "html" in kind:
        text = text_of(text)
    head = f"{response.status_code} {cut(kind, 100) or 'of no named type'}, from {shown}"
    if not whole or len(text) > CHARACTERS:
        head += f" [cut: only the first {min(len(text), CHARACTERS):,} characters are shown]"
    return Answer(f"{head}\n{marked(text[:CHARACTERS], str(url))}", is_error=response.status_code >= 400)


async def _body(response: httpx2.Response) -> tuple[bytes, bool]:
    """The first bytes of the body, and whether they are all."""
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > BYTES:
            return bytes(data[:BYTES]), False
    return bytes(data), True


def _charset(response: httpx2.Response) -> str:
    """The character set that the answer names; UTF-8 if it names none that is known."""
    named = response.charset_encoding or "utf-8"
    try:
        b"text".decode(named)
    except (LookupError, ValueError):
        return "utf-8"
    return named
