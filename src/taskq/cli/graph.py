"""A graph of tasks from a file: its labels become ids."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from taskq.cli.session import Session
from taskq.errors import InvalidTask


def read_graph(value: Any) -> list[dict[str, Any]]:
    """The tasks of a graph.

    :raises InvalidTask: it is no array of objects with a role.
    """
    if not isinstance(value, list) or not all(isinstance(task, dict) for task in value):
        raise InvalidTask('the file must hold a JSON array of tasks: [{"role": …, "payload": {…}}, …]')
    for number, task in enumerate(value, 1):
        if not isinstance(task.get("role"), str):
            raise InvalidTask(f"task {number} of the file has no role")
        if not isinstance(task.get("id", ""), str):
            raise InvalidTask(f"task {number} of the file: id must be a label or a UUID, in quotes")
        if not isinstance(task.get("depends_on", []), list):
            raise InvalidTask(f"task {number} of the file: depends_on must be an array")
    return value


async def with_ids(
    session: Session, tasks: list[dict[str, Any]], mission: UUID | None = None
) -> tuple[list[dict[str, Any]], list[str | None]]:
    """The tasks with ids in the place of labels, and the label of each (None for none).

    :param mission: the mission of those that name none, nor a parent.
    :raises InvalidTask: a label is given twice, or used and not given.
    """
    labels = [task.get("id") for task in tasks]
    for label, count in Counter(label for label in labels if label is not None).items():
        if count > 1:
            raise InvalidTask(f"{count} tasks of the file have the id {label!r}")
    fresh = [UUID(str(row[0])) for row in await session.reader.fetch("new_ids", len(tasks))]
    ids = [(label and as_uuid(label)) or new for label, new in zip(labels, fresh, strict=True)]
    by_label = {label: id for label, id in zip(labels, ids, strict=True) if label is not None}
    named = [{**naming_ids(task, by_label), "id": id} for task, id in zip(tasks, ids, strict=True)]
    if mission is not None:
        named = [
            task if task.keys() & {"mission_id", "parent_id"} else {**task, "mission_id": mission}
            for task in named
        ]
    return named, [None if label is None or as_uuid(label) else label for label in labels]


def naming_ids(task: dict[str, Any], ids: dict[str, UUID]) -> dict[str, Any]:
    """A task with ids in its depends_on, parent_id and mission_id."""
    named = dict(task)
    if "depends_on" in task:
        named["depends_on"] = [look_up(label, ids) for label in task["depends_on"]]
    for column in task.keys() & {"parent_id", "mission_id"}:
        named[column] = look_up(task[column], ids)
    return named


def look_up(label: Any, ids: dict[str, UUID]) -> UUID:
    id = ids.get(label) or as_uuid(label) if isinstance(label, str) else None
    if id is None:
        raise InvalidTask(f"no task of the file has the id {label!r}, and it is no UUID")
    return id


def as_uuid(text: str) -> UUID | None:
    """The UUID that a text is, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None
