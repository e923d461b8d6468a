"""The client's verbs for all tasks: roles, tokens, what can run, and what would."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from agent_world import agent
from fake_worker import FakeWorker
from graphs import ROLE, insert, row
from support import eventually
from taskq import App, Queue, Task
from taskq.agent import Claude, House, Prices, role
from taskq.errors import InvalidTask, NoSuchTask, NotAnArrow
from taskq.governing import digest, new_secret
from taskq.settings import Settings
from taskq.worker import Worker


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    """The worker at work, for as long as the block lasts."""
    working = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.drain()
        await working


async def test_a_role_is_paused_and_resumed(queue: Queue, db) -> None:
    assert await queue.pause_role(ROLE, "a bad deploy", "ann")
    assert not await queue.pause_role(ROLE)
    task = await queue.enqueue(ROLE)
    assert "paused by ann" in await queue.explain(task)
    assert await queue.resume_role(ROLE, actor="ann")
    assert not await queue.resume_role(ROLE)


async def test_a_working_worker_leaves_a_paused_role_alone_and_wakes_when_it_is_resumed(
    queue: Queue, db, dsn: str, tmp_path: Path
) -> None:
    app = App()

    @app.role(ROLE)
    async def work(task: Task) -> str:
        return "done"

    @app.role("other")
    async def other(task: Task) -> str:
        return "done"

    settings = Settings(database_url=dsn, home=tmp_path, sweep=timedelta(minutes=10))
    worker = Worker(app, dsn=dsn, settings=settings)
    async with running(worker):
        await queue.pause_role(ROLE)
        task = await queue.enqueue(ROLE)
        await queue.result(await queue.enqueue("other"), timeout=timedelta(seconds=20))
        await eventually(lambda: sleeps(db, worker.id))
        assert (await queue.show(task))["status"] == "queued"
        await queue.resume_role(ROLE)
        assert await queue.result(task, timeout=timedelta(seconds=20)) == "done"


async def sleeps(db, worker: UUID) -> bool:
    return await db.fetchval("select count(*) = 2 from taskq.sleepers where worker_id = $1", worker)


async def test_a_worker_declares_what_plays_a_role_and_what_it_may_change(
    queue: Queue, db, dsn: str, tmp_path: Path
) -> None:
    app = App()

    @app.role("resize")
    async def resize(task: Task) -> None: ...

    claude = Claude("k", base_url="http://127.0.0.1:1", simulated=True)
    manifest = agent("ADA", "write_file", repositories=("/srv/*",))
    app.add(role(manifest, House(claude, {}, tmp_path, Prices.load())))
    async with running(Worker(app, dsn=dsn, settings=Settings(database_url=dsn, home=tmp_path))):
        found = "select name, kind, model, repositories from taskq.roles order by name"
        rows = await eventually(lambda: db.fetch(found))
    await claude.close()
    assert [tuple(row) for row in rows] == [
        ("ADA", "agent", "claude-sonnet-5-5", ["/srv/*"]),
        ("resize", "function", None, []),
    ]


async def test_a_secret_is_long_random_and_kept_nowhere(queue: Queue, db) -> None:
    id, secret = await queue.create_token("ci", ["read", "dispatch"], timedelta(days=90), "ann")
    assert re.fullmatch(r"tq_[A-Za-z0-9_-]{43}", secret)
    assert secret != new_secret()
    (found,) = await db.fetch("select * from taskq.credentials()")
    assert (found["token_id"], found["digest"]) == (id, digest(secret))
    (token,) = await queue.tokens()
    assert (token["id"], token["name"], token["created_by"]) == (id, "ci", "ann")
    assert "digest" not in token
    with pytest.raises(InvalidTask, match="live token called ci"):
        await queue.create_token("ci", ["read"])
    assert await queue.revoke_token("ci", "bob") == id
    assert (await queue.tokens())[0]["revoked_by"] == "bob"
    with pytest.raises(NoSuchTask, match="no live token"):
        await queue.revoke_token(str(id))


async def test_dispatch_tells_by_role_what_can_run(queue: Queue, db) -> None:
    await FakeWorker(db, ROLE).register()
    await queue.enqueue(ROLE)
    (found,) = await queue.dispatch()
    assert found == {
        "role": ROLE, "ready": 1, "scheduled": 0, "blocked": 0, "awaiting_approval": 0, "workers": 1,
        "slots": 10, "paused": False, "rung": False, "why": "1 can run now: 1 worker, 10 slots",
    }  # fmt: skip


async def test_a_check_takes_what_enqueue_many_takes_and_writes_nothing(queue: Queue, db) -> None:
    first = uuid4()
    tasks = [
        {"id": first, "role": ROLE, "timeout": timedelta(minutes=2)},
        {"role": ROLE, "depends_on": [first], "delay": timedelta(hours=1)},
    ]
    found = await queue.check(tasks)
    assert [task["status"] for task in found] == ["queued", "blocked"]
    assert found[0]["id"] == first
    assert found[0]["note"] == "no live worker plays role work"
    assert await queue.check([]) == []
    assert await db.fetchval("select count(*) from taskq.tasks") == 0
    with pytest.raises(InvalidTask, match="which does not exist"):
        await queue.check([{"role": ROLE, "depends_on": [first]}])


async def test_a_payload_is_amended_until_the_task_begins(queue: Queue, db) -> None:
    task = await insert(db)
    assert await queue.amend(task, {"x": [1]}, "a typo", "ann") == "queued"
    assert (await row(db, task))["payload"] == {"x": [1]}
    worker = await FakeWorker(db, ROLE).register()
    await worker.claim_one()
    with pytest.raises(NotAnArrow, match=r"it has begun.*taskq\.steer"):
        await queue.amend(task, {})
    with pytest.raises(InvalidTask, match="no JSON"):
        await queue.amend(task, {"x": {1}.__iter__})
