"""taskq token: who may come in over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import click

from taskq.cli.output import FIXED, FOLDED, add_rows, as_json, print_json, show, table
from taskq.cli.session import Session, actor, connected
from taskq.cli.text import clean, length, short
from taskq.cli.values import Length
from taskq.governing import Scope


@click.group()
def token() -> None:
    """Let clients in over HTTP, or out again."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(get_args(Scope)),
    multiple=True,
    required=True,
    help="What it may do; may be repeated.",
)
@click.option("--expires", type=Length(), help="After this time it is good for nothing: 90d.")
@actor
@as_json
@connected
async def create(
    session: Session,
    name: str,
    scopes: tuple[Scope, ...],
    expires: timedelta | None,
    actor: str,
    as_json: bool,
) -> None:
    """Make a token called NAME and print its secret, which is shown nowhere again."""
    id, secret = await session.queue.create_token(name, scopes, expires, actor)
    if as_json:
        print_json({"id": id, "name": name, "scopes": sorted(set(scopes)), "secret": secret})
        return
    click.echo(
        clean(f"token {name} may {', '.join(sorted(set(scopes)))}; keep what follows, it is shown once"),
        err=True,
    )
    click.echo(secret)


@token.command("list")
@as_json
@connected
async def list_tokens(session: Session, as_json: bool) -> None:
    """Show all tokens, the newest first."""
    rows = await session.queue.tokens()
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no tokens")
    else:
        columns = (("ID", FIXED), ("NAME", FOLDED), "SCOPES", ("AGE", FIXED), ("USED", FIXED), "STATE")
        show(add_rows(table(*columns), map(cells, rows)))


def cells(row: dict[str, Any]) -> list[str]:
    """A token as a row of the table."""
    now = datetime.now(UTC)
    used = row["last_used_at"]
    return [
        short(row["id"]),
        row["name"],
        ", ".join(row["scopes"]),
        length(now - row["created_at"], brief=True),
        "never" if used is None else f"{length(now - used, brief=True)} ago",
        state(row, now),
    ]


def state(row: dict[str, Any], now: datetime) -> str:
    """Whether a token is good."""
    if row["revoked_at"] is not None:
        return f"revoked by {row['revoked_by']}"
    if row["expires_at"] is None:
        return "good"
    left = row["expires_at"] - now
    return f"good for {length(left, brief=True)}" if left > timedelta(0) else "expired"


@token.command()
@click.argument("name_or_id", metavar="NAME|ID")
@actor
@connected
async def revoke(session: Session, name_or_id: str, actor: str) -> None:
    """Revoke a live token by its name or whole id; whoever logged in with it is out."""
    id = await session.queue.revoke_token(name_or_id, actor)
    click.echo(f"{short(id)}  revoked")
