"""The `taskq` command.

    __init__  the command itself     errors   what goes wrong, exit codes
    worker    worker                 session  settings, the way to the database
    enqueue   enqueue, with graph    ids      parts of ids
    look      list, explain, roles   values   durations, JSON, payloads
    show      show, with details     output   JSON, tables, colours; text, times
    act       cancel … complete      tree     a mission as a tree: node, follow
    role      role pause, resume     tokens   token create, list, revoke
    admin     migrate, tend, verify  demo     demo, a package
    limits    budget, gate             top      the overview in a terminal, a package
    control   steer, pause

Every command imports what is heavy when it runs: `taskq --help` must be quick.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from taskq import __version__
from taskq.cli.act import amend, approve, cancel, complete, decline, reject, requeue, rerun, retry
from taskq.cli.admin import migrate, tend, verify
from taskq.cli.control import pause, steer
from taskq.cli.demo import demo
from taskq.cli.enqueue import enqueue
from taskq.cli.errors import Command
from taskq.cli.limits import budget, gate
from taskq.cli.look import explain, list_tasks, roles
from taskq.cli.role import role
from taskq.cli.serve import serve
from taskq.cli.show import show_task
from taskq.cli.steps import fork, signal
from taskq.cli.tokens import token
from taskq.cli.top import top
from taskq.cli.worker import worker

__all__ = ["cli", "main"]


def check_url(_ctx: click.Context, _param: click.Parameter, url: str | None) -> str | None:
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        raise click.BadParameter("must be a URL that starts with postgresql:// or postgres://")
    return url


def show_completion(ctx: click.Context, _param: click.Parameter, shell: str | None) -> None:
    """Print what the shell is to run, and stop."""
    from click.shell_completion import get_completion_class

    if shell is None or (completion := get_completion_class(shell)) is None:
        return
    click.echo(completion(cli, {}, "taskq", "_TASKQ_COMPLETE").source())
    ctx.exit()


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--database", metavar="URL", callback=check_url, help="Instead of TASKQ_DATABASE_URL.")
@click.option("--traceback", is_flag=True, help="Show errors whole, for those who look for a bug.")
@click.option(
    "--show-completion",
    type=click.Choice(["bash", "zsh", "fish"]),
    is_eager=True,
    expose_value=False,
    callback=show_completion,
    help="Print the completion script for a shell.",
)
@click.version_option(__version__, prog_name="taskq")
def cli(**_options: Any) -> None:
    """A job queue in Postgres whose main job is running AI agents.

    The database is --database, else TASKQ_DATABASE_URL, else DATABASE_URL, else an own server in .taskq/.
    An ID is a whole id, or at least 6 hex digits of its end or beginning that no other task has.
    """


for command in (
    *(worker, enqueue, list_tasks, show_task, explain, roles),
    *(cancel, retry, requeue, rerun, approve, reject, decline, amend, complete, signal, fork),
    *(steer, pause, role, budget, gate, token),
    *(tend, migrate, verify, serve, top, demo),
):
    cli.add_command(command)


def main() -> None:
    """The entry point of the script `taskq`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(
                errors="replace"
            )  # a symbol that the terminal does not know is no reason to die
    cli(prog_name="taskq")
