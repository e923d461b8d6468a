"""taskq worker: plays roles until it is told to stop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from taskq import schema
from taskq.app import App
from taskq.cli.session import settings
from taskq.client import reachable
from taskq.errors import SettingsError, TaskqError
from taskq.settings import Settings


@dataclass(frozen=True)
class Load:
    """Makes the app of a worker: the roles of a program, and agents.  Picklable, so every process can.

    :param app: module:attribute of an App.
    :param agents: a directory of role manifests.
    :param base_url: another address of the Messages API.
    :param simulated: that address is a fake.
    """

    app: str | None
    agents: Path | None
    api_key: str | None
    base_url: str | None
    simulated: bool

    def __call__(self) -> App:
        """
        :raises SettingsError: there is no such app, or a manifest cannot be used.
        """
        made = App()  # a new one each time: agents are added to it
        if self.app is not None:
            found = find_app(self.app)
            for role in found.roles.values():
                made.add(role)
            made.tools |= found.tools
        if self.agents is not None:
            from taskq.agent import add_agents

            add_agents(
                made, self.agents, api_key=self.api_key, base_url=self.base_url, simulated=self.simulated
            )
        return made


def find_app(name: str) -> App:
    """The App that module:attribute names; modules of the working directory are found.

    :raises SettingsError: there is none, or its module cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise SettingsError(f"--app {name}: write module:attribute, such as shop.tasks:app")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except TaskqError:
        raise
    except Exception as error:
        raise SettingsError(f"--app {name} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, App):
        raise SettingsError(f"--app {name} is a {type(found).__name__}, not a taskq.App")
    return found


@contextmanager
def messages_api(
    found: Settings, offline: bool, offline_url: str | None, agents: Path | None
) -> Iterator[tuple[str | None, str | None]]:
    """The key and the address of the Messages API while the block lasts; offline it is a fake: the one at
    this address, or one of ours.

    :raises SettingsError: there are agents, and no key.
    """
    if agents is None:
        yield None, None
    elif offline_url is not None:
        yield "offline", offline_url
    elif offline:
        from taskq.testing import FakeMessages

        fake = FakeMessages()
        try:
            yield "offline", fake.start()
        finally:
            fake.stop()
    else:
        from taskq.agent import require_key

        yield require_key(found), found.anthropic_base_url


def web_address(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Checks an option that is the address of a server."""
    if value is not None and not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value!r} is no address: write http://127.0.0.1:PORT")
    return value


@click.command()
@click.option("--app", help="The App to play, as module:attribute.")
@click.option(
    "--agents",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A directory of role manifests to play as agents.",
)
@click.option("--roles", multiple=True, metavar="GLOB", help="Only these roles; may be repeated.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    help="Tasks at once in each process.",
)
@click.option(
    "--processes", type=click.IntRange(1, 256), default=1, show_default=True, help="Worker processes."
)
@click.option("--offline", is_flag=True, help="Agents talk to a simulated model on this machine.")
@click.option(
    "--offline-url",
    metavar="URL",
    callback=web_address,
    help="Agents talk to the simulated model at this address.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What goes to stderr.",
)
def worker(
    app: str | None,
    agents: Path | None,
    roles: tuple[str, ...],
    concurrency: int,
    processes: int,
    offline: bool,
    offline_url: str | None,
    log_level: str,
) -> None:
    """Play roles until SIGTERM or Ctrl-C.

    The roles are those of --app and --agents. The first signal drains it: it takes nothing new and finishes
    what it can within TASKQ_GRACE. A second one stops it now.
    """
    from taskq.worker import run_worker

    if app is None and agents is None:
        raise click.UsageError("Give --app or --agents, or both.")
    found = settings()
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    directory = None if agents is None else agents.absolute()
    simulated = offline or offline_url is not None
    with messages_api(found, offline, offline_url, directory) as (api_key, base_url):
        load = Load(app, directory, api_key, base_url, simulated=simulated)
        load().select(roles or ["*"])  # what is wrong is said once, before any process starts
        if processes > 1:
            asyncio.run(ready(found))
        code = run_worker(
            load, settings=found, roles=list(roles) or ["*"], concurrency=concurrency, processes=processes
        )
    raise click.exceptions.Exit(code)


async def ready(found: Settings) -> None:
    """:raises DatabaseError: the database cannot be reached, or has not been migrated."""
    async with reachable(found) as dsn:
        await schema.check(dsn)
