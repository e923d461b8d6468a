"""Templates: saved missions, for people who dispatch the same thing again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from taskq.web.api.creating import OneTask
from taskq.web.api.shapes import Shape, raw, shaped
from taskq.web.operations import Call, Operations
from taskq.web.problems import FieldError, Refused

operations = Operations("templates")


class Template(Shape):
    """A saved mission; `task` is what POST /tasks takes."""

    name: str
    task: msgspec.Raw
    created_by: str
    updated_at: datetime


class Templates(Shape):
    """All templates, by name."""

    templates: list[Template]


class Kept(Shape):
    """The name of the template."""

    name: str


@operations.get("/templates", returns=Templates)
async def list_templates(call: Call[None, None]) -> Templates:
    """The saved missions."""
    rows = await call.house.reads.fetch("kept_templates")
    return Templates(templates=[template_of(row) for row in rows])


@operations.get("/templates/{name:path}", returns=Template, refusals=(404,))
async def get_template(call: Call[None, None]) -> Template:
    """A saved mission."""
    row = await call.house.reads.fetch_one("kept_template", name_of(call))
    if row is None:
        raise missing(name_of(call))
    return template_of(row)


@operations.put("/templates/{name:path}", scope="dispatch", body=OneTask, returns=Kept)
async def save_template(call: Call[None, OneTask]) -> Kept:
    """Keep a task under a name; what had that name is replaced."""
    given = {key: value for key, value in msgspec.to_builtins(call.body).items() if value is not None}
    await call.house.queue.save_template(name_of(call), given, call.actor)
    call.house.changed()
    return Kept(name=name_of(call))


@operations.delete("/templates/{name:path}", scope="dispatch", returns=Kept, refusals=(404,))
async def drop_template(call: Call[None, None]) -> Kept:
    """Take a template away."""
    if not await call.house.queue.drop_template(name_of(call)):
        raise missing(name_of(call))
    call.house.changed()
    return Kept(name=name_of(call))


def template_of(row: dict[str, Any]) -> Template:
    """The template of a row."""
    return shaped(Template, {**row, "task": raw(row["task"])})


def name_of(call: Call[Any, Any]) -> str:
    """The name in the path.

    :raises Refused: no template can have that name.
    """
    name = str(call.path["name"])
    if not 1 <= len(name) <= 200 or "\0" in name:
        message = "a template has a name of 1 to 200 characters"
        raise Refused(422, message, [FieldError("name", message)])
    return name


def missing(name: str) -> Refused:
    return Refused(404, f"there is no template {name}")
