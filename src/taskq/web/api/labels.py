"""The labels of a graph become ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from taskq.web.ids import new_id
from taskq.web.problems import FieldError, Refused


def with_ids(tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tasks with ids in the place of labels, also where they name each other.

    :raises Refused: a label is given twice, or used and not given.
    """
    ids: dict[str, UUID] = {}
    fresh: list[UUID] = []
    for number, task in enumerate(tasks):
        label = task.get("id")
        fresh.append((label and as_uuid(label)) or new_id())
        if label in ids:
            raise wrong(f"tasks[{number}].id", f"another task of this graph has the id {label!r}")
        if label is not None:
            ids[label] = fresh[-1]
    return [
        {**task, "id": fresh[number], **naming_ids(task, ids, f"tasks[{number}]")}
        for number, task in enumerate(tasks)
    ]


def naming_ids(task: Mapping[str, Any], ids: Mapping[str, UUID], path: str) -> dict[str, Any]:
    """What of a task names others, by their ids."""
    named: dict[str, Any] = {
        column: look_up(task[column], ids, f"{path}.{column}")
        for column in task.keys() & {"mission_id", "parent_id"}
    }
    if "depends_on" in task:
        named["depends_on"] = [
            look_up(label, ids, f"{path}.depends_on[{n}]") for n, label in enumerate(task["depends_on"])
        ]
    return named


def look_up(label: str, ids: Mapping[str, UUID], field: str) -> UUID:
    """The id of a label, or that it is.

    :raises Refused: neither.
    """
    id = ids.get(label) or as_uuid(label)
    if id is None:
        raise wrong(field, f"no task of this graph has the id {label!r}, and it is no UUID")
    return id


def as_uuid(text: str) -> UUID | None:
    """The UUID that a text is, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


def wrong(field: str, message: str) -> Refused:
    return Refused(422, message, [FieldError(field, message)])
