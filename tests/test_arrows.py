"""Every change of status that exists is made by its function; every other one is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, insert, row, status

STATUSES = ["blocked", "awaiting_approval", "queued", "in_progress", "completed", "failed", "cancelled"]
FINAL = {"completed", "failed", "cancelled"}
ARROWS = [
    ("unblock", "blocked", "awaiting_approval"),
    ("unblock", "blocked", "queued"),
    ("approve", "awaiting_approval", "queued"),
    ("reject", "awaiting_approval", "cancelled"),
    ("claim", "queued", "in_progress"),
    ("complete", "in_progress", "completed"),
    ("complete", "queued", "completed"),
    ("complete", "queued", "failed"),
    ("retry", "in_progress", "queued"),
    ("release", "in_progress", "queued"),
    ("reap", "in_progress", "queued"),
    ("reap", "in_progress", "failed"),
    ("wait", "in_progress", "blocked"),
    ("wait", "in_progress", "awaiting_approval"),
    ("fail", "in_progress", "failed"),
    ("cancel", "blocked", "cancelled"),
    ("cancel", "awaiting_approval", "cancelled"),
    ("cancel", "queued", "cancelled"),
    ("cancel", "in_progress", "cancelled"),
    ("cascade", "blocked", "failed"),
    ("cascade", "blocked", "cancelled"),
    ("revive", "failed", "queued"),
    ("revive", "failed", "blocked"),
    ("revive", "cancelled", "queued"),
    ("revive", "cancelled", "blocked"),
]
PAIRS = {(start, end) for _, start, end in ARROWS}


@dataclass
class Stage:
    """A task in some status, and what else is needed to move it."""

    db: asyncpg.Connection
    worker: FakeWorker
    task: UUID
    parent: UUID | None = None
    lease: asyncpg.Record | None = None

    async def call(self, function: str, *args: object) -> None:
        """`select taskq.function(task, …)`."""
        marks = "".join(f", ${n}" for n in range(2, len(args) + 2))
        await self.db.execute(f"select taskq.{function}($1{marks})", self.task, *args)


async def staged(db: asyncpg.Connection, start: str, role: str = ROLE, **columns: object) -> Stage:
    """A task that came to this status by the way that tasks come there."""
    worker = await FakeWorker(db, role).register()
    if start == "blocked":
        parent = await insert(db, "parent")
        return Stage(db, worker, await insert(db, role, depends_on=[parent], **columns), parent)
    if start == "awaiting_approval":
        return Stage(db, worker, await insert(db, role, requires_approval=True))
    stage = Stage(db, worker, await insert(db, role, **columns))
    if start == "cancelled":
        await stage.call("cancel")
    elif start != "queued":
        stage.lease = await worker.claim_one()
        if start == "completed":
            await worker.complete(stage.lease)
        elif start == "failed":
            await worker.fail(stage.lease, final=True)
    assert await status(db, stage.task) == start
    return stage


async def end_parent(stage: Stage) -> None:
    parents = FakeWorker(stage.db, "parent")
    await parents.complete(await parents.claim_one())


async def fail_parent(stage: Stage) -> None:
    parents = FakeWorker(stage.db, "parent")
    await parents.fail(await parents.claim_one(), final=True)


async def cancel_parent(stage: Stage) -> None:
    await stage.db.execute("select taskq.cancel($1)", stage.parent)


async def lapse(stage: Stage) -> None:
    await stage.db.execute("update taskq.tasks set lease_expires_at = now() - interval '1 s'")
    assert await stage.db.fetchval("select taskq.reap()") == 1


async def lapse_the_third_time(stage: Stage) -> None:
    await stage.db.execute("update taskq.tasks set crashes = 2")
    await lapse(stage)


async def stop(stage: Stage) -> None:
    await stage.call("cancel", "no need", "someone")
    await stage.worker.stop(stage.lease)


async def wait_for_another(stage: Stage) -> None:
    await stage.worker.wait(stage.lease, await insert(stage.db, "other"))


async def retry_beside_a_parent_that_runs(stage: Stage) -> None:
    """A task with an edge that is still unmet is blocked again."""
    await stage.call("retry", "again", "someone")


async def down_with_a_parent(db: asyncpg.Connection, start: str) -> Stage:
    """A failed or cancelled task that would have to wait for a parent, were it retried."""
    stage = await staged(db, "blocked")
    if start == "cancelled":
        await stage.call("cancel")
        return stage
    other = await insert(db, "other")
    stage.task = await insert(db, depends_on=[stage.parent, other])
    others = FakeWorker(db, "other")
    await others.fail(await others.claim_one(), final=True)
    return stage


WALKS: dict[tuple[str, str, str], Callable[[Stage], Awaitable[object]]] = {
    ("unblock", "blocked", "awaiting_approval"): end_parent,
    ("unblock", "blocked", "queued"): end_parent,
    ("approve", "awaiting_approval", "queued"): lambda s: s.call("approve", "someone"),
    ("reject", "awaiting_approval", "cancelled"): lambda s: s.call("reject", "someone"),
    ("claim", "queued", "in_progress"): lambda s: s.worker.claim_one(),
    ("complete", "in_progress", "completed"): lambda s: s.worker.complete(s.lease),
    ("complete", "queued", "completed"): lambda s: s.call("complete", {"by": "hand"}, "someone"),
    ("complete", "queued", "failed"): lambda s: s.call("complete", None, "someone", "could not"),
    ("retry", "in_progress", "queued"): lambda s: s.worker.fail(s.lease),
    ("release", "in_progress", "queued"): lambda s: s.worker.release(s.lease),
    ("reap", "in_progress", "queued"): lapse,
    ("reap", "in_progress", "failed"): lapse_the_third_time,
    ("wait", "in_progress", "blocked"): wait_for_another,
    ("wait", "in_progress", "awaiting_approval"): lambda s: s.worker.wait(s.lease),
    ("fail", "in_progress", "failed"): lambda s: s.worker.fail(s.lease, final=True),
    ("cancel", "blocked", "cancelled"): lambda s: s.call("cancel"),
    ("cancel", "awaiting_approval", "cancelled"): lambda s: s.call("cancel"),
    ("cancel", "queued", "cancelled"): lambda s: s.call("cancel"),
    ("cancel", "in_progress", "cancelled"): stop,
    ("cascade", "blocked", "failed"): fail_parent,
    ("cascade", "blocked", "cancelled"): cancel_parent,
    ("revive", "failed", "queued"): lambda s: s.call("retry"),
    ("revive", "failed", "blocked"): lambda s: s.call("retry"),
    ("revive", "cancelled", "queued"): lambda s: s.call("retry"),
    ("revive", "cancelled", "blocked"): lambda s: s.call("retry"),
}
EVENTLESS = {
    "unblock",
    "claim",
    "release",
    "wait",
}  # and a worker's complete: the way of success writes no event


def name_of(arrow: tuple[str, ...]) -> str:
    return "-".join(arrow)


async def test_the_table_of_arrows_is_the_one_of_the_design(db):
    found = await db.fetch('select verb, "from"::text, "to"::text from taskq.arrows')
    assert sorted(tuple(arrow) for arrow in found) == sorted(ARROWS)


@pytest.mark.parametrize("arrow", ARROWS, ids=name_of)
async def test_an_arrow_is_walked_by_its_function(db, arrow):
    verb, start, end = arrow
    if verb == "revive" and end == "blocked":
        stage = await down_with_a_parent(db, start)
        if start == "failed":  # it stays down while its other parent is: retry that one, which revives both
            await db.execute("select taskq.retry(id) from taskq.tasks where role = 'other'")
            assert await status(db, stage.task) == end
            return
    else:
        needs_approval = (
            {"requires_approval": True} if (verb, end) == ("unblock", "awaiting_approval") else {}
        )
        stage = await staged(db, start, **needs_approval)
    assert await status(db, stage.task) == start
    await WALKS[arrow](stage)
    assert await status(db, stage.task) == end
    after = await row(db, stage.task)
    assert (after["lease"] is not None) == (end == "in_progress")
    assert (after["finished_at"] is not None) == (end in FINAL)
    events = await db.fetch("select verb from taskq.events where task_id = $1", stage.task)
    by_worker = arrow == ("complete", "in_progress", "completed")
    assert bool(events) == (verb not in EVENTLESS and not by_worker), "success writes no event, all else does"


async def by_hand(db: asyncpg.Connection, task: UUID, end: str) -> asyncpg.PostgresError:
    """The error of an UPDATE that takes care of every constraint and asks no function."""
    before = await row(db, task)
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await db.execute(
            """
            update taskq.tasks
            set status = $2::text::taskq.status,
                finished_at = case when $2 in ('completed', 'failed', 'cancelled') then now() end,
                error_kind = case when $2 = 'failed' then 'unknown' end
            where id = $1
            """,
            task,
            end,
        )
    assert await row(db, task) == before
    return refusal.value


@pytest.mark.parametrize("start", STATUSES)
async def test_what_is_no_arrow_is_refused_and_the_function_to_call_is_named(db, start):
    stage = await staged(db, start)
    for end in (end for end in STATUSES if end != start and (start, end) not in PAIRS):
        error = await by_hand(db, stage.task, end)
        assert error.sqlstate == "TQ004"
        assert f"is {start}, which cannot become {end}" in str(error)
        assert "taskq." in error.hint


@pytest.mark.parametrize("start", sorted({start for start, _ in PAIRS}))
async def test_an_arrow_is_not_walked_by_hand(db, start):
    stage = await staged(db, start)
    for end in (end for end in STATUSES if (start, end) in PAIRS):
        error = await by_hand(db, stage.task, end)
        assert error.sqlstate == "TQ004"
        assert "taskq." in error.hint


async def test_a_status_that_does_not_exist_is_refused(db):
    task = await insert(db)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await db.execute("update taskq.tasks set status = 'done' where id = $1", task)


@pytest.mark.parametrize(
    "function,allowed",
    [
        ("cancel", {"blocked", "awaiting_approval", "queued", "in_progress", "cancelled"}),
        ("approve", {"awaiting_approval"}),
        ("reject", {"awaiting_approval"}),
        ("complete", {"queued"}),
        ("requeue", {"in_progress"}),
        ("retry", {"failed", "cancelled", "queued"}),
        ("rerun", FINAL),
    ],
)
async def test_a_function_refuses_every_status_that_it_does_not_leave(db, function, allowed):
    for start in STATUSES:
        if start in allowed:
            continue
        stage = await staged(db, start, role=f"work-{start}")
        before = await row(db, stage.task)
        with pytest.raises(
            asyncpg.PostgresError, match=f"cannot {function} task .*: it is {start}"
        ) as refusal:
            await stage.call(function)
        assert refusal.value.sqlstate == "TQ004"
        assert refusal.value.hint, "and it says what to do instead"
        assert await row(db, stage.task) == before


@pytest.mark.parametrize(
    "function", ["cancel", "approve", "reject", "complete", "requeue", "retry", "rerun", "explain"]
)
async def test_a_task_that_does_not_exist_is_said_not_to(db, function):
    with pytest.raises(asyncpg.PostgresError, match="there is no task") as refusal:
        await db.execute(f"select taskq.{function}(gen_random_uuid())")
    assert refusal.value.sqlstate == "TQ003"


async def test_a_snoozed_task_keeps_its_attempts(db):
    stage = await staged(db, "in_progress")
    await stage.worker.release(stage.lease, after=timedelta(hours=1))
    after = await row(db, stage.task)
    assert (after["attempt"], str(after["status"])) == (0, "queued")
    assert after["run_at"] > await db.fetchval("select now() + interval '59 min'")
