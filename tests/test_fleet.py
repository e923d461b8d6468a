"""Many agents at once: under one budget, and under one provider that says "later"."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from agent_process import ROLE, agents_process, agents_working
from support import eventually
from taskq import Done, Queue
from taskq.agent import Claude, RateLimited
from taskq.testing import ApiError, FakeMessages, Reply, Request, by_turn, text, tool_use

POST = Reply([text("I post."), tool_use("post", {"what": "x"})])
SUBMIT = Reply([tool_use("submit_result", {"summary": "Done."})])
PLAY = by_turn(POST, POST, SUBMIT)
LONG = timedelta(seconds=40)
LIMIT, ENOUGH = 14_000, 1_000_000
USED = "select tokens_used from taskq.budgets where scope = 'mission'"


async def ends(queue: Queue, ids: list[UUID]) -> list[Done]:
    return [await queue.wait(id, timeout=LONG) for id in ids]


# One budget


@asynccontextmanager
async def watched(session: asyncpg.Connection) -> AsyncIterator[list[int]]:
    """What is used of the mission's budget, seen all the while."""
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(await session.fetchval(USED))
            await asyncio.sleep(0.002)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_ten_agents_and_a_crash_never_overspend_their_budget_and_go_on_when_it_is_raised(
    dsn: str, connect: Any, tmp_path: Path
) -> None:
    db, eyes = await connect(), await connect()
    (tmp_path / "go").touch()
    held: list[Request] = []

    async def script(request: Request) -> object:
        """Never answers the first three requests: their worker dies first."""
        if len(held) < 3:
            held.append(request)
            await asyncio.sleep(600)
        return PLAY(request)

    fake = FakeMessages(script)
    async with fake.serve() as base_url, Queue(dsn) as queue:
        root = await queue.enqueue("human", {})
        await db.execute("select taskq.set_budget('mission', $1, $2)", str(root), {"tokens": LIMIT})
        await db.execute(
            "alter table taskq.budgets add constraint never_overspent check (tokens_used <= tokens)"
        )
        ids = await queue.enqueue_many(
            [{"role": ROLE, "name": f"n{n}", "mission_id": root} for n in range(10)]
        )
        async with agents_process(tmp_path, base_url, dsn, concurrency=3) as process:
            await eventually(lambda: len(held) == 3, timeout=30)
            process.send(signal.SIGKILL)
            await process.ends()
        lost = await db.fetchval("select sum(tokens)::bigint from taskq.reservations")
        assert lost == await db.fetchval(USED) > 0
        await eventually(lambda: db.fetchval("select taskq.reap() = 3"))

        async with watched(eyes) as seen, agents_working(tmp_path, base_url, dsn):
            done = await ends(queue, ids)
            short = [one for one in done if one.status == "failed"]
            assert {one.error_kind for one in short} == {"budget_exceeded"}
            assert 0 < len(short) < 10
            committed = {one.id: await turns(db, one.id) for one in short}
            assert max(seen) <= LIMIT
            await db.execute("select taskq.set_budget('mission', $1, $2)", str(root), {"tokens": ENOUGH})
            for one in short:
                await queue.retry(one.id, "it may cost more", "ann")
            done = await ends(queue, ids)
    assert {one.status for one in done} == {"completed"}
    assert {one.id: one.result["resumed_turns"] for one in done if one.id in committed} == committed
    assert len(fake.requests) == 3 + 3 * 10  # no turn was asked for twice but those of the crash
    assert len(seen) > 50
    spent = await db.fetchval("select sum(u.value::bigint)::bigint from taskq.messages, jsonb_each(usage) u"
                              " where u.key ~ '_tokens$' and jsonb_typeof(u.value) = 'number'")  # fmt: skip
    assert await db.fetchval(USED) == lost + spent


async def turns(session: asyncpg.Connection, id: UUID) -> int:
    """How many turns of a task are committed."""
    return await session.fetchval(
        "select count(*) from taskq.messages where task_id = $1 and role = 'assistant'", id
    )


# One provider

PAUSE = 2.0
IN_FLIGHT = 0.5
"""Seconds within which a request that has left reaches the fake, on a busy machine."""


@pytest.mark.parametrize("ahead", [False, True], ids=["all at once", "one ahead of the others"])
async def test_after_one_429_no_agent_asks_for_as_long_as_it_says_and_no_attempt_is_spent(
    dsn: str, db: asyncpg.Connection, tmp_path: Path, ahead: bool
) -> None:
    """All at once, requests may still arrive that had left when the 429 came back: at most one a task, each
    soon.  With one task ahead of the others there is none, and the silence begins with the 429."""
    (tmp_path / "go").touch()
    asked: list[tuple[float, str | None]] = []

    def script(request: Request) -> object:
        if request.task == "warm up":
            return PLAY(request)
        asked.append((time.monotonic(), request.task))
        return PLAY(request) if len(asked) > 1 else ApiError(429, retry_after=PAUSE)

    fake = FakeMessages(script)
    tasks = [{"role": ROLE, "name": f"n{n}"} for n in range(20)]
    async with (
        fake.serve() as base_url,
        agents_working(tmp_path, base_url, dsn, concurrency=20),
        Queue(dsn) as queue,
    ):
        await queue.result(await queue.enqueue(ROLE, {}, name="warm up"), timeout=LONG)  # imports the SDK
        warm = len(fake.requests_log)
        ids = await queue.enqueue_many(tasks[:1] if ahead else tasks)
        await eventually(
            lambda: db.fetchval("select exists (select from taskq.gates where paused_until > now())"),
            every=0.001,
        )
        closed = time.monotonic()
        if ahead:
            ids += await queue.enqueue_many(tasks[1:])
        done = await ends(queue, ids)
    assert {one.status for one in done} == {"completed"}
    refusal, *others = fake.requests_log[warm:]
    assert (refusal.status, {arrival.status for arrival in others}) == (429, {200})
    assert refusal.answered is not None
    early = [(at, task) for at, task in asked[1:] if at < refusal.answered + PAUSE]
    assert len(early) == len({task for _, task in early} - {asked[0][1]})
    assert all(at <= closed + IN_FLIGHT for at, _ in early)
    assert not (ahead and early)
    assert await db.fetchval("select count(*) from taskq.attempts") == 0
    assert await db.fetchval("select array_agg(distinct attempt) from taskq.tasks") == [1]


async def test_after_a_429_the_others_of_a_worker_need_not_hear_the_same() -> None:
    """Until the gate in the database is closed; other models are asked meanwhile."""
    fake = FakeMessages(ApiError(429, retry_after=30))
    async with fake.serve() as base_url:
        claude = Claude("k", base_url=base_url, simulated=True)
        for model in ("one", "one", "another", "one"):
            ask = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
            with pytest.raises(RateLimited) as caught:
                await claude.turn(ask)
            assert not caught.value.may_have_charged
        await claude.close()
    assert [request.model for request in fake.requests] == ["one", "another"]
