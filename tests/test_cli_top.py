"""taskq top: the overview in a terminal, on a real database and with real keys."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

import graphs
from backend import Databases
from cli_runner import Taskq
from fake_worker import FakeWorker, Row
from support import eventually
from taskq.cli.session import opened
from taskq.cli.top import app as top_app
from taskq.cli.top import watch
from taskq.cli.top.app import Top
from taskq.cli.top.grid import share
from taskq.cli.top.look import MOST
from taskq.errors import SettingsError
from taskq.settings import Settings

SIZE = (80, 24)


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_app, "PAUSE", 0.2)
    monkeypatch.setattr(top_app, "SHARE", 1)


@dataclass(frozen=True)
class World:
    """Tasks that run, wait, await a person, have failed; a worker, and a role that nobody plays."""

    worker: FakeWorker
    running: Row
    failed: UUID
    asked: UUID
    blocked: UUID
    later: UUID


@pytest.fixture
async def world(db: asyncpg.Connection) -> World:
    worker = await FakeWorker(db, "draw", "sum").register(name="north:17")
    await graphs.insert(db, "draw", name="the plan")
    running = await worker.claim_one()
    await db.execute(
        "select taskq.progress($1, $2, $3, 0.4, 'draws lines')", worker.id, running["id"], running["lease"]
    )
    failed = await graphs.insert(db, "draw", name="the map")
    await worker.fail(await worker.claim_one(), "tool_error", "no ink is left", after=None, final=True)
    asked = await graphs.insert(db, "sign", name="the yes", requires_approval=True)
    blocked = await graphs.insert(db, "sum", name="the sum", depends_on=[asked])
    later = await graphs.insert(db, "lonely", run_at=datetime.now(UTC) + timedelta(hours=1))
    return World(worker, running, failed, asked, blocked, later)


class Watcher:
    """Somebody who looks at the screen of `taskq top`, and presses keys."""

    def __init__(self, app: Top, pilot: Pilot[Exception | None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def text(self) -> str:
        """What is on the screen."""
        screen = self.app.screen
        return "\n".join(strip.text.rstrip() for strip in screen._compositor.render_strips())

    async def sees(self, *texts: str) -> str:
        """The screen, once all of these are on it."""
        try:
            await eventually(lambda: all(text in self.text for text in texts), every=0.05)
        except AssertionError:
            raise AssertionError(
                f"{[text for text in texts if text not in self.text]} not in\n{self.text}"
            ) from None
        return self.text

    async def misses(self, text: str) -> None:
        """Wait until this is not there any more."""
        await eventually(lambda: text not in self.text)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def choose(self, pane: int, id: UUID) -> None:
        """Go to a task in one of the panes, which is alone then."""
        await self.press(str(pane))
        await self.sees(id.hex[-12:])
        rows = next(view for view in self.app.views if view.display).rows
        place = next(n for n, option in enumerate(rows.options) if option.id == str(id))
        await self.press("home", *["down"] * place)
        assert rows.chosen == str(id)

    async def find(self, text: str) -> None:
        """Write this into the line for the filter at once; after each key the pilot waits for quiet."""
        await self.press("slash")
        self.app.screen.query_one("#find", Input).value = text

    async def say(self, reason: str) -> None:
        """Type a reason, and mean it."""
        await self.sees("Why?")
        self.app.screen.query_one(Input).value = reason
        await self.press("enter")


@asynccontextmanager
async def watching(dsn: str, size: tuple[int, int] = SIZE) -> AsyncIterator[Watcher]:
    async with opened(Settings(database_url=dsn)) as session:
        app = Top(session, "ann")
        async with app.run_test(size=size, notifications=True) as pilot:
            yield Watcher(app, pilot)
        assert app.return_value is None, app.return_value


@pytest.fixture
async def watcher(dsn: str, world: World) -> AsyncIterator[Watcher]:
    async with watching(dsn) as watcher:
        await watcher.sees("ROLES 4")
        yield watcher


async def event(db: asyncpg.Connection, id: UUID) -> tuple[str, str, str | None]:
    row = await db.fetchrow("select * from taskq.events where task_id = $1 order by id desc limit 1", id)
    return row["verb"], row["actor"], row["reason"]


async def test_all_of_it_is_on_80_columns_and_24_lines(watcher: Watcher, world: World) -> None:
    text = await watcher.sees("RUNNING 1", "WAITING 3", "FAILED 1", "WORKERS 1", "c Cancel")
    lines = text.splitlines()
    assert len(lines) <= SIZE[1]
    assert all(len(line) <= SIZE[0] for line in lines)
    assert "● 1 running  ○ 0 ready  ○ 1 later  ◌ 1 blocked  ? 1 approval  ✘ 1 failed" in lines[0]
    (running,) = [line for line in lines if world.running["id"].hex[-12:] in line]
    assert "draw" in running and "━━━━┄┄┄┄┄┄ 40%" in running and "the plan: draws" in running
    (asked,) = [line for line in lines if world.asked.hex[-12:] in line]
    assert asked.startswith("? ") and "the yes: awaits the approval" in asked
    (failed,) = [line for line in lines if world.failed.hex[-12:] in line]
    assert "the map: tool_error: no ink" in failed
    assert any(line.startswith("lonely") and "nobody play" in line for line in lines)
    assert any(line.startswith("north:17") and "1/10" in line for line in lines)
    assert lines[-1].split()[:2] == ["c", "Cancel"]


async def test_what_happens_is_seen_within_a_look(
    watcher: Watcher, world: World, db: asyncpg.Connection
) -> None:
    await watcher.sees("40%")
    await db.execute(
        "select taskq.progress($1, $2, $3, 0.9, 'inks')",
        world.worker.id, world.running["id"], world.running["lease"],
    )  # fmt: skip
    await watcher.sees("━━━━━━━━━┄ 90%", "the plan: inks")
    await world.worker.complete(world.running)
    await watcher.sees("nothing runs", "● 0 running")


async def test_cancel_shows_what_falls_with_it_and_wants_a_reason(
    watcher: Watcher, world: World, db: asyncpg.Connection
) -> None:
    await watcher.choose(3, world.asked)
    await watcher.press("c")
    await watcher.sees("Cancel sign “the yes”", "1 other task would fall with it:", world.blocked.hex[-12:])
    await watcher.press("n", "o", "escape")
    await watcher.misses("would fall with it")
    await watcher.press("c", "enter")
    await watcher.sees("It needs a reason")
    assert await graphs.statuses(db, world.asked, world.blocked) == ["awaiting_approval", "blocked"]
    await watcher.say("not any more")
    await watcher.sees("cancelled")
    assert await graphs.statuses(db, world.asked, world.blocked) == ["cancelled", "cancelled"]
    assert await event(db, world.asked) == ("cancel", "ann", "not any more")


async def test_what_runs_cannot_be_approved_but_is_asked_to_stop(
    watcher: Watcher, world: World, db: asyncpg.Connection
) -> None:
    await watcher.press("1", "c")
    await watcher.sees("choose a task")
    await watcher.choose(2, world.running["id"])
    await watcher.press("a")
    await watcher.say("")
    await watcher.sees("cannot")
    assert await graphs.status(db, world.running["id"]) == "in_progress"
    await watcher.press("c")
    await watcher.sees("Nothing else falls with it.")
    await watcher.say("too slow")
    await watcher.sees("asked to stop; the plan")
    assert (await graphs.row(db, world.running["id"]))["cancel_requested_at"]


async def test_retry_approve_reject(watcher: Watcher, world: World, db: asyncpg.Connection) -> None:
    await watcher.choose(4, world.failed)
    await watcher.press("r")
    await watcher.say("")
    await watcher.sees("FAILED 0")
    assert await graphs.status(db, world.failed) == "queued"
    other = await graphs.insert(db, "sign", requires_approval=True)
    await watcher.choose(3, world.asked)
    await watcher.press("a")
    await watcher.say("looks good")
    await eventually(lambda: approved(db, world.asked))
    assert await event(db, world.asked) == ("approve", "ann", "looks good")
    await watcher.choose(3, other)
    await watcher.press("x")
    await watcher.sees("Reject sign")
    await watcher.say("looks bad")
    await watcher.sees("cancelled")
    assert await event(db, other) == ("reject", "ann", "looks bad")


async def approved(db: asyncpg.Connection, id: UUID) -> bool:
    return await graphs.status(db, id) == "queued"


async def test_enter_shows_all_about_a_task_and_keeps_it_up_to_date(
    watcher: Watcher, world: World, db: asyncpg.Connection
) -> None:
    await watcher.choose(2, world.running["id"])
    await watcher.press("enter")
    await watcher.sees(str(world.running["id"]), "━━━━┄┄┄┄┄┄ 40% draws lines", "in progress for", "north:17")
    await world.worker.fail(world.running, "timeout", "the pen is slow", after=None, final=True)
    await watcher.sees("✘ failed", "the pen is slow", "Attempts that did not succeed")
    await watcher.press("r")
    await watcher.say("once more")
    await watcher.sees("○ queued")
    assert await event(db, world.running["id"]) == ("revive", "ann", "once more")
    await watcher.press("escape")
    await watcher.sees("RUNNING 0")


async def test_a_filter_leaves_what_has_it_in_role_name_id_or_worker(watcher: Watcher, world: World) -> None:
    await watcher.press("slash", "t", "h", "e")
    await watcher.sees("WAITING 2", "ROLES 0", "/the")
    await watcher.press("enter")
    await watcher.find("the plan")
    await watcher.press("enter")
    await watcher.sees("RUNNING 1", "WAITING 0", "FAILED 0", "WORKERS 0", "? 1 approval")
    await watcher.press("escape")
    await watcher.sees("ROLES 4")
    await watcher.find(world.later.hex[-12:])
    await watcher.sees("WAITING 1", "RUNNING 0")
    await watcher.press("escape")
    await watcher.find("NORTH")
    await watcher.sees("RUNNING 1", "WAITING 0", "WORKERS 1")
    await watcher.press("escape")
    await watcher.sees("ROLES 4")
    await watcher.press("1", "home", "enter", "0")  # of a role, its tasks
    await watcher.sees("/draw", "ROLES 1", "RUNNING 1", "FAILED 1", "WAITING 0")


async def test_the_chosen_task_stays_chosen_where_others_come_and_go(
    watcher: Watcher, world: World, db: asyncpg.Connection
) -> None:
    await watcher.choose(3, world.blocked)
    await graphs.insert(db, "sign", requires_approval=True)
    await watcher.sees("WAITING 4")
    await watcher.press("c")
    await watcher.sees("Cancel sum “the sum”")


async def test_panes_alone_and_together_help_and_the_way_out(watcher: Watcher, world: World) -> None:
    await watcher.press("5")
    await watcher.misses("RUNNING 1")
    assert "north:17" in watcher.text
    await watcher.press("0")
    await watcher.sees("RUNNING 1", "ROLES 4")
    await watcher.press("question_mark")
    await watcher.sees("cancel a task: says what falls with it")
    await watcher.press("escape")
    await watcher.misses("cancel a task: says what falls with it")
    await watcher.press("q")
    await eventually(lambda: not watcher.app.is_running)


async def test_a_database_that_is_away_is_said_and_found_again(
    watcher: Watcher, world: World, db: asyncpg.Connection, databases: Databases
) -> None:
    name = await db.fetchval("select current_database()")
    await databases.execute(f'alter database "{name}" allow_connections false')
    await db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    text = await watcher.sees("The database is away; this is from")
    assert "RUNNING 1" in text
    await watcher.press("4", "r")
    await watcher.say("while it is away")
    assert "The database is away" in watcher.text
    await world.worker.complete(world.running)
    await databases.execute(f'alter database "{name}" allow_connections true')
    await watcher.misses("The database is away")
    await watcher.press("0")
    await watcher.sees("nothing runs")


async def test_a_fault_of_our_own_ends_it_and_is_raised(
    dsn: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(top_app, "look", broken)
    async with opened(Settings(database_url=dsn)) as session:
        app = Top(session, "ann")
        async with app.run_test():
            await eventually(lambda: not app.is_running)
    assert isinstance(app.return_value, ZeroDivisionError)


async def test_text_of_tasks_is_neither_obeyed_nor_taken_for_markup(
    taskq: Taskq, db: asyncpg.Connection
) -> None:
    await graphs.insert(db, "odd", name="[bold]\x1b[31mred\x07[/]", requires_approval=True)
    async with watching(taskq.dsn) as watcher:
        for text in (await watcher.sees("[bold][31mred[/]: awaits"), await taskq("top")):
            assert "[bold][31mred[/]: awaits" in text
            assert "\x1b" not in text and "\x07" not in text


async def test_one_statement_a_look(watcher: Watcher, world: World, db: asyncpg.Connection) -> None:
    fetched: list[str] = []
    reader = watcher.app.work_on.reader
    fetch = reader._again

    async def counted(how: Callable[..., object], query: str, *args: object) -> object:
        fetched.append(query)
        return await fetch(how, query, *args)

    reader._again = counted  # type: ignore[method-assign]
    for _ in range(2):
        watcher.app.again.set()
        await eventually(lambda: not watcher.app.again.is_set())
    await eventually(lambda: len(fetched) >= 2)
    assert set(fetched) == {"top"}


async def test_once_prints_a_look_as_plain_text(taskq: Taskq, world: World) -> None:
    out = await taskq("top", "--once")
    assert "\x1b" not in out
    for text in (
        "ROLES 4",
        "RUNNING 1",
        "WAITING 3",
        "FAILED 1",
        "WORKERS 1",
        "no ink is left",
        "nobody plays it",
    ):
        assert text in out
    assert world.running["id"].hex[-12:] in out
    piped = await taskq("top")
    assert [line.split()[:1] for line in piped.splitlines()] == [
        line.split()[:1] for line in out.splitlines()
    ]


async def test_once_without_any_tasks(taskq: Taskq) -> None:
    out = await taskq("top", "--once")
    for text in ("ROLES 0", "nothing runs", "nothing waits", "nothing failed", "none lives"):
        assert text in out


async def test_json_is_one_look(taskq: Taskq, world: World, db: asyncpg.Connection) -> None:
    look = await taskq.json("top")
    assert look["totals"] == {
        "ready": 0, "later": 1, "running": 1, "blocked": 1, "approval": 1, "failed": 1,
        "workers": 1, "slots": 10,
    }  # fmt: skip
    assert datetime.fromisoformat(look["at"]).tzinfo
    assert [row["role"] for row in look["roles"]] == ["draw", "lonely", "sign", "sum"]
    assert look["roles"][0]["workers"] == ["north:17"]
    (running,) = look["running"]
    assert (running["id"], running["progress"]) == (str(world.running["id"]), pytest.approx(0.4))
    assert 0 <= running["for"] < 60
    assert [row["id"] for row in look["waiting"]] == [str(world.asked), str(world.later), str(world.blocked)]
    assert look["waiting"][0]["why"].startswith("awaits the approval of a person")
    assert [row["error_kind"] for row in look["failed"]] == ["tool_error"]
    assert look["workers"][0]["slots"] == 10
    assert look["roles"][0]["paused"] is False
    await db.execute("select taskq.pause_role('draw', 'no ink', 'ann')")
    assert (await taskq.json("top"))["roles"][0]["paused"] is True
    (line,) = [line for line in (await taskq("top")).splitlines() if line.startswith("draw ")]
    assert line.endswith("paused")


async def test_of_many_only_some_are_listed_and_all_are_counted(taskq: Taskq, db: asyncpg.Connection) -> None:
    await db.execute(
        "insert into taskq.tasks (role, requires_approval) select 'sign', true from generate_series(1, $1)",
        MOST + 5,
    )
    look = await taskq.json("top")
    assert len(look["waiting"]) == MOST
    assert look["totals"]["approval"] == MOST + 5
    assert f"WAITING {MOST}+" in await taskq("top")


async def test_without_a_database_once_says_so() -> None:
    nowhere = Taskq("postgresql://taskq@127.0.0.1:1/nowhere")
    assert "taskq: " in await nowhere.error("top", "--once", code=5)


async def test_on_a_terminal_it_runs_until_q(taskq: Taskq, world: World) -> None:
    code, out = await taskq.on_terminal("top", typed=[(b"draws", b"q")])
    assert code == 0
    assert "the plan" in out and "no ink" in out
    assert out.rindex("\x1b[?1049l") > out.rindex("\x1b[?1049h")  # the terminal is as it was


async def test_once_on_a_terminal_has_colours(taskq: Taskq, world: World) -> None:
    code, out = await taskq.on_terminal("top", "--once")
    assert code == 0
    assert "RUNNING 1" in out and "\x1b[" in out and "\x1b[?1049h" not in out


async def test_without_textual_the_extra_is_named(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual", None)
    async with opened(Settings(database_url=dsn)) as session:
        with pytest.raises(SettingsError, match=r"needs the 'top' extra: pip install 'taskq-pg\[top\]'"):
            await watch(session, "ann")


@pytest.mark.parametrize(
    ("room", "wanted", "given"),
    [
        (10, [2, 3], [2, 3]),
        (5, [9, 1], [4, 1]),
        (9, [9, 9, 9], [3, 3, 3]),
        (2, [9, 9, 9], [1, 1, 0]),
        (0, [1], [0]),
        (5, [], []),
    ],
)
def test_lines_are_shared_out_by_need(room: int, wanted: list[int], given: list[int]) -> None:
    assert share(room, wanted) == given
