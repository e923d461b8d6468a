"""Ids at the command line: whole, or a beginning or end that only one task has."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import click

from taskq.cli.errors import Ambiguous
from taskq.cli.session import Session
from taskq.errors import NoSuchTask

LEAST = 6
"""Hex digits that a part of an id must have."""


class TaskId(click.ParamType[str]):
    """The hex digits of an id, or of its beginning or end."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        digits = str(value).replace("-", "").lower()
        if not re.fullmatch(rf"[0-9a-f]{{{LEAST},32}}", digits):
            self.fail(
                f"{value!r} is no id; give all of it, or at least {LEAST} hex digits of its end or beginning",
                param,
                ctx,
            )
        return digits


TASK_ID = TaskId()
some_ids = click.argument("ids", metavar="ID...", type=TASK_ID, nargs=-1, required=True)


async def resolve(session: Session, digits: str) -> UUID:
    """The id that these hex digits name.  A whole one is not looked up.

    :raises NoSuchTask: no id begins or ends like this.
    :raises Ambiguous: more than one does.
    """
    if len(digits) == 32:
        return UUID(digits)
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found = [row["id"] for row in await session.reader.fetch("find", digits, first, last)]
    if not found:
        raise NoSuchTask(f"no task has an id that begins or ends with {digits}; look for it with: taskq list")
    if len(found) > 1:
        some = ", ".join(str(id) for id in found[:5]) + (", …" if len(found) > 5 else "")
        raise Ambiguous(f"more than one task has an id that begins or ends with {digits}: {some}")
    return UUID(str(found[0]))


async def resolve_all(session: Session, several: tuple[str, ...]) -> list[UUID]:
    """The ids that these name, each once; an error in one of them comes before anything is done."""
    return list(dict.fromkeys([await resolve(session, digits) for digits in several]))
