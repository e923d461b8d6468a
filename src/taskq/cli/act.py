"""taskq cancel, retry, requeue, rerun, approve, reject, decline, amend, complete: what people do to tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import click

from taskq.cli.errors import exit_code, one_line
from taskq.cli.ids import TASK_ID, resolve_all, some_ids
from taskq.cli.output import add_rows, as_json, print_json, show, status_text, table
from taskq.cli.session import Session, actor, connected
from taskq.cli.text import short
from taskq.cli.values import Json
from taskq.errors import NoSuchTask, NotAnArrow
from taskq.task import FINAL

reason = click.option("--reason", help="Why, for the record.")
WORDS = {"in_progress": "in_progress, asked to stop"}
Verb = Callable[[UUID], Awaitable[str | UUID]]


async def each(session: Session, ids: tuple[str, ...], do: Verb, as_json: bool) -> None:
    """Do it to every task.  One refusal does not keep the others; the exit code is that of the first."""
    facts: list[dict[str, Any]] = []
    code = 0
    for id in await resolve_all(session, ids):
        try:
            outcome = await do(id)
        except (NoSuchTask, NotAnArrow) as error:
            code = code or exit_code(error)
            facts.append({"id": id, "error": one_line(error)})
            click.echo(f"taskq: {one_line(error)}", err=True)
            continue
        facts.append({"id": id, "new_id" if isinstance(outcome, UUID) else "status": outcome})
        if not as_json:
            click.echo(
                outcome if isinstance(outcome, UUID) else f"{short(id)}  {WORDS.get(outcome, outcome)}"
            )
    if as_json:
        print_json(facts)
    if code:
        raise click.exceptions.Exit(code)


@click.command()
@some_ids
@reason
@click.option("--preview", is_flag=True, help="Only show which dependents would be cancelled with it.")
@actor
@as_json
@connected
async def cancel(
    session: Session, ids: tuple[str, ...], reason: str | None, preview: bool, actor: str, as_json: bool
) -> None:
    """Cancel tasks, with what depends on them.

    What waits is cancelled at once.  What runs is asked to stop; its status stays in_progress until it has.
    """
    if preview:
        await foretell(session, await resolve_all(session, ids), as_json)
        return
    await each(session, ids, lambda id: session.queue.cancel(id, reason, actor), as_json)


async def foretell(session: Session, ids: list[UUID], as_json: bool) -> None:
    """Print what would be cancelled.

    :raises NotAnArrow: one of them has ended.
    """
    tasks = [await session.queue.show(id) for id in ids]
    for task in tasks:
        if task["status"] in FINAL - {"cancelled"}:
            raise NotAnArrow(f"cannot cancel task {task['id']}: it is {task['status']}")
    doomed = [list(await session.reader.fetch("doomed", id)) for id in ids]
    if as_json:
        print_json(
            [
                {"id": task["id"], "status": task["status"], "takes_with": taken}
                for task, taken in zip(tasks, doomed, strict=True)
            ]
        )
        return
    for task, taken in zip(tasks, doomed, strict=True):
        click.echo(f"{short(task['id'])}  {task['status']}, and takes {len(taken)} dependents with it")
        if taken:
            rows = ((short(t["id"]), status_text(t["status"]), t["role"], t["name"] or "") for t in taken)
            show(add_rows(table("ID", "STATUS", "ROLE", "NAME"), rows))


@click.command()
@some_ids
@reason
@actor
@as_json
@connected
async def retry(
    session: Session, ids: tuple[str, ...], reason: str | None, actor: str, as_json: bool
) -> None:
    """Run failed or cancelled tasks again.

    What fell with them waits for them again. Queued tasks that wait for their time may run at once.
    """
    await each(session, ids, lambda id: session.queue.retry(id, reason, actor), as_json)


@click.command()
@some_ids
@reason
@actor
@as_json
@connected
async def requeue(
    session: Session, ids: tuple[str, ...], reason: str | None, actor: str, as_json: bool
) -> None:
    """Take running tasks from their workers.

    They are queued again, and the attempt does not count.
    """
    await each(session, ids, lambda id: session.queue.requeue(id, reason, actor), as_json)


@click.command()
@some_ids
@reason
@actor
@as_json
@connected
async def rerun(
    session: Session, ids: tuple[str, ...], reason: str | None, actor: str, as_json: bool
) -> None:
    """Insert new tasks like these finished ones.

    Prints the ids of the new ones.
    """
    await each(session, ids, lambda id: session.queue.rerun(id, reason, actor), as_json)


@click.command()
@some_ids
@click.option("--note", help="A note, for the record.")
@actor
@as_json
@connected
async def approve(
    session: Session, ids: tuple[str, ...], note: str | None, actor: str, as_json: bool
) -> None:
    """Approve tasks that await it."""
    await each(session, ids, lambda id: session.queue.approve(id, actor, note), as_json)


@click.command()
@some_ids
@reason
@actor
@as_json
@connected
async def reject(
    session: Session, ids: tuple[str, ...], reason: str | None, actor: str, as_json: bool
) -> None:
    """Reject tasks that await approval.

    They are cancelled, and what depends on them with them.
    """
    await each(session, ids, lambda id: session.queue.reject(id, actor, reason), as_json)


@click.command()
@some_ids
@click.option("--note", help="Why, for the agent and for the record.")
@actor
@as_json
@connected
async def decline(
    session: Session, ids: tuple[str, ...], note: str | None, actor: str, as_json: bool
) -> None:
    """Refuse the tool calls that agents await an approval for.

    The agents are told who refused and why, and go on; `taskq reject` ends the whole task.
    """
    await each(session, ids, lambda id: session.queue.decline_call(id, note, actor), as_json)


@click.command()
@click.argument("id", type=TASK_ID)
@click.option("--payload", metavar="JSON", type=Json(), required=True, help="What it is to do, whole.")
@reason
@actor
@as_json
@connected
async def amend(
    session: Session, id: str, payload: Any, reason: str | None, actor: str, as_json: bool
) -> None:
    """Replace the payload of a task that has not begun."""
    await each(session, (id,), lambda id: session.queue.amend(id, payload, reason, actor), as_json)


@click.command()
@click.argument("id", type=TASK_ID)
@click.argument("result", metavar="[RESULT-JSON]", type=Json(), required=False)
@click.option("--error", help="It could not be done: fail it with this text.")
@actor
@as_json
@connected
async def complete(
    session: Session, id: str, result: Any, error: str | None, actor: str, as_json: bool
) -> None:
    """Complete a queued task that a person plays, or fail it."""
    if result is not None and error is not None:
        raise click.UsageError("Give either a RESULT or --error.")
    await each(session, (id,), lambda id: session.queue.complete(id, result, actor, error), as_json)
