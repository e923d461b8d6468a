"""Cursors: where a list goes on.  Opaque to whoever carries them; a place, not a page, so they stay good."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

import msgspec

from taskq.web.problems import FieldError, Refused

T = TypeVar("T")


def cursor_of(*place: Any) -> str:
    """The cursor of a place."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: type[T]) -> T:
    """The place of a cursor.

    :param kind: a tuple type: what it was made of.
    :raises Refused: it is none of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        return msgspec.json.decode(text, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        message = "this is no cursor: give the `next` of the page before"
        raise Refused(422, message, [FieldError("cursor", message)]) from error
