"""taskq list, explain, roles: what there is, and why it is where it is."""

from __future__ import annotations

from typing import Any

import click

from taskq.cli.ids import TASK_ID, resolve, resolve_all, some_ids
from taskq.cli.output import FIXED, LOOKS, add_rows, as_json, print_json, show, status_text, table
from taskq.cli.session import Session, connected
from taskq.cli.text import clean, cut, length, short


@click.command("list")
@click.option("--status", type=click.Choice(list(LOOKS)), multiple=True, help="Only these; may be repeated.")
@click.option("--role", multiple=True, help="Only this role; may be repeated.")
@click.option("--mission", type=TASK_ID, help="Only the tasks of this mission.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="At most so many."
)
@as_json
@connected
async def list_tasks(
    session: Session,
    status: tuple[str, ...],
    role: tuple[str, ...],
    mission: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List tasks, newest first."""
    root = None if mission is None else await resolve(session, mission)
    rows = await session.reader.fetch("list", status or None, role or None, root, limit)
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no tasks")
    else:
        columns = ("ID", FIXED), ("STATUS", FIXED), "ROLE", ("AGE", FIXED), ("TOOK", FIXED), "ABOUT"
        show(add_rows(table(*columns), map(cells, rows)))


def cells(row: Any) -> list[Any]:
    """A task as a row of the table."""
    return [
        short(row["id"]),
        status_text(row["status"]),
        row["role"],
        length(row["age"], brief=True),
        length(row["took"], brief=True),
        ": ".join(part for part in (row["name"], note(row)) if part),
    ]


def note(row: Any) -> str:
    """What else there is to say of a task, briefly."""
    if row["status"] == "in_progress":
        done = "" if row["progress"] is None else f"{row['progress']:.0%} "
        return f"{done}{cut(row['progress_note'] or '', 100)}".rstrip()
    if row["status"] == "blocked":
        return f"waits for {row['waiting_on']}"
    if row["error_kind"] and row["status"] != "completed":
        return f"{row['error_kind']}: {cut(row['error'] or '', 100)}"
    return ""


@click.command()
@some_ids
@as_json
@connected
async def explain(session: Session, ids: tuple[str, ...], as_json: bool) -> None:
    """Say why a task is where it is, and what would move it."""
    lines = [(id, await session.queue.explain(id)) for id in await resolve_all(session, ids)]
    if as_json:
        print_json([{"id": id, "explain": line} for id, line in lines])
        return
    for id, line in lines:
        click.echo(f"{short(id)}  {clean(line)}" if len(lines) > 1 else clean(line))


@click.command()
@as_json
@connected
async def roles(session: Session, as_json: bool) -> None:
    """Show by role what waits, what runs, and who plays it."""
    rows = await session.reader.fetch("roles")
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no tasks, and no workers")
    else:
        numbers = ["READY", "LATER", "RUNNING", "BLOCKED", "APPROVAL", "FAILED", "SLOTS"]
        right = [(heading, {**FIXED, "justify": "right"}) for heading in numbers]
        show(add_rows(table("ROLE", *right, "WORKERS"), map(role_cells, rows)))


def role_cells(row: Any) -> list[Any]:
    """A role as a row of the table."""
    columns = ("ready", "scheduled", "in_progress", "blocked", "awaiting_approval", "failed_24h", "slots")
    waits = row["ready"] + row["scheduled"]
    nobody = "nobody plays it" if waits else ""
    players = ", ".join(row["played_by"]) or nobody
    words = [*(["paused"] if row["paused"] else []), *([players] if players else [])]
    return [row["role"], *(str(row[name]) for name in columns), "; ".join(words)]
