"""Putting tasks in: one, or a graph at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from taskq.errors import InvalidTask
from taskq.web.api.labels import with_ids
from taskq.web.api.shapes import Body, Moment, RoleName, Seconds, Shape, Status, shaped
from taskq.web.ids import new_id
from taskq.web.operations import Call, Operations
from taskq.web.problems import FieldError, Refused

operations = Operations("tasks")

Text = Annotated[str, Meta(max_length=1000)]
Label = Annotated[
    str, Meta(min_length=1, max_length=200, description="A UUID, or a label of a task of this graph.")
]


class NewTask(Body):
    """A task; what is left out has the default of its role.  See the columns of taskq.tasks."""

    role: RoleName
    name: Text | None = None
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: Annotated[int, Meta(ge=-32768, le=32767, description="Higher runs first.")] = 0
    run_at: Annotated[Moment, Meta(description="Not before.")] | None = None
    delay: Seconds | None = None
    on_dependency_failure: Literal["fail", "run", "wait"] = "fail"
    requires_approval: bool = False
    max_attempts: Annotated[int, Meta(ge=1, le=32767)] | None = None
    timeout: Annotated[float, Meta(ge=0.001, le=10 * 365 * 86400, description="Seconds.")] | None = None
    dedup_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=1000,
                description="A live task with this key is returned in place of a new one.",
            ),
        ]
        | None
    ) = None
    traceparent: Annotated[str, Meta(max_length=200)] | None = None


class OneTask(NewTask):
    """A task."""

    id: UUID | None = None
    depends_on: Annotated[list[UUID], Meta(max_length=10_000)] = msgspec.field(default_factory=list)
    mission_id: UUID | None = None
    parent_id: UUID | None = None


class GraphTask(NewTask):
    """A task of a graph; what names tasks are UUIDs, or labels of this graph."""

    id: Label | None = None
    depends_on: Annotated[list[Label], Meta(max_length=10_000)] = msgspec.field(default_factory=list)
    mission_id: Label | None = None
    parent_id: Label | None = None


class Graph(Body):
    """Tasks that are put in together, in any order, or none of them."""

    tasks: Annotated[list[GraphTask], Meta(min_length=1, max_length=10_000)]


class Created(Shape):
    """The task; `existing` when a live one had the dedup_key, and nothing was written."""

    id: UUID
    existing: bool


class CreatedGraph(Shape):
    """The tasks, in the order in which they were given."""

    tasks: list[Created]


@operations.post("/tasks", scope="dispatch", body=OneTask, returns=Created, status=201)
async def create_task(call: Call[None, OneTask]) -> Created:
    """Put a task in; with a dedup_key that a live task has, find that one."""
    id = call.body.id or new_id()
    [created] = await enqueue(call, [{**columns(call.body), "id": id}], [()])
    return created


@operations.post("/tasks/graph", scope="dispatch", body=Graph, returns=CreatedGraph, status=201)
async def create_graph(call: Call[None, Graph]) -> CreatedGraph:
    """Put a graph of tasks in, all or none; ids may be labels, which the others name."""
    tasks = with_ids([columns(task) for task in call.body.tasks])
    return CreatedGraph(tasks=await enqueue(call, tasks, [("tasks", n) for n in range(len(tasks))]))


class Checked(Shape):
    """What would become of a task, with a note where it would not run soon."""

    id: UUID
    role: str
    status: Status
    note: str | None


class CheckedGraph(Shape):
    """What would become of the tasks, in the order in which they were given."""

    tasks: list[Checked]


@operations.post("/tasks/check", scope="dispatch", body=Graph, returns=CheckedGraph)
async def check_tasks(call: Call[None, Graph]) -> CheckedGraph:
    """Say what would become of these tasks, one or a graph; nothing is written."""
    tasks = with_ids([columns(task) for task in call.body.tasks])
    places = [("tasks", n) for n in range(len(tasks))]
    with naming_the_field(tasks, places):
        rows = await call.house.queue.check([{**task, "created_by": call.actor} for task in tasks])
    return CheckedGraph(tasks=[shaped(Checked, row) for row in rows])


async def enqueue(
    call: Call[Any, Any], tasks: Sequence[Mapping[str, Any]], places: Sequence[tuple[Any, ...]]
) -> list[Created]:
    """Insert them as the visitor's.

    :raises Refused: the database refuses; the problem names the field of the task that it speaks of.
    """
    with naming_the_field(tasks, places):
        ids = await call.house.queue.enqueue_many([{**task, "created_by": call.actor} for task in tasks])
    call.house.changed()
    return [Created(id=id, existing=id != task["id"]) for task, id in zip(tasks, ids, strict=True)]


@contextmanager
def naming_the_field(tasks: Sequence[Mapping[str, Any]], places: Sequence[tuple[Any, ...]]) -> Iterator[None]:
    """Turns a refusal of the database into one that names the field."""
    try:
        yield
    except InvalidTask as error:
        raise Refused(422, str(error), blame(error, tasks, places)) from error


def columns(task: NewTask) -> dict[str, Any]:
    """The columns that were given, lengths of time as such."""
    given = {name: value for name, value in msgspec.structs.asdict(task).items() if value is not None}
    return given | {name: timedelta(seconds=given[name]) for name in given.keys() & {"delay", "timeout"}}


def blame(
    error: InvalidTask, tasks: Sequence[Mapping[str, Any]], places: Sequence[tuple[Any, ...]]
) -> list[FieldError]:
    """The field that the database speaks of: that of the one task which it can be, else of them all."""
    if error.field is None:
        return []
    said = str(error)
    having = [n for n, task in enumerate(tasks) if error.field in task]
    named = [n for n in having if str(tasks[n]["id"]) in said] or having
    where = places[named[0]] if len(named) == 1 else ("tasks", "") if places[0] else ()
    return [FieldError(path_of(*where, error.field), said)]


def path_of(*parts: Any) -> str:
    """("tasks", 1, "role") as tasks[1].role; "" stands for any place of a list."""
    path = "".join(f"[{part}]" if isinstance(part, int) or part == "" else f".{part}" for part in parts)
    return path.removeprefix(".")
