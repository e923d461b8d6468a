"""taskq migrate, tend, verify: what those do who look after the installation."""

from __future__ import annotations

import asyncio

import click

from taskq import schema
from taskq.cli.errors import NOT_COMPLETED
from taskq.cli.output import FIXED, FOLDED, add_rows, as_json, print_json, show, table
from taskq.cli.session import Session, connected, server, settings
from taskq.cli.verify import examine
from taskq.settings import redacted

MARKS = {"ok": ("✔ ok", "green"), "warn": ("! warn", "yellow"), "fail": ("✘ fail", "bold red")}


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 unless the schema is up to date.")
@click.option("--down", is_flag=True, help="Take the newest revision back, with what its tables hold.")
@click.option("--yes", is_flag=True, help="Do not ask before --down.")
@as_json
def migrate(check: bool, down: bool, yes: bool, as_json: bool) -> None:
    """Bring the schema to this version.

    Several processes may do so at once.
    """
    if check and down:
        raise click.UsageError("Give either --check or --down.")
    found = settings()
    if down and not yes:
        where = redacted(found.database_url) if found.database_url else f"the server in {found.home}"
        click.confirm(f"Drop the newest revision, and every task in it, from {where}?", abort=True, err=True)

    async def work() -> tuple[schema.Standing, schema.Standing]:
        async with server(found) as dsn:
            direct = found.listen_url or dsn  # a pooler is no place for DDL
            before = await schema.examine(direct)
            if not check:
                await (schema.downgrade if down else schema.migrate)(direct)
            return before, await schema.examine(direct)

    before, after = asyncio.run(work())
    if as_json:
        print_json(
            {
                "was": before.revision,
                "revision": after.revision,
                "head": after.head,
                "is_current": after.is_current,
                "standing": str(after),
            }
        )
    else:
        click.echo(str(after) if before == after else f"{after} (was {before.revision or 'empty'})")
    if check and not after.is_current:
        raise click.exceptions.Exit(NOT_COMPLETED)


@click.command()
@as_json
@connected
async def tend(session: Session, as_json: bool) -> None:
    """Do one pass of maintenance, as workers do all the time."""
    done = await session.queue.tend()
    if as_json:
        print_json(done)
    else:
        click.echo(", ".join(f"{name}: {count}" for name, count in done.items()))


@click.command()
@as_json
def verify(as_json: bool) -> None:
    """Check the installation; exit 1 if something is broken."""
    found = settings()
    checks = asyncio.run(examine(found))
    failed = any(check.outcome == "fail" for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [vars(check) for check in checks]})
    else:
        from rich.text import Text

        rows = ((c.name, Text(*MARKS[c.outcome]), c.finding, c.advice) for c in checks)
        columns = ("CHECK", FIXED), ("OUTCOME", FIXED), ("FINDING", FOLDED), ("WHAT TO DO", FOLDED)
        show(add_rows(table(*columns), rows))
    if failed:
        raise click.exceptions.Exit(NOT_COMPLETED)
