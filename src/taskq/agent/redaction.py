"""Secrets taken out of text before it is stored or sent.

Two passes, each linear in the text: the first replaces secrets that are known, in the spellings that they
take in JSON and URLs, the second what has the shape of a token.  No mark is ever taken for a secret, so that
cleaning a second time changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

LEAST_CHARACTERS: Final = 8
"""A shorter secret is not looked for: it would be found everywhere."""

_MARK: Final = "[redacted: "

# Every repetition is possessive or has a small bound, and every shape takes the whole run of token characters
# that it ends in.  The first keeps the time linear; by the second, no replacement uncovers a further token.
_REST = r"[\w-]*+"


def _at_the_start_of_a_run(prefix: str) -> str:
    """`prefix`, not in the middle of a word; the n of a newline that JSON escapes is no part of a word.

    The look back stands after the prefix: a pattern that begins with letters is searched for much faster.
    """
    return rf"{prefix}(?:(?<![\w-]{prefix})|(?<=\\[nrt]{prefix}))"


_BEGIN = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_END = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_ASSIGNS = r"\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?"

_SHAPES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern, re.ASCII))
    for kind, pattern in (
        # Cut before its end, a key goes as far as its lines of base64 do.
        (
            "private key",
            rf"{_BEGIN}(?:(?:[^-\"]|-(?!----))*+{_END}|(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{{16,}}+)*+){_REST}",
        ),
        ("anthropic key", rf"sk-ant-[\w-]{{16}}{_REST}"),
        # A digit and a capital: names of files and styles begin like that, too.
        (
            "api key",
            rf"{_at_the_start_of_a_run('sk-')}(?=[\w-]{{20}})(?=[A-Za-z_-]*+\d)(?=[a-z0-9_-]*+[A-Z]){_REST}",
        ),
        ("github token", rf"gh[pousr]_[A-Za-z0-9]{{20}}{_REST}"),
        ("github token", rf"github_pat_\w{{20}}{_REST}"),
        ("slack token", rf"xox[abeprs]-[A-Za-z0-9-]{{10}}{_REST}"),
        ("slack token", rf"xapp-[A-Za-z0-9-]{{10}}{_REST}"),
        ("aws key", rf"{_at_the_start_of_a_run('AKIA')}[A-Z0-9]{{16}}{_REST}"),
        ("aws key", rf"{_at_the_start_of_a_run('ASIA')}[A-Z0-9]{{16}}{_REST}"),
        (
            "aws secret",
            rf"((?i:secret[_-]?access[_-]?key|aws[_-]?secret[_-]?key){_ASSIGNS})[A-Za-z0-9/+]{{40}}[\w/+=-]*+",
        ),
        ("jwt", rf"{_at_the_start_of_a_run('eyJ')}[\w-]{{8,}}+\.eyJ[\w-]{{8,}}+\.{_REST}"),
        (
            "credential",
            rf"((?i:authorization){_ASSIGNS}(?i:bearer|basic|token)\s{{1,4}})[\w.~+/=-]{{8}}[\w.~+/=-]*+",
        ),
        ("password", r"(://[^\s:/@\"'?#]{0,256}+:)[^\s/@\"']{1,256}+(?=@)"),
    )
)

_KIND: Final = rf"(?:{'|'.join(sorted({'secret', *(kind for kind, _ in _SHAPES)}))})\]"


class Redactor:
    """Takes known secrets and token shapes out of text.

    :param secrets: values that must not appear (`taskq.settings.secrets()`); short ones are passed over.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {
            spelling
            for secret in secrets
            if len(secret) >= LEAST_CHARACTERS
            for spelling in _spellings(secret)
            if _MARK not in spelling
        }
        # The longest first: one secret may begin with another.
        ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        kinds = "|".join(sorted({"secret", *(kind for kind, _ in _SHAPES)}))
        mark = rf"{re.escape(_MARK)}(?:{kinds})\]"
        self._known = (
            re.compile("|".join([rf"({mark})", *map(_not_into_a_mark, ordered)])) if ordered else None
        )

    def clean(self, text: str) -> str:
        """The text with `[redacted: KIND]` in the place of each secret."""
        if self._known is not None:
            # A mark that is there already is stepped over, whatever the secrets are.
            text = self._known.sub(lambda found: found[1] or f"{_MARK}secret]", text)
        for kind, shape in _SHAPES:
            text = shape.sub(rf"\g<1>{_MARK}{kind}]" if shape.groups else f"{_MARK}{kind}]", text)
        return text

    def clean_value(self, value: Any) -> Any:
        """The JSON value with every text in it cleaned, names of fields too."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.clean_value(key): self.clean_value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_value(item) for item in value]
        return value


def _spellings(secret: str) -> set[str]:
    """How a secret may be written: as it is, within JSON, within a URL."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="replace"),
    }


def _not_into_a_mark(spelling: str) -> str:
    """The pattern of a spelling whose end is not the beginning of a mark."""
    for length in range(1, len(_MARK)):
        if spelling.endswith(_MARK[:length]):
            return rf"{re.escape(spelling)}(?!{re.escape(_MARK[length:])}{_KIND})"
    return re.escape(spelling)
