"""The stage of the demo: a database, two workers; the mission on it; everything stopped at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from uuid import UUID

from taskq import embedded, schema
from taskq.cli.demo import facts
from taskq.cli.demo.facts import Fact
from taskq.cli.demo.failed import DemoFailed
from taskq.cli.demo.page import MissionControl, mission_control
from taskq.cli.demo.play import Play
from taskq.cli.demo.screen import Screen
from taskq.cli.demo.script import simulated_model
from taskq.cli.demo.workers import WorkerProcess, crew
from taskq.cli.session import opened
from taskq.database import Pool, read_queries
from taskq.errors import TaskqError
from taskq.settings import Settings

QUERIES = read_queries((files("taskq.cli.demo") / "queries.sql").read_text(encoding="utf-8"))
START_LIMIT = 60.0
LIMIT = {True: 120.0, False: 3600.0}
"""Seconds for the mission, offline and with a real model."""


@dataclass(frozen=True)
class Wishes:
    """What the command line asked for.

    :param settings: without a database URL it is the embedded server in their home.
    :param offline: simulate the model.
    :param keep: leave it running after the facts.
    :param quiet: stdout is for JSON.
    """

    settings: Settings
    offline: bool
    keep: bool
    quiet: bool


async def run(wishes: Wishes) -> list[Fact]:
    """Set the stage, play the mission, and say what came of it; none when it could not be played."""
    screen = Screen(stderr=wishes.quiet)
    directory = wishes.settings.home.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    async with database(wishes.settings, screen) as (dsn, psql):
        found = replace(wishes.settings, database_url=dsn)
        async with (
            opened(found) as session,
            simulated_model() if wishes.offline else nullcontext() as model,
            crew(dsn, directory, manifests(), model=model) as workers,
            mission_control(dsn, directory) as page,
        ):
            reader = Pool(dsn, size=4, queries=QUERIES)
            try:
                play = Play(session, reader, workers, screen, offline=wishes.offline, page=page)
                return await perform(wishes, play, psql)
            finally:
                await reader.close()


@asynccontextmanager
async def database(settings: Settings, screen: Screen) -> AsyncIterator[tuple[str, str]]:
    """A database with the schema, and the command that opens a psql on it, for as long as the block lasts."""
    if settings.database_url is not None:
        with screen.step("migrating the schema"):
            await schema.migrate(settings.database_url)
        yield settings.database_url, f"psql '{settings.database_url}'"
        return
    with screen.step("starting PostgreSQL") as done:
        server = await embedded.ensure(settings)
        done.append(f"PostgreSQL runs in {settings.home}")
    async with server:
        with screen.step("migrating the schema") as done:
            done.append(f"schema taskq at revision {await schema.migrate(server.dsn)}")
        yield server.dsn, server.psql_command()


def manifests() -> Path:
    """The example roles.

    :raises DemoFailed: they are not there.
    """
    roles = schema.directory("roles")
    if not roles.is_dir():
        raise DemoFailed("the example roles are not installed; run the demo in a checkout of the repository")
    return roles


async def perform(wishes: Wishes, play: Play, psql: str) -> list[Fact]:
    """The mission from its INSERT to the facts about it."""
    reader, workers, screen = play.reader, play.workers, play.screen
    tell_where(play.page, screen)
    try:
        await wait_for_workers(reader, workers, screen)
        if not wishes.offline:
            screen.say("ANTHROPIC_API_KEY is set: agents will ask a real model, which costs money.", "bold")
        mission = await play.begin(QUERIES["mission"], QUERIES["budget"], schema.directory("sql"))
        await play.to_its_end(LIMIT[wishes.offline], quiet=wishes.quiet)
    except TaskqError as error:
        screen.mark(False, str(error))
        await play.call_off()
        show_logs(workers, screen)
        return []
    except asyncio.CancelledError:
        screen.say("\nstopping …")
        await play.call_off()
        raise
    await play.sum_up()
    screen.say("\nFacts, asked of the database:\n")
    found = await facts.establish(reader, mission, play.kill, offline=wishes.offline)
    if play.page is not None:
        found.append(play.page.fact())
    facts.show(found, screen)
    if not all(fact.holds for fact in found):
        show_logs(workers, screen)
    if wishes.keep:
        await stay(wishes.settings, mission, play, psql)
    return found


def tell_where(page: MissionControl | None, screen: Screen) -> None:
    """Where people can watch."""
    if page is None:
        screen.say("without Mission Control: it needs the 'web' extra")
    else:
        screen.mark(True, f"Mission Control: {page.url}")


async def wait_for_workers(reader: Pool, workers: Sequence[WorkerProcess], screen: Screen) -> None:
    """:raises DemoFailed: one of them has not registered in time."""
    names = [worker.name for worker in workers]
    deadline = time.monotonic() + START_LIMIT
    with screen.step("starting two workers") as done:
        while len(await reader.fetch("crew", names)) < len(names):
            if not all(worker.lives for worker in workers):
                raise DemoFailed("a worker ended before it could register")
            if time.monotonic() > deadline:
                raise DemoFailed(f"the workers have not registered after {START_LIMIT:g} s")
            await asyncio.sleep(0.05)
        done.append(" and ".join(f"worker {worker.number} (pid {worker.process.pid})" for worker in workers))
        done.append("are ready")


def show_logs(workers: Sequence[WorkerProcess], screen: Screen) -> None:
    """The ends of the workers' logs."""
    for worker in workers:
        screen.say(f"\nworker {worker.number}, {worker.log}:", "bold")
        screen.say(worker.tail())


async def stay(settings: Settings, mission: UUID, play: Play, psql: str) -> None:
    """Leave everything as it is until Ctrl-C."""
    screen = play.screen
    where = f"--database '{settings.database_url}' " if settings.database_url else ""
    home = "" if where else f"TASKQ_HOME={settings.home} "
    screen.say("\nIt stays as it is until Ctrl-C.  To look around:\n")
    if play.page is not None:
        screen.say(f"  {play.page.page_of(mission)}", "cyan")
    screen.say(f"  {home}taskq {where}show {mission}\n  {home}taskq {where}list\n  {psql}", "cyan")
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
