"""Watching tasks until all have ended: a live tree on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from taskq.cli.node import Node
from taskq.cli.output import print_json
from taskq.cli.text import clean, short, when
from taskq.database import Pool
from taskq.task import FINAL

if TYPE_CHECKING:
    from rich.console import Console

PAUSE = 0.25
"""Seconds between two looks; longer where a look takes long."""


async def read_nodes(reader: Pool, mission: UUID | None, task: UUID) -> list[Node]:
    """The tasks of a mission, and one more.

    :param reader: a pool with the statements of taskq.reading.
    :param mission: None for that one task alone.
    """
    return [Node(**row) for row in await reader.fetch("nodes", mission, task)]


async def looks(reader: Pool, mission: UUID | None, task: UUID) -> AsyncIterator[list[Node]]:
    """The tasks as they are, again and again, until all of them have ended."""
    while True:
        began = time.monotonic()
        nodes = await read_nodes(reader, mission, task)
        yield nodes
        if all(node.status in FINAL for node in nodes):
            return
        await asyncio.sleep(max(PAUSE, 10 * (time.monotonic() - began)))


async def follow_live(reader: Pool, mission: UUID | None, task: UUID, console: Console) -> list[Node]:
    """A live tree, until all have ended; returns the tasks as they are then."""
    from rich.live import Live

    from taskq.cli.tree import draw

    nodes: list[Node] = []
    with Live(console=console, auto_refresh=False) as live:
        async for nodes in looks(reader, mission, task):
            live.update(draw(nodes, mission or task), refresh=True)
    return nodes


async def follow_lines(reader: Pool, mission: UUID | None, task: UUID, *, as_json: bool) -> list[Node]:
    """A line for each change, until all have ended; returns the tasks as they are then."""
    nodes: list[Node] = []
    before: dict[UUID, tuple[Any, ...]] = {}
    async for nodes in looks(reader, mission, task):
        for node in changed(nodes, before):
            was = before.get(node.id, (None,))[0]
            if as_json:
                print_json({"at": datetime.now().astimezone(), "from": was, **vars(node)}, lines=True)
            else:
                click.echo(change(node, was))
            before[node.id] = state(node)
    return nodes


def changed(nodes: Sequence[Node], before: dict[UUID, tuple[Any, ...]]) -> list[Node]:
    """Those that are not as they were."""
    return [node for node in nodes if before.get(node.id) != state(node)]


def state(node: Node) -> tuple[Any, ...]:
    """What of a task is worth a line when it changes."""
    return node.status, node.attempt, node.progress, node.progress_note


def change(node: Node, was: str | None) -> str:
    """A change as a line."""
    from taskq.cli.tree import facts

    moved = node.status if was in (None, node.status) else f"{was} → {node.status}"
    name = f" {clean(node.name)}" if node.name else ""
    said = "".join(f"  {fact}" for fact in facts(node))
    return f"{when(datetime.now().astimezone())}  {short(node.id)}  {clean(node.role)}{name}: {moved}{said}"
