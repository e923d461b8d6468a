"""taskq demo: a mission of agents on real files, a killed worker included.

__init__  the command           play       the mission, and what is done to it
stage     database and workers  facts      what must be true at the end
workers   worker processes      screen     what is shown meanwhile
script    the simulated model   app        the roles that no agent plays
page      Mission Control beside it
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import click

from taskq.cli.errors import NOT_COMPLETED
from taskq.cli.output import as_json, print_json
from taskq.cli.session import settings


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its own server and the logs of its workers live; TASKQ_HOME (.taskq) by default.",
)
@click.option("--offline", is_flag=True, help="Simulate the model even if ANTHROPIC_API_KEY is set.")
@click.option("--keep", is_flag=True, help="Leave it running for a look around, until Ctrl-C.")
@as_json
def demo(directory: Path | None, offline: bool, keep: bool, as_json: bool) -> None:
    """Run a mission of agents; kill a worker in mid-task.

    Starts a PostgreSQL of its own (or takes --database, if that is given), two workers and Mission Control,
    in which the mission can be watched, and inserts a graph of eight tasks by plain SQL. The simulated model
    adds a rate limit, a stream that breaks off, and a result that fails its check. Exits 1 unless all facts
    at the end hold.
    """
    from taskq.cli.demo.stage import Wishes, run

    # Another server than that of --database, which is said here and now, would be somebody's production.
    url = click.get_current_context().find_root().params["database"]
    found = settings()
    wishes = Wishes(
        settings=replace(found, database_url=url, listen_url=None, home=directory or found.home),
        offline=offline or found.anthropic_api_key is None,
        keep=keep,
        quiet=as_json,
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))  # ends it as Ctrl-C does
    facts = asyncio.run(run(wishes))
    if as_json:
        print_json([vars(fact) for fact in facts])
    if not facts or not all(fact.holds for fact in facts):
        raise click.exceptions.Exit(NOT_COMPLETED)
