"""taskq show: all there is to know of a task, or a mission as a tree."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import click

from taskq.cli.errors import NOT_COMPLETED
from taskq.cli.follow import follow_lines, follow_live, read_nodes
from taskq.cli.ids import TASK_ID, resolve
from taskq.cli.node import Node
from taskq.cli.output import as_json, decoded, make_console, print_json
from taskq.cli.output import show as put
from taskq.cli.session import Session, connected
from taskq.errors import NoSuchTask

LISTS = ("dependencies", "dependents", "attempts", "events", "logs")


@click.command("show")
@click.argument("id", type=TASK_ID)
@click.option("--follow", is_flag=True, help="Go on until all have ended; exit 1 unless all completed.")
@click.option("--mission", "whole", is_flag=True, help="The mission of the task, as a tree.")
@as_json
@connected
async def show_task(session: Session, id: str, follow: bool, whole: bool, as_json: bool) -> None:
    """Show a task, or a mission as a tree.

    A task with why it is where it is, its input and result, what it waits for and what happened to it; the
    root of a mission with the mission as a tree. With --follow the tree lives until all of its tasks have
    ended; where the output is no terminal, each change is a line.
    """
    task = await details(session, await resolve(session, id))
    mission = task["mission_id"] if whole or task["descendants"] else None
    if follow:
        nodes = await follow_to_the_end(session, mission, task["id"], as_json)
        if any(node.status != "completed" for node in nodes):
            raise click.exceptions.Exit(NOT_COMPLETED)
        return
    nodes = [] if mission is None else await read_nodes(session.reader, mission, mission)
    if as_json:
        print_json({**task, "mission": [vars(node) for node in nodes]} if mission else task)
        return
    from taskq.cli.details import panels
    from taskq.cli.tree import draw

    if not whole:
        put(*panels(task))
    if mission is not None:
        put(draw(nodes, mission))


async def follow_to_the_end(session: Session, mission: UUID | None, task: UUID, as_json: bool) -> list[Node]:
    """Watch a mission, or one task, until all have ended."""
    console = make_console()
    root = mission or task
    if as_json or not console.is_terminal:
        return await follow_lines(session.reader, mission, root, as_json=as_json)
    return await follow_live(session.reader, mission, root, console)


async def details(session: Session, id: UUID) -> dict[str, Any]:
    """All there is to know of a task.

    :raises NoSuchTask: there is none with this id.
    """
    explained = await session.queue.explain(id)
    row = await session.reader.fetch_one("task", id)
    if row is None:
        raise NoSuchTask(f"task {id} was deleted a moment ago")
    lists = {name: await session.reader.fetch(name, id) for name in LISTS}
    return {**decoded(row, "payload", "result"), "explain": explained, **lists}
