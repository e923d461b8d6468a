"""Declaring roles."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from support import eventually
from taskq import App, Role, SyncTask, Task
from taskq.errors import SettingsError
from taskq.worker import Worker
from worker_process import registered, settings_for, working


@dataclass
class Order:
    flour: float


async def handler(task: Task) -> None:
    """Does nothing."""


def sync_handler(task: SyncTask) -> None:
    """Does nothing.

    At length.
    """


async def baking(task: Task, order: Order) -> None: ...


def test_how_a_function_is_run_follows_from_what_it_is() -> None:
    app = App()
    assert app.role("a")(handler) is handler
    app.role("b")(sync_handler)
    app.role("c", isolation="process")(sync_handler)
    app.role("d", isolation="thread")(sync_handler)
    assert [role.isolation for role in app.roles.values()] == ["loop", "thread", "process", "thread"]
    assert [role.payload_type for role in app.roles.values()] == [None] * 4


def test_the_second_parameter_says_the_type_of_the_payload() -> None:
    app = App()
    app.role("bake")(baking)
    assert app.roles["bake"].payload_type is Order


def test_the_first_line_of_the_docstring_describes_the_role() -> None:
    app = App()
    app.role("a")(sync_handler)
    app.role("b")(baking)
    assert (app.roles["a"].description, app.roles["b"].description) == ("Does nothing.", None)


def test_a_role_is_declared_once() -> None:
    app = App()
    app.add(Role(name="a", handler=handler))
    with pytest.raises(SettingsError, match="role a is declared twice"):
        app.role("a")(handler)


async def three(task: Task, order: Order, more: int) -> None: ...
async def bare(task: Task, order) -> None: ...  # type: ignore[no-untyped-def]
async def unknown(task: Task, order: NoSuchThing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
async def nothing() -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (three, "not 3 parameters"),
        (nothing, "not 0 parameters"),
        (bare, "annotate order"),
        (unknown, "NoSuchThing"),
    ],
)
def test_a_function_that_does_not_fit_is_refused(function: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        App().role("a")(function)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"name": ""}, "a name of 1 to 200 characters"),
        ({"name": "x" * 201}, "a name of 1 to 200 characters"),
        ({"timeout": timedelta(0)}, "timeout must be longer than nothing"),
        ({"max_attempts": 0}, "max_attempts must be 1 to 32767"),
        ({"max_attempts": 40_000}, "max_attempts must be 1 to 32767"),
        ({"backoff": []}, "backoff must have a step"),
        ({"backoff": [timedelta(seconds=-1)]}, "none below zero"),
        ({"isolation": "thread"}, "an async function runs on the event loop"),
        ({"handler": sync_handler}, "only an async function runs on the event loop"),
        ({"handler": lambda task: None, "isolation": "process"}, "put it at the top of a module"),
        (
            {"handler": functools.partial(sync_handler), "isolation": "process"},
            "put it at the top of a module",
        ),
    ],
)
def test_a_role_that_cannot_be_played_is_refused(how: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Role(**{"name": "a", "handler": handler, **how})


def test_globs_select_roles_in_the_order_of_their_declaration() -> None:
    app = App()
    for name in ("resize.large", "mail", "resize.small", "Mail"):
        app.add(Role(name=name, handler=handler))
    assert app.select(["*"]) == ["resize.large", "mail", "resize.small", "Mail"]
    assert app.select(["*.small", "resize.*"]) == ["resize.large", "resize.small"]
    assert app.select(["mail"]) == ["mail"]
    with pytest.raises(SettingsError, match=r"no role matches 'post'; there are: resize\.large, mail"):
        app.select(["mail", "post"])
    with pytest.raises(SettingsError, match="there are: none"):
        App().select(["*"])


async def test_what_a_role_declares_is_kept_and_holds_for_tasks_that_say_nothing(
    dsn: str, db: asyncpg.Connection
) -> None:
    app = App()
    app.role(
        "a",
        timeout=timedelta(minutes=7, microseconds=1),
        max_attempts=2,
        backoff=[timedelta(milliseconds=1), timedelta(days=2)],
    )(handler)
    app.role("b")(handler)
    async with working(app, dsn):
        await registered(db, 1)
    declared = await db.fetch("select * from taskq.roles order by name")
    assert [row["description"] for row in declared] == ["Does nothing."] * 2
    assert declared[0]["backoff"] == [timedelta(milliseconds=1), timedelta(days=2)]
    assert declared[1]["backoff"] == [timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10)]
    await db.execute("insert into taskq.tasks (role) values ('a'), ('b')")
    await db.execute("insert into taskq.tasks (role, timeout, max_attempts) values ('a', '1 h', 9)")
    kept = await db.fetch("select timeout, max_attempts from taskq.tasks order by role, max_attempts")
    assert [tuple(row) for row in kept] == [
        (timedelta(minutes=7, microseconds=1), 2),
        (timedelta(hours=1), 9),
        (timedelta(minutes=30), 4),
    ]


async def test_a_worker_that_starts_again_declares_its_roles_anew(dsn: str, db: asyncpg.Connection) -> None:
    for attempts in (2, 5):
        app = App()
        app.role("a", max_attempts=attempts)(handler)
        async with working(app, dsn):
            assert await db.fetchval("select max_attempts from taskq.roles") == attempts


async def test_a_worker_plays_only_roles_that_exist(dsn: str) -> None:
    with pytest.raises(KeyError, match="nobody"):
        Worker(App(), dsn=dsn, settings=settings_for(dsn), roles=["nobody"])


async def test_two_workers_may_run_in_one_process(dsn: str, db: asyncpg.Connection) -> None:
    app, seen = App(), set()

    @app.role("who")
    async def who(task: Task) -> None:
        seen.add(task.lease)
        await asyncio.sleep(0.2)

    async with working(app, dsn, concurrency=1), working(app, dsn, concurrency=1):
        await registered(db, 2)
        await db.execute("insert into taskq.tasks (role) values ('who'), ('who')")
        await eventually(lambda: len(seen) == 2)
        assert await db.fetchval("select count(distinct worker_id) from taskq.tasks") == 2
