"""taskq role: roles that nobody claims for a while."""

from __future__ import annotations

import click

from taskq.cli.act import reason
from taskq.cli.output import as_json, print_json
from taskq.cli.session import Session, actor, connected
from taskq.cli.text import clean


@click.group()
def role() -> None:
    """Pause a role, or resume it; `taskq roles` shows them all."""


@role.command()
@click.argument("name")
@reason
@actor
@as_json
@connected
async def pause(session: Session, name: str, reason: str | None, actor: str, as_json: bool) -> None:
    """Have nobody claim tasks of this role; what runs goes on."""
    tell(name, "paused", "was paused already", await session.queue.pause_role(name, reason, actor), as_json)


@role.command()
@click.argument("name")
@reason
@actor
@as_json
@connected
async def resume(session: Session, name: str, reason: str | None, actor: str, as_json: bool) -> None:
    """Let workers claim a paused role again."""
    tell(name, "resumed", "was not paused", await session.queue.resume_role(name, reason, actor), as_json)


def tell(name: str, done: str, not_done: str, changed: bool, as_json: bool) -> None:
    """Print what became of a role."""
    if as_json:
        print_json({"role": name, "paused": done == "paused", "changed": changed})
    else:
        click.echo(clean(f"{name}: {done if changed else not_done}"))
