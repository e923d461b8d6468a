"""taskq top: the overview in a terminal.

__init__  the command             app      the screen, its keys, its looks
look      one look at the queue   dialogs  what asks for a reason, help
panes     what is shown where     task     the details of one task
grid      tables as lines         acts     what its keys do to tasks
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

import click

from taskq.cli.output import as_json, print_json, show
from taskq.cli.session import Session, actor, connected
from taskq.cli.top.look import Look, look
from taskq.errors import SettingsError

NO_TOP = "taskq top needs the 'top' extra: pip install 'taskq-pg[top]'; without it there is: taskq top --once"


@click.command()
@click.option("--once", is_flag=True, help="Print one look as plain text, and stop.")
@actor
@as_json
@connected
async def top(session: Session, once: bool, actor: str, as_json: bool) -> None:
    """Watch the queue, and act on its tasks.

    Roles, what runs and how far it is, what waits and why, the latest failures, workers; looked at every
    second.  `?` shows the keys.  Where nobody looks at a terminal it is --once.
    """
    if as_json:
        print_json(vars(await look(session.reader)))
    elif once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        frame(await look(session.reader))
    else:
        await watch(session, actor)


def frame(seen: Look) -> None:
    """Print a look."""
    from taskq.cli.top.panes import PANES, headline

    show(headline(seen), *(part for pane in PANES for part in ("", pane.table(seen))))


async def watch(session: Session, actor: str) -> None:
    """Show it until somebody quits.

    :raises SettingsError: textual is not installed.
    """
    if find_spec("textual") is None:
        raise SettingsError(NO_TOP)
    from taskq.cli.top.app import Top

    fault = await Top(session, actor).run_async()
    if fault is not None:
        raise fault
