"""Text from elsewhere, shown to a model as data and with its source."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable


def marked(text: str, source: str, *, token: Callable[[], str] = lambda: secrets.token_hex(8)) -> str:
    """The text between markers that it does not contain, with its source.

    The number in the markers is drawn now, so that nothing in the text can have known how to close them; the
    system prompt says that what is between them is data.
    """
    mark = token()
    while mark in text:
        mark = token()
    named = re.sub(r"[\"<>\s]+", " ", source)
    return f'<data-{mark} source="{named}">\n{text}\n</data-{mark}>'
