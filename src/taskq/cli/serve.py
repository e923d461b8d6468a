"""taskq serve: Mission Control and the HTTP API."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

import click

from taskq.cli.session import os_user, settings
from taskq.errors import SettingsError

NO_WEB = "Mission Control needs the 'web' extra: pip install 'taskq-pg[web]'"
NEEDED = ("starlette", "uvicorn", "jinja2", "markdown_it", "python_multipart")


def host_names(_ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Checks an option that names hosts."""
    for name in names:
        if not name or any(letter in name for letter in "/:@ *"):
            raise click.BadParameter(f"{name!r} is no host: write its name alone, such as tasks.example.com")
    return names


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8340,
    show_default=True,
    help="The port; 0 for a free one.",
)
@click.option(
    "--public-host",
    "public_hosts",
    multiple=True,
    metavar="NAME",
    callback=host_names,
    help="A name that people reach it by, such as a proxy's; may be repeated.",
)
def serve(host: str, port: int, public_hosts: tuple[str, ...]) -> None:
    """Serve Mission Control, the page, and the HTTP API; runs no tasks.

    Reachable from this machine alone, it lets whoever comes act as you, until `taskq token create` makes the
    first token: then everybody logs in.  Where others can reach it, it starts only if there are tokens.
    """
    if any(find_spec(name) is None for name in NEEDED):
        raise SettingsError(NO_WEB)
    from taskq.web import Address
    from taskq.web import serve as run

    address = Address(host, port, public_hosts)
    asyncio.run(run(settings(), address, operator=os_user(), ready=say, warn=warn))


def say(url: str) -> None:
    """Where it is."""
    click.echo(f"Mission Control: {url}")


def warn(what: str) -> None:
    """What people should know."""
    click.echo(f"taskq serve: {what}", err=True)
