"""taskq enqueue: a task, or a graph of them from a file."""

from __future__ import annotations

import json
from typing import IO, Any
from uuid import UUID

import click

from taskq.cli.errors import NOT_COMPLETED
from taskq.cli.graph import read_graph, with_ids
from taskq.cli.ids import TASK_ID, resolve, resolve_all
from taskq.cli.output import as_json, print_json
from taskq.cli.session import Session, actor, connected
from taskq.cli.text import clean
from taskq.cli.values import Length, read_json, read_payload
from taskq.client import Done


def read_file(
    _ctx: click.Context, _param: click.Parameter, file: IO[str] | None
) -> list[dict[str, Any]] | None:
    """The graph of a file, as click's callback.

    :raises click.BadParameter: it is no JSON.
    :raises InvalidTask: it is no array of tasks.
    """
    try:
        return None if file is None else read_graph(read_json(file.read()))
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"the file is not UTF-8: {error}") from None


@click.command()
@click.argument("role", required=False)
@click.argument("payload", nargs=-1, callback=read_payload)
@click.option(
    "--file",
    "graph",
    type=click.File(encoding="utf-8"),
    callback=read_file,
    help="A JSON array of tasks; - for stdin.",
)
@click.option("--name", help="A short name for people.")
@click.option("--priority", type=click.IntRange(-32768, 32767), help="Higher runs first.")
@click.option("--delay", type=Length(), help="Not before this time has passed.")
@click.option(
    "--depends-on", type=TASK_ID, multiple=True, help="A task that must end first; may be repeated."
)
@click.option(
    "--on-dependency-failure",
    type=click.Choice(["fail", "run", "wait"]),
    help="What to do when one of those fails.",
)
@click.option("--requires-approval", is_flag=True, default=None, help="A person must approve first.")
@click.option("--dedup-key", help="If a live task has this key, print its id instead.")
@click.option("--mission", "mission_id", type=TASK_ID, help="The root task of its mission.")
@click.option("--parent", "parent_id", type=TASK_ID, help="The task that it descends from.")
@click.option("--timeout", type=Length(), help="How long one attempt may take.")
@click.option("--max-attempts", type=click.IntRange(1, 32767), help="Attempts before it fails.")
@click.option("--wait", is_flag=True, help="Wait until it ends; exit 1 unless it completed.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of it.")
@actor
@as_json
@connected
async def enqueue(
    session: Session,
    /,
    role: str | None,
    graph: list[dict[str, Any]] | None,
    wait: bool,
    dry_run: bool,
    actor: str,
    as_json: bool,
    **columns: Any,
) -> None:
    """Insert a task of ROLE and print its id.

    PAYLOAD is a JSON object, or any number of key=text and key:=JSON.

    With --file it is a whole graph: objects with `role` and other columns of a task. `id` may be a label,
    which `depends_on`, `parent_id` and `mission_id` of the others name.
    """
    given = {name: value for name, value in columns.items() if value not in (None, (), {})}
    if (role is None) == (graph is None):
        raise click.UsageError("Give either a ROLE or --file.")
    if dry_run and wait:
        raise click.UsageError("With --dry-run there is nothing to wait for.")
    if graph is not None and given.keys() - {"mission_id"}:
        raise click.UsageError("With --file the file says it all, but for --mission, --wait and --actor.")
    for name in given.keys() & {"mission_id", "parent_id"}:
        given[name] = await resolve(session, given[name])
    if "depends_on" in given:
        given["depends_on"] = await resolve_all(session, given["depends_on"])
    labels: list[str | None] = [None]
    tasks: list[dict[str, Any]] = [{"role": role, **given}]
    if graph is not None:
        tasks, labels = await with_ids(session, graph, given.get("mission_id"))
    tasks = [{"created_by": actor, **task} for task in tasks]
    if dry_run:
        foretell(await session.queue.check(tasks), labels, as_json, is_graph=graph is not None)
        return
    ids = await session.queue.enqueue_many(tasks)
    facts: list[dict[str, Any]] = [
        {"id": id, "label": label} if label else {"id": id} for id, label in zip(ids, labels, strict=True)
    ]
    if not as_json:
        for fact in facts:
            click.echo(f"{fact['id']}  {clean(fact.get('label'))}".rstrip())
    if wait:
        await wait_for(session, ids, facts, as_json)
    if as_json:
        print_json(facts[0] if graph is None else facts)
    if any(fact.get("status", "completed") != "completed" for fact in facts):
        raise click.exceptions.Exit(NOT_COMPLETED)


def foretell(found: list[dict[str, Any]], labels: list[str | None], as_json: bool, *, is_graph: bool) -> None:
    """Print what would become of tasks."""
    facts = [
        ({"label": label} if label else {}) | {name: row[name] for name in ("role", "status", "note")}
        for row, label in zip(found, labels, strict=True)
    ]
    if as_json:
        print_json(facts if is_graph else facts[0])
        return
    for fact in facts:
        words = (fact["status"], fact["role"], fact.get("label") or "", fact["note"] or "")
        click.echo("  ".join(clean(word) for word in words if word))


async def wait_for(session: Session, ids: list[UUID], facts: list[dict[str, Any]], as_json: bool) -> None:
    """Wait for tasks, add to the facts how they ended, and say so unless JSON is wanted."""
    for id, fact in zip(ids, facts, strict=True):
        done = await session.queue.wait(id)
        fact |= {
            "status": done.status,
            "result": done.result,
            "error_kind": done.error_kind,
            "error": done.error,
        }
        if not as_json:
            click.echo(ending(done))


def ending(done: Done) -> str:
    """How a task ended, on one line."""
    if done.status == "completed":
        return clean(f"completed: {json.dumps(done.result, ensure_ascii=False)}")
    return clean(f"{done.status}: {done.error_kind or 'unknown'}: {done.error or ''}")
