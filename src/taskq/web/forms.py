"""Forms: what was typed, read within bounds and checked field by field; it is kept, to be shown again.

form = await read_form(request)
if (given := form.into(Reason)) is None:
    return page(request, "x.html", 422, form=form)     # form.errors says what is wrong, by field
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, get_origin
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from starlette.requests import Request

from taskq.web.problems import Refused

FORM_LIMIT: Final = 1024 * 1024
"""Bytes of a form at most; the routes of forms refuse more."""
FIELDS: Final = 1000
"""Fields of a form at most."""
KIND: Final = "application/x-www-form-urlencoded"
MISSING: Final = "This is needed."

S = TypeVar("S", bound=msgspec.Struct)


@dataclass
class Form:
    """The fields of a form: what was typed in each, and what is wrong with it."""

    typed: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def showing(cls, **values: str | list[str]) -> Form:
        """A form that nobody has touched yet."""
        return cls({name: [text] if isinstance(text, str) else text for name, text in values.items()})

    def part(self, prefix: str) -> Form:
        """The fields whose names begin so, without that, as a form of its own."""
        start = len(prefix)
        return Form(
            {name[start:]: texts for name, texts in self.typed.items() if name.startswith(prefix)},
            {name[start:]: said for name, said in self.errors.items() if name.startswith(prefix)},
        )

    def text(self, name: str) -> str:
        """What was typed in a field; empty where nothing was."""
        return self.typed.get(name, [""])[0]

    def all(self, name: str) -> list[str]:
        """What was typed in, or picked for, a field that takes several; empty ones are left out."""
        return [text for text in self.typed.get(name, []) if text.strip()]

    def refuse(self, name: str, message: str) -> None:
        """Something is wrong with a field; the first thing that is said of it stays."""
        self.errors.setdefault(name, message)

    def into(self, struct: type[S]) -> S | None:
        """The fields as a struct, blank ones left out; None when one is wrong, and `errors` says how."""
        found: dict[str, Any] = {}
        for each in msgspec.structs.fields(struct):
            value = (
                self.all(each.encode_name) if get_origin(each.type) is list else self.text(each.encode_name)
            )
            if not value or (isinstance(value, str) and not value.strip()):
                if each.required:
                    self.refuse(each.encode_name, MISSING)
                continue
            try:
                found[each.name] = msgspec.convert(plain(value), each.type, strict=False)
            except msgspec.ValidationError as error:
                self.refuse(each.encode_name, words(str(error)))
        return None if self.errors else struct(**found)

    def json(self, name: str) -> Any:
        """The JSON that was typed in a field; None, and an error, when it is none that Postgres can keep."""
        try:
            value = msgspec.json.decode(self.text(name))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            self.refuse(name, f"This is no JSON: {error}.")
            return None
        if "\x00" in self.text(name) or "\\u0000" in self.text(name):
            self.refuse(name, "Postgres keeps no \\u0000 in JSON; remove it.")
            return None
        return value

    def object(self, name: str) -> dict[str, Any]:
        """The JSON object that was typed in a field, {} where nothing was; an error when it is no object."""
        if not self.text(name).strip():
            return {}
        value = self.json(name)
        if name not in self.errors and not isinstance(value, Mapping):
            self.refuse(name, 'This must be a JSON object, such as {"path": "a.png"}.')
        return dict(value) if isinstance(value, Mapping) else {}


def plain(value: Any) -> Any:
    """What a field holds, without the spaces around it."""
    return [text.strip() for text in value] if isinstance(value, list) else value.strip()


async def read_form(request: Request) -> Form:
    """The form that was posted.

    :raises Refused: it is no form, or none that can be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != KIND:
        raise Refused(415, f"a form is sent as {KIND}")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS,
        )
    except UnicodeError as error:
        raise Refused(400, "the form is not UTF-8") from error
    except ValueError as error:
        raise Refused(400, f"the form cannot be read: {error}") from error
    form = Form()
    for name, text in pairs:
        if "\x00" in text:
            form.refuse(name, "There is a character in this that no text may have (NUL).")
        form.typed.setdefault(name, []).append(text.replace("\r\n", "\n").replace("\x00", ""))
    return form


WORDS: Final = [
    (r"length >= 1\b", "This is needed."),
    (r"`str` of length <= (\d+)", r"At most \1 characters."),
    (r"`int` >= (-?\d+)", r"At least \1."),
    (r"`int` <= (-?\d+)", r"At most \1."),
    (r"`float` > 0", "More than 0."),
    (r"`float` >= 0", "At least 0."),
    (r"Expected `int", "A whole number, please."),
    (r"Expected `float", "A number, please."),
    (r"Invalid UUID", "This is no id of a task."),
    (r"Invalid enum value", "This is none of the choices."),
    (r"Expected `array` of length <= (\d+)", r"At most \1 of them."),
]


def words(message: str) -> str:
    """What msgspec says, for people."""
    for pattern, said in WORDS:
        if found := re.search(pattern, message):
            return found.expand(said)
    return message.partition(" - at ")[0]


def an_id(text: str | None) -> UUID | None:
    """The id that a text is; None when it is none."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
