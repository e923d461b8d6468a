"""taskq budget, gate: what may be spent, and how fast a provider may be asked."""

from __future__ import annotations

from typing import Any, Final

import click

from taskq.cli.ids import resolve
from taskq.cli.output import FIXED, FOLDED, add_rows, as_json, print_json, show, table
from taskq.cli.session import Session, actor, connected
from taskq.cli.values import Length
from taskq.errors import SettingsError
from taskq.settings import duration

NONE: Final = "none"


class Limit(click.ParamType[Any]):
    """A number, or `none`; seconds may be a duration.  Gives a list of one: None is an option not given."""

    name = "number or none"

    def __init__(self, read: type[int] | type[float] | Length) -> None:
        self.read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, list):
            return value
        if value == NONE:
            return [None]
        try:
            if isinstance(self.read, Length):
                return [duration(value).total_seconds()]
            number = self.read(value.replace("_", ""))
        except (ValueError, SettingsError):
            self.fail(f"{value!r} is no number, and not {NONE}", param, ctx)
        if not 0 <= number < float("inf"):
            self.fail(f"{value!r} is no limit", param, ctx)
        return [number]


@click.command()
@click.argument("scope", required=False, type=click.Choice(["task", "mission", "role"]))
@click.argument("key", required=False)
@click.option("--cost", type=Limit(float), help="US dollars.")
@click.option("--tokens", type=Limit(int), help="Tokens, in and out.")
@click.option("--turns", type=Limit(int), help="Turns of the model.")
@click.option("--tool-calls", type=Limit(int), help="Tool calls.")
@click.option("--seconds", type=Limit(Length()), help="Wall time of attempts: 600, 10min.")
@actor
@as_json
@connected
async def budget(
    session: Session, /, scope: str | None, key: str | None, actor: str, as_json: bool, **limits: Any
) -> None:
    """Show what was spent of the budgets, or set one.

    SCOPE is task (with its descendants), mission or role (for a day), KEY its id or name.  What no option
    names stays as it is; `none` takes a limit away.
    """
    given = {name: value[0] for name, value in limits.items() if value is not None}
    if key is not None and scope in ("task", "mission"):
        key = str(await resolve(session, key))
    if given:
        if scope is None or key is None:
            raise click.UsageError("say whose budget it is: taskq budget mission ID --cost 20")
        await session.queue.set_budget(scope, key, given, actor)
    rows = await session.reader.fetch("spend", scope, key)
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no budgets")
    else:
        columns = (("SCOPE", FIXED), ("KEY", FOLDED), "COST", "TOKENS", "TURNS", "CALLS", "SECONDS", "USED")
        show(add_rows(table(*columns), map(budget_cells, rows)))


def budget_cells(row: Any) -> list[str]:
    """A budget as a row of the table."""
    names = ("cost", "tokens", "turns", "tool_calls", "seconds")
    pairs = [(row[f"{name}_used"], row[name]) for name in names]
    used = ["" if row["share"] is None else f"{row['share']:.0%}"]
    return [
        row["scope"],
        row["key"],
        *(f"{x:.10g}" + ("" if y is None else f" of {y:.10g}") for x, y in pairs),
        *used,
    ]


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def gate(ctx: click.Context, as_json: bool) -> None:
    """Show how fast providers may be asked, set it."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(show_gates, as_json=as_json)


@click.command("show")
@as_json
@connected
async def show_gates(session: Session, as_json: bool) -> None:
    """Show the gates."""
    rows = await session.reader.fetch("gates")
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no gates: no provider was asked yet")
    else:
        columns = (
            ("PROVIDER", FIXED),
            ("MODEL", FIXED),
            "REQUESTS/MIN",
            "TOKENS/MIN",
            "SET BY",
            "PAUSED",
            "REASON",
        )
        show(add_rows(table(*columns), map(gate_cells, rows)))


def gate_cells(row: Any) -> list[str]:
    """A gate as a row of the table."""
    limits = [
        "" if row[name] is None else str(row[name]) for name in ("requests_per_minute", "tokens_per_minute")
    ]
    return [
        row["provider"],
        row["model"],
        *limits,
        row["set_by"] or "",
        row["paused"] or "",
        row["reason"] or "",
    ]


@gate.command("set")
@click.argument("provider")
@click.argument("model")
@click.option("--requests", type=Limit(int), required=True, help="Requests a minute, or none.")
@click.option("--tokens", type=Limit(int), required=True, help="Tokens a minute, or none.")
@actor
@connected
async def set_gate(
    session: Session,
    provider: str,
    model: str,
    requests: list[int | None],
    tokens: list[int | None],
    actor: str,
) -> None:
    """Set how fast MODEL may be asked; '*' is all models of the provider together.

    Twice `none` leaves it to what the provider says.
    """
    await session.queue.set_gate(provider, model, requests[0], tokens[0], actor)


@gate.command("resume")
@click.argument("provider")
@click.argument("model", default="*")
@actor
@connected
async def resume_gate(session: Session, provider: str, model: str, actor: str) -> None:
    """Lift a pause; what waits goes on within a minute."""
    lifted = await session.queue.resume_gate(provider, model, actor)
    click.echo(f"{provider} {model}: {'resumed' if lifted else 'was not paused'}")
