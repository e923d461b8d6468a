"""taskq steer and pause: what people say to running agents."""

from __future__ import annotations

from typing import Any

import click

from taskq.cli.act import each, reason
from taskq.cli.ids import TASK_ID, some_ids
from taskq.cli.output import as_json
from taskq.cli.session import Session, actor, connected


@click.command()
@click.argument("id", type=TASK_ID)
@click.argument("text")
@actor
@as_json
@connected
async def steer(session: Session, id: str, text: str, actor: str, as_json: bool) -> None:
    """Tell an agent something.

    It hears it before its next turn, once.
    """

    async def say(id: Any) -> str:
        await session.queue.steer(id, text, actor)
        return "sent"

    await each(session, (id,), say, as_json)


@click.command()
@some_ids
@reason
@actor
@as_json
@connected
async def pause(
    session: Session, ids: tuple[str, ...], reason: str | None, actor: str, as_json: bool
) -> None:
    """Have agents wait for an approval before their next turn.

    They hold no slot while they wait; `taskq approve` resumes them.
    """

    async def hold(id: Any) -> str:
        await session.queue.pause(id, reason, actor)
        return "asked to pause"

    await each(session, ids, hold, as_json)
