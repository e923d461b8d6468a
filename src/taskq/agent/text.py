"""Text that can be stored and sent."""

from __future__ import annotations

from typing import Any


def clean(value: Any) -> Any:
    """The value with every lone surrogate in its texts replaced: UTF-8 cannot carry them.

    Names of files and escapes in a model's JSON can hold them.  Two halves of one character are joined.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def without_nul(value: Any) -> Any:
    """The value with every NUL in its texts replaced: jsonb and text refuse them."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    return value


def cut(text: str, most: int) -> str:
    """The text, at most `most` characters of it, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shortened(text: str, most: int) -> str:
    """The text; of a longer one the first `most` characters, and a line that says so."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: {len(text) - most} of {len(text)} characters are not shown]"
