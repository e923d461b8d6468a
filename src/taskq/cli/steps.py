"""taskq signal and fork: what people do to durable tasks."""

from __future__ import annotations

from typing import Any

import click

from taskq.cli.act import each
from taskq.cli.ids import TASK_ID
from taskq.cli.output import as_json
from taskq.cli.session import Session, actor, connected
from taskq.cli.values import Json


@click.command()
@click.argument("id", type=TASK_ID)
@click.argument("name")
@click.argument("payload", metavar="[PAYLOAD-JSON]", type=Json(), required=False)
@actor
@as_json
@connected
async def signal(session: Session, id: str, name: str, payload: Any, actor: str, as_json: bool) -> None:
    """Send a signal that a task waits for, or will.

    The first one of a name counts.
    """

    async def send(id: Any) -> str:
        is_new = await session.queue.signal(id, name, payload, actor)
        return "sent" if is_new else "sent before"

    await each(session, (id,), send, as_json)


@click.command()
@click.argument("id", type=TASK_ID)
@click.argument("step")
@actor
@as_json
@connected
async def fork(session: Session, id: str, step: str, actor: str, as_json: bool) -> None:
    """Insert a new task like this one, that goes on from a step.

    What was recorded before that step is taken over.  Prints the id of the new one.
    """
    await each(session, (id,), lambda id: session.queue.fork(id, step, actor), as_json)
