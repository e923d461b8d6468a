"""The hub and the pacer: who is told, how often, and what that costs the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import timedelta
from uuid import uuid4

import pytest

from support import eventually
from taskq import Queue
from taskq.web.feed import hub as module
from taskq.web.feed import poller
from taskq.web.feed.event import EPOCH, Event, Position
from taskq.web.feed.hub import Hub
from taskq.web.feed.pacer import Ear, Pacer
from taskq.web.feed.ring import Ring
from taskq.web.feed.topics import TOPIC, topics_of
from taskq.web.reads import Reads


@pytest.fixture
async def reads(dsn: str) -> AsyncIterator[Reads]:
    opened = Reads(dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def hub(reads: Reads) -> AsyncIterator[Hub]:
    async with Hub(reads) as opened:
        yield opened


def event(micros: int, ordinal: int = 1, verb: str = "created") -> Event:
    position = Position(micros, ordinal)
    return Event(str(position), position.at, verb, uuid4(), uuid4(), role="r")


async def heard(hub: Hub, count: int, after: Position | None = None) -> list[Event]:
    """The first so many events of a stream."""
    found: list[Event] = []
    with hub.stream():
        await hub.begun()
        async for events, _ in hub.events(after, time.monotonic() + 10):
            found += events
            if len(found) >= count:
                return found
    raise AssertionError(f"only {found}")


async def test_nobody_looks_while_nobody_listens(hub: Hub, reads: Reads, queue: Queue, monkeypatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0.0)
    monkeypatch.setattr(poller, "INTERVAL", 0.05)
    hub.nudge()
    await asyncio.sleep(0.2)
    assert reads.sent == 0
    with hub.page("/", frozenset({"overview"})):
        assert await hub.begun()
        await eventually(lambda: reads.sent > 3)
    await eventually(lambda: not hub.is_looking)
    before = reads.sent
    await asyncio.sleep(0.5)
    assert reads.sent == before


async def test_however_many_listen_one_looks(hub: Hub, reads: Reads) -> None:
    with ExitStack() as stack:
        for number in range(50):
            stack.enter_context(hub.page(f"/tasks/{number}", frozenset({"tasks"})))
            stack.enter_context(hub.stream())
        await hub.begun()
        began, before = time.monotonic(), reads.sent
        await asyncio.sleep(2.2)
        assert reads.sent - before <= (time.monotonic() - began) / poller.INTERVAL + 1


async def test_a_nudge_is_a_look_at_once(hub: Hub, queue: Queue) -> None:
    with hub.page("/tasks", frozenset({"tasks"})) as ear:
        await hub.begun()
        await ear.hear(poller.INTERVAL)
        await queue.enqueue("r")
        began = time.monotonic()
        hub.nudge()
        assert await ear.hear(5) == {"tasks"}
        assert time.monotonic() - began < poller.INTERVAL


async def test_pages_hear_only_of_their_topics(hub: Hub, queue: Queue) -> None:
    first, second = [await queue.enqueue("r") for _ in range(2)]
    with (
        hub.page("/1", frozenset({f"task:{first}"})) as of_first,
        hub.page("/2", frozenset({f"task:{second}"})) as of_second,
    ):
        await hub.begun()
        await asyncio.sleep(0)
        while await of_first.hear(1.5) or await of_second.hear(0.1):
            pass  # that they were created
        await queue.cancel(first, "no", "ada")
        hub.nudge()
        assert await of_first.hear(5) == {f"task:{first}"}
        assert await of_second.hear(0.1) == set()


async def test_what_happens_between_reading_a_page_and_listening_is_told(hub: Hub, queue: Queue) -> None:
    await queue.enqueue("r")
    with hub.page("/", frozenset({"overview"})) as ear:
        assert await ear.hear(5) == {"overview"}
        with hub.page("/tasks", frozenset({"tasks"})) as later:
            assert await later.hear(5) == {"tasks"}


async def test_a_listener_who_comes_again_hears_what_he_missed(hub: Hub, queue: Queue) -> None:
    with hub.stream():
        await hub.begun()
        first = await queue.enqueue("r")
        hub.nudge()
        [told] = await heard(hub, 1, after=hub.position)
        assert told.task_id == first
        second = await queue.enqueue("r")
        hub.nudge()
        [told] = await heard(hub, 1, after=told.position)
        assert told.task_id == second


async def test_a_listener_of_another_process_hears_what_he_missed(
    hub: Hub, reads: Reads, queue: Queue
) -> None:
    async with Hub(reads) as other:
        with other.stream():
            await other.begun()
            after = other.position
    missed = [await queue.enqueue("r") for _ in range(3)]
    found = await heard(hub, 3, after)
    assert [event.task_id for event in found] == missed


async def test_a_listener_who_was_away_too_long_is_told_to_load_again(hub: Hub, reads: Reads) -> None:
    with hub.stream():
        await hub.begun()
        long_ago = Position.of(hub.position.at - module.TOO_OLD)
        tomorrow = Position.of(hub.position.at + timedelta(days=1))
        for after in (long_ago, tomorrow, Position(0, 0)):
            [told] = await heard(hub, 1, after)
            assert told.verb == "reset"


async def test_a_flood_is_told_as_a_reset_and_makes_every_page_dirty(hub: Hub, db, monkeypatch) -> None:
    monkeypatch.setattr(module, "STREAMS_LIMIT", 10)
    with hub.page("/audit", frozenset({"audit"})) as ear, hub.stream():
        await hub.begun()
        events = hub.events(None, time.monotonic() + 10)
        await db.execute("insert into taskq.tasks (role) select 'r' from generate_series(1, 100)")
        hub.nudge()
        assert [e.verb for found, _ in [await anext(events)] for e in found] == ["reset"]
        assert await ear.hear(5) == {"audit"}


async def test_who_is_too_slow_holds_nothing_and_is_told_so() -> None:
    ring = Ring(3)
    ring.begin(Position(0, 0))
    place = ring.end
    ring.add(event(n) for n in range(1, 4))
    assert [e.position.micros for e in ring.after(place, 9) or []] == [1, 2, 3]
    ring.add([event(4)])
    assert ring.after(place, 9) is None
    assert [e.position.micros for e in ring.after(place + 1, 2) or []] == [2, 3]
    assert ring.place_of(Position(3, 1)) == 3 and ring.place_of(Position(3, 0)) == 2
    assert ring.place_of(Position(0, 0)) is None, "the first has fallen out"
    assert ring.place_of(Position(1, 1)) == 1, "that was the first, and nothing after it is missing"


def test_an_event_makes_the_topics_dirty_that_show_it() -> None:
    made = event(1)
    assert {f"task:{made.task_id}", f"mission:{made.mission_id}", "tasks", "overview"} <= set(topics_of(made))
    assert all(TOPIC.fullmatch(topic) for verb in ("created", "approve", "message", "tool_call", "progress")
               for topic in topics_of(event(1, verb=verb)))  # fmt: skip
    assert "audit" in topics_of(event(1, verb="tool_call"))
    assert "approvals" in topics_of(event(1, verb="approve"))
    said = event(1, verb="message")
    assert set(topics_of(said)) == {f"task:{said.task_id}", f"mission:{said.mission_id}"}
    assert set(topics_of(Event("1-1", EPOCH, "left"))) == {"overview", "roles"}


async def test_many_pages_are_told_one_after_the_other_and_each_has_its_turn() -> None:
    pacer = Pacer(lambda: 0)
    running = asyncio.create_task(pacer.run())
    with ExitStack() as stack:
        ears = [stack.enter_context(pacer.listen(f"/{n}", frozenset({"tasks"}))) for n in range(6)]
        told: list[int] = []

        async def hear(number: int, ear: Ear) -> None:
            while await ear.hear(5):
                told.append(number)
                pacer.mark({"tasks"})

        hearing = [asyncio.create_task(hear(n, ear)) for n, ear in enumerate(ears)]
        pacer.mark({"tasks"})
        began = time.monotonic()
        await eventually(lambda: len(told) >= 12, timeout=20)
        assert len(told) / (time.monotonic() - began) < 3.6
        assert sorted(told[:6]) == sorted(told[6:12]) == list(range(6))
        for task in [*hearing, running]:
            task.cancel()


async def test_all_who_look_at_the_same_page_are_told_at_the_same_moment() -> None:
    pacer = Pacer(lambda: 0)
    running = asyncio.create_task(pacer.run())
    with ExitStack() as stack:
        ears = [stack.enter_context(pacer.listen("/tasks", frozenset({"tasks"}))) for _ in range(20)]
        pacer.mark({"tasks"})
        began = time.monotonic()
        assert await asyncio.gather(*(ear.hear(5) for ear in ears)) == [{"tasks"}] * 20
        assert time.monotonic() - began < 3  # one by one it would be 7 s
    running.cancel()


async def test_what_people_cost_the_database_the_pages_wait_for() -> None:
    sent = 0
    pacer = Pacer(lambda: sent)
    running = asyncio.create_task(pacer.run())
    with pacer.listen("/a", frozenset({"tasks"})) as ear, pacer.listen("/b", frozenset({"tasks"})):
        pacer.mark({"tasks"})
        await ear.hear(5)
        sent += 100  # somebody opens a hundred pages
        pacer.mark({"tasks"})
        began = time.monotonic()
        assert await ear.hear(10) == {"tasks"}
        assert time.monotonic() - began > 1.5
    running.cancel()
