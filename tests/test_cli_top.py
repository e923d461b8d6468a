"""taskq top: the overview in a terminal, and its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from textual.pilot import Pilot
from textual.widgets import Static

from backend import Databases
from cli_runner import Taskq
from support import eventually
from taskq import Queue
from taskq.cli.session import opened
from taskq.cli.top.app import Top
from taskq.cli.top.pane import PaneView
from taskq.settings import Settings

HOSTILE = "[bold]\x1b[31mred"


@asynccontextmanager
async def watching(dsn: str) -> AsyncIterator[tuple[Top, Pilot[Any]]]:
    """The screen of 80x24, with its first look."""
    async with opened(Settings(database_url=dsn)) as session:
        app = Top(session, "ada")
        async with app.run_test(size=(80, 24)) as pilot:
            await eventually(lambda: app.seen is not None)
            yield app, pilot


def rows_of(app: Top, pane: str) -> list[str]:
    """What a pane shows."""
    view = app.screen_stack[0].query_one(f"#{pane}", PaneView)
    return [str(option.prompt) for option in view.rows.options]


async def choose(app: Top, pilot: Pilot[Any], number: str, pane: str) -> None:
    """One pane alone, with its first row chosen."""
    await pilot.press(number)
    await eventually(lambda: app.screen.query_one(f"#{pane}", PaneView).rows.has_focus)
    await eventually(lambda: rows_of(app, pane))
    await pilot.press("home")


async def status_of(db: asyncpg.Connection, id: UUID) -> str:
    return str(await db.fetchval("select status from taskq.tasks where id = $1", id))


async def test_a_look_is_text_for_people_and_json_for_machines(dsn: str, queue: Queue) -> None:
    await queue.enqueue("resize", name=HOSTILE)
    text = await Taskq(dsn)("top")
    assert "resize" in text and "nobody plays it" in text
    assert "\x1b" not in text and "[bold]" in text
    look = await Taskq(dsn).json("top")
    assert look["totals"]["ready"] == 1 and look["waiting"][0]["role"] == "resize"


async def test_what_waits_is_cancelled_with_a_reason_and_what_falls_is_said(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    first = await queue.enqueue("resize")
    last = await queue.enqueue("montage", depends_on=[first])
    async with watching(dsn) as (app, pilot):
        await choose(app, pilot, "3", "waiting")
        await pilot.press("c")
        falls = app.screen.query_one("#falls", Static)
        assert "1 other task would fall with it" in str(falls.render())
        await pilot.press("enter")
        assert "It needs a reason" in str(app.screen.query_one("#hint", Static).render())
        await pilot.press(*"no", "enter")
        await eventually(lambda: rows_of(app, "waiting") == [])
    assert await status_of(db, first) == await status_of(db, last) == "cancelled"
    event = await db.fetchrow("select actor, reason from taskq.events where task_id = $1", first)
    assert tuple(event) == ("ada", "no")


async def test_what_awaits_a_person_is_approved_and_what_failed_is_retried(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    asked = await queue.enqueue("deploy", requires_approval=True)
    broken = await queue.enqueue("resize")
    await queue.complete(broken, error="the disk is full")
    async with watching(dsn) as (app, pilot):
        await choose(app, pilot, "3", "waiting")
        await pilot.press("a", "enter")
        await eventually(lambda: is_in(db, asked, "queued"))
        await choose(app, pilot, "4", "failed")
        assert "the disk is full" in rows_of(app, "failed")[0]
        await pilot.press("r", "enter")
        await eventually(lambda: is_in(db, broken, "queued"))


async def is_in(db: asyncpg.Connection, id: UUID, status: str) -> bool:
    return await status_of(db, id) == status


async def test_a_filter_a_task_whole_and_the_way_out(dsn: str, queue: Queue) -> None:
    await queue.enqueue_many([{"role": "resize"}, {"role": "montage"}])
    async with watching(dsn) as (app, pilot):
        await pilot.press("slash", *"mont", "enter")
        await eventually(lambda: len(rows_of(app, "waiting")) == 1)
        await choose(app, pilot, "3", "waiting")
        await pilot.press("enter")
        await eventually(lambda: "no live worker plays role" in shown(app))
        await pilot.press("escape", "question_mark")
        assert type(app.screen).__name__ == "Help"
        await pilot.press("escape", "q")
        await eventually(lambda: not app.is_running)


def shown(app: Top) -> str:
    """All about the task that is open."""
    from rich.console import Console

    console = Console(width=100, file=None)
    with console.capture() as capture:
        for part in app.screen.query("#task").results(Static):
            console.print(part.content)
    return " ".join(capture.get().split())


async def test_a_database_that_is_away_is_said_and_come_back_to(
    dsn: str, queue: Queue, db: asyncpg.Connection, databases: Databases
) -> None:
    other = await asyncpg.connect(databases.maintenance)
    async with watching(dsn) as (app, _):
        name = await db.fetchval("select current_database()")
        await other.execute(f'alter database "{name}" allow_connections false')
        await db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        await eventually(lambda: app.screen.has_class("away"))
        await other.execute(f'alter database "{name}" allow_connections true')
        await queue.enqueue("resize")
        await eventually(lambda: rows_of(app, "waiting") and not app.screen.has_class("away"), timeout=20)
    await other.close()
