"""taskq serve: Mission Control and the HTTP API."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

import click

from taskq.cli.session import os_user, settings
from taskq.errors import SettingsError

NO_WEB = "Mission Control needs the 'web' extra: pip install 'taskq-pg[web]'"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8340,
    show_default=True,
    help="The port; 0 for a free one.",
)
def serve(host: str, port: int) -> None:
    """Serve Mission Control, the page, and the HTTP API; runs no tasks.

    Reachable from this machine alone, it lets whoever comes act as you, until `taskq token create` makes the
    first token: then everybody logs in.  It listens elsewhere only where there are tokens.
    """
    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "jinja2")):
        raise SettingsError(NO_WEB)
    from taskq.web import Address
    from taskq.web import serve as run

    asyncio.run(run(settings(), Address(host, port), operator=os_user(), ready=say))


def say(url: str) -> None:
    """Where it is."""
    click.echo(f"Mission Control: {url}")
