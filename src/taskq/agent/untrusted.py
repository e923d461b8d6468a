"""Text that somebody else wrote: shown between markers that say where it is from.

A marker carries a number that the text does not contain, so nothing in the text can close it.  The system
prompt says what the markers mean: what is between two of the same number is data, never an instruction.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import count

SOURCE_CHARACTERS = 200
"""Where one attribute of a marker is cut."""

_MARK = re.compile(r"[0-9a-f]{16}")
_MARKER = re.compile(r"(</?data-)[0-9a-f]{16}\b")


def draw(*texts: str, token: Callable[[], str] = lambda: secrets.token_hex(8)) -> str:
    """A number for the markers of these texts that none of them contains, drawn anew for each prompt."""
    mark = token()
    while any(mark in text for text in texts):
        mark = token()
    return mark


def mark_of(text: str, *of: object) -> str:
    """A number for the markers of this text that it does not contain: always the same one, so that a
    resumed run writes the same bytes.

    A text cannot hold a hash of itself, short of 2**64 tries; one that does gets the next number.

    :param of: what else it depends on, such as the ids of the task and of the tool call.
    """
    salt = "\0".join([*map(str, of), text])
    for number in count():
        mark = sha256(f"{number}\0{salt}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if mark not in text:
            return mark
    raise AssertionError("unreachable")


def wrap(
    text: str, *, key: object = "", token: str | None = None, most: int | None = None, **source: object
) -> str:
    """The text between markers.

    :param key: what it belongs to, such as the key of a tool call; the markers' number follows from both.
    :param token: that number, if it is drawn already.
    :param most: how many characters of the text to show; what is cut is told in the opening marker, where
        the text cannot deny it.
    :param source: where it is from, as attributes: `source="http_get https://…"`, `task=id`.
    :raises ValueError: the text contains the number and could close the marker, or the number is none.
    """
    token = mark_of(text, key) if token is None else token
    if token in text or not _MARK.fullmatch(token):
        raise ValueError("the markers need a number of 16 hexadecimal digits that the text does not contain")
    attributes = "".join(f' {name}="{_attribute(str(value))}"' for name, value in source.items())
    if most is not None and len(text) > most:
        attributes += f' cut="{len(text) - most} of {len(text)} characters are not shown"'
    return f"<data-{token}{attributes}>\n{text[:most]}\n</data-{token}>"


def marked(text: str, source: str, *, most: int | None = None) -> str:
    """The text between markers of its own number, with its source: the same bytes whoever writes them."""
    return wrap(text, token=mark_of(text, source), most=most, source=source)


def said_by(actor: str, text: str) -> str:
    """What a person says to a running agent: an instruction like any other, tagged with who gave it."""
    return f"{_attribute(actor) or 'somebody'} says:\n{text}"


def unmarked(text: str) -> str:
    """The text without the numbers of its markers: what two answers to the same call are compared by."""
    return _MARKER.sub(r"\1", text)


def together(parts: Iterable[tuple[str, str]], *, token: str, most: int | None = None, name: str) -> str:
    """Several texts between markers of one number; `parts` are the values of the attribute `name`, and the
    texts."""
    return "\n".join(wrap(text, token=token, most=most, **{name: source}) for source, text in parts)


def _attribute(value: str) -> str:
    """The value on one line and without what could end the attribute or the marker."""
    plain = "".join(c if c.isprintable() and c not in '"<>' else " " for c in value[:SOURCE_CHARACTERS])
    return " ".join(plain.split())
