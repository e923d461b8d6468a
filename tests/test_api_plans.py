"""With 200,000 tasks in the table a page of the API reads what it needs and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import backend
from conftest import hang_up, open_plain
from plans import Explained, Plans
from taskq.web.api.listing import TEXT_WINDOW, WINDOW, an_hour_ahead
from taskq.web.ids import first_of
from taskq.web.reads import QUERIES
from test_plans import big as big

PAGE = 50


@pytest.fixture
async def explained(big: str) -> AsyncIterator[Explained]:
    """A session that tells its plans."""
    with backend.alone("plans"):
        session = await open_plain(big, plan_cache_mode="force_custom_plan")
        found = Explained(session)
        await found.start()
        yield found
        await hang_up(session)


async def plans(explained: Explained, query: str, *args: Any) -> Plans:
    return await explained.plans_of(lambda: explained.session.fetch(QUERIES[query], *args))


def newest(
    *,
    status: list[str] | None = None,
    role: list[str] | None = None,
    mission: UUID | None = None,
    text: str | None = None,
    below: UUID | None = None,
    lowest: UUID | None = None,
    window: int | None = None,
) -> tuple[Any, ...]:
    """The arguments of newest_places."""
    what = (status, role, mission, text, below, lowest)
    return (*what, PAGE + 1, window or PAGE + 1, an_hour_ahead(), window is not None)  # fmt: skip


async def root_of_a_mission(session: asyncpg.Connection) -> UUID:
    return await session.fetchval("select mission_id from taskq.tasks where mission_id <> id limit 1")


async def test_a_page_of_the_newest_tasks_reads_that_page(explained: Explained) -> None:
    found = await plans(explained, "newest_places", *newest())
    assert not found.scans and found.pages < 30, str(found)
    middle = await explained.session.fetchval("select id from taskq.tasks order by id offset 100000 limit 1")
    found = await plans(explained, "newest_places", *newest(below=middle))
    assert not found.scans and found.pages < 30, str(found)


async def test_ids_that_clients_chose_are_looked_for_only_where_they_are(explained: Explained) -> None:
    args = (None, None, None, None, None, None, None, PAGE + 1, an_hour_ahead())
    found = await plans(explained, "chosen_places", *args)
    assert not found.scans and found.pages < 30, str(found)


@pytest.mark.parametrize("status", ["failed", "in_progress", "awaiting_approval", "blocked", "queued"])
async def test_a_status_that_has_an_index_is_found_by_it(explained: Explained, status: str) -> None:
    found = await plans(explained, "newest_places", *newest(status=[status]))
    assert not found.scans and found.pages < 7_000, str(found)


async def test_a_page_of_a_mission_reads_the_mission(explained: Explained) -> None:
    root = await root_of_a_mission(explained.session)
    for query, args in (
        ("newest_places", newest(mission=root)),
        ("mission_nodes", (root, 5001)),
        ("mission_sums", ([root],)),
        ("mission_spend", (root,)),
    ):
        found = await plans(explained, query, *args)
        assert not found.scans and found.pages < 2_000, str(found)


async def test_what_no_index_knows_is_looked_for_among_so_many(explained: Explained) -> None:
    for args in (
        newest(role=["nobody"], window=WINDOW),
        newest(status=["cancelled"], window=WINDOW),
        newest(text="nothing", window=TEXT_WINDOW),
    ):
        found = await plans(explained, "newest_places", *args)
        assert not found.scans and found.pages < 30_000, str(found)


async def test_a_time_is_a_range_of_ids(explained: Explained) -> None:
    now = await explained.session.fetchval("select now()")
    found = await plans(explained, "newest_places", *newest(lowest=first_of(now + timedelta(days=1))))
    assert not found.scans and found.pages < 10, str(found)


async def test_a_task_and_what_its_cancel_takes_are_read_by_index(explained: Explained) -> None:
    id = await explained.session.fetchval("select depends_on from taskq.dependencies limit 1")
    for query, args in (
        ("whole_task", (id,)),
        ("would_fall", (id,)),
        ("doomed", (id,)),
        ("task_rows", ([id] * 50,)),
        ("tool_calls_page", (None,) * 8 + (2000, 51, None)),
        ("tool_calls_of_task", (id, -1, -1, 2000, 51)),
    ):
        found = await plans(explained, query, *args)
        assert not found.scans and found.pages < 2_000, f"{query}: {found}"


async def test_missions_are_found_without_a_look_at_lone_tasks(explained: Explained) -> None:
    found = await plans(explained, "mission_rows", None, 21)
    assert not found.scans and found.pages < 12_000, str(found)
