"""HTML reduced to the text that a reader would see, with the addresses of its links.

Not a parser of HTML: that of the standard library takes quadratic time for some hostile pages.  Each
pattern here stops at the next `<`, so that nothing is read twice.
"""

from __future__ import annotations

import html
import re

_PIECE = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9]*+)([^<>]*+)>?|<[!?][^<>]*+>?|[^<]++|<")
_HREF = re.compile(r"\bhref\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"']++))", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_UNSEEN = frozenset(["script", "style", "noscript", "template", "svg", "iframe", "object", "math"])
_SPACED = frozenset(["td", "th"])
_LINE = re.compile(
    "address|article|aside|blockquote|br|dd|div|dl|dt|fieldset|figure|footer|form|h[1-6]|header|hr|li|main|nav"
    "|ol|option|p|pre|section|table|title|tr|ul"
)


def text_of(page: str) -> str:
    """The text of a page: a line per block, `text <address>` for a link, without scripts and styles."""
    parts: list[str] = []
    address = ""
    preformatted = False
    at = 0
    while (piece := _PIECE.match(page, at)) is not None:
        whole, closes, tag, attributes = piece[0], bool(piece[1]), (piece[2] or "").lower(), piece[3]
        at = piece.end()
        if whole == "<!--":
            at = _find(page, "-->", at) + 3
        elif tag in _UNSEEN and not closes:
            at = _find(page, f"</{tag}", at)
        elif tag == "a":
            if closes and address:
                parts.append(f" <{address}>")
            address = "" if closes else _address(attributes)
        elif _LINE.fullmatch(tag):
            preformatted = (tag == "pre" and not closes) or (preformatted and tag != "pre")
            parts.append("\n")
        elif tag in _SPACED:
            parts.append(" ")
        elif not tag and not whole.startswith(("<!", "<?")):
            text = html.unescape(whole)
            parts.append(text if preformatted else _SPACE.sub(" ", text))
    return _tidy("".join(parts))


def _find(page: str, end: str, at: int) -> int:
    """Where `end` is found next, in any case; the page's end if it is not."""
    found = re.compile(end, re.IGNORECASE | re.ASCII).search(page, at)
    return found.start() if found else len(page)


def _address(attributes: str) -> str:
    """Where a link leads; nothing for one within the page."""
    found = _HREF.search(attributes)
    address = html.unescape(found[1] or found[2] or found[3] or "").strip() if found else ""
    return "" if address.startswith(("#", "javascript:", "data:")) else address[:500]


def _tidy(text: str) -> str:
    """The lines without blanks at their ends, and at most one empty line between two others."""
    lines: list[str] = []
    for line in text.split("\n"):
        shown = line.rstrip()
        if shown or (lines and lines[-1]):
            lines.append(shown)
    return "\n".join(lines).strip()
