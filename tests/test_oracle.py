"""Random graphs with random outcomes: the database comes to what plain Python says, step by step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_worker import FakeWorker, Row
from graphs import ROLE, miscounted
from oracle import DOWN, FINAL, Edge, Node, Oracle

POLICIES = st.sampled_from(["fail", "run", "wait"])
SETTINGS = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Twin:
    """The same done to the database and to the oracle, and compared."""

    def __init__(self, db: asyncpg.Connection, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.db, self.draw = db, draw
        self.worker, self.oracle = FakeWorker(db, ROLE), Oracle()
        self.held: dict[UUID, Row] = {}
        self.ended: dict[UUID, Row] = {}

    async def insert(self) -> None:
        """A few tasks in one INSERT, in any order, that depend on each other and on what is there."""
        draw, known = self.draw, list(self.oracle.nodes)
        nodes: list[Node] = []
        for task in draw(st.lists(st.uuids(version=4), min_size=1, max_size=5, unique=True)):
            others = known + [node.id for node in nodes]
            parents = draw(st.lists(st.sampled_from(others), max_size=3, unique=True)) if others else []
            policy = draw(POLICIES)
            edges = {parent: Edge(parent, policy) for parent in parents}
            nodes.append(Node(task, edges, needs_approval=draw(st.integers(0, 3)) == 0))
        nodes = [node for node in nodes if node.id not in self.oracle.nodes]
        rows = [
            {
                "id": str(node.id),
                "role": ROLE,
                "depends_on": [str(parent) for parent in node.edges],
                "on_dependency_failure": next((edge.policy for edge in node.edges.values()), "fail"),
                "requires_approval": node.needs_approval,
            }
            for node in draw(st.permutations(nodes))
        ]
        await self.db.execute("select taskq.enqueue($1)", rows)
        self.oracle.insert(nodes)

    async def claim(self) -> None:
        claims = await self.worker.claim(1)
        assert bool(claims) == bool(self.oracle.having("queued"))
        for claim in claims:
            self.oracle.claim(claim["id"])
            self.held[claim["id"]] = claim

    async def complete(self) -> None:
        if task := self.pick("in_progress"):
            assert not await self.worker.complete(self.held.pop(task))
            self.oracle.complete(task)

    async def fail(self) -> None:
        if task := self.pick("in_progress"):
            final = self.draw(st.booleans())
            await self.worker.fail(self.held.pop(task), final=final)
            self.oracle.fail(task, final)

    async def crash(self) -> None:
        if task := self.pick("in_progress"):
            del self.held[task]
            await self.db.execute(
                "update taskq.tasks set lease_expires_at = now() - interval '1 s' where id = $1", task
            )
            assert await self.db.fetchval("select taskq.reap()") == 1
            self.oracle.crash(task)

    async def release(self) -> None:
        if task := self.pick("in_progress"):
            await self.worker.release(self.held.pop(task), after=timedelta(0))
            self.oracle.release(task)

    async def wait(self) -> None:
        if task := self.pick("in_progress"):
            some = st.lists(st.sampled_from(list(self.oracle.nodes)), min_size=1, max_size=3, unique=True)
            on = [other for other in self.draw(some) if not self.oracle.reaches([other], task)]
            if on:
                await self.worker.wait(self.held.pop(task), *on)
                self.oracle.wait(task, on)

    async def approve(self) -> None:
        await self.by_hand("approve", "awaiting_approval")

    async def reject(self) -> None:
        await self.by_hand("reject", "awaiting_approval")

    async def cancel(self) -> None:
        await self.by_hand("cancel", "blocked", "awaiting_approval", "queued", "in_progress", "cancelled")

    async def requeue(self) -> None:
        if (task := await self.by_hand("requeue", "in_progress")) is not None:
            del self.held[task]

    async def retry(self) -> None:
        await self.by_hand("retry", *DOWN)

    async def by_hand(self, verb: str, *statuses: str) -> UUID | None:
        if task := self.pick(*statuses):
            await self.db.execute(f"select taskq.{verb}($1)", task)
            getattr(self.oracle, verb)(task)
        return task

    def pick(self, *statuses: str) -> UUID | None:
        there = self.oracle.having(*statuses)
        return self.draw(st.sampled_from(there)) if there else None

    async def compare(self) -> None:
        """Every status and every counter, and what holds whatever happens."""
        rows = await self.db.fetch("""
            select id, status::text, waiting_on, attempt, result, error, error_kind::text, finished_at
            from taskq.tasks""")
        found = {row["id"]: row for row in rows}
        nodes = self.oracle.nodes
        assert {task: row["status"] for task, row in found.items()} == {t: n.status for t, n in nodes.items()}
        assert {task: row["attempt"] for task, row in found.items()} == {
            t: n.attempt for t, n in nodes.items()
        }
        blocked = self.oracle.having("blocked")
        assert {t: found[t]["waiting_on"] for t in blocked} == {t: self.oracle.unmet(t) for t in blocked}
        assert not await miscounted(self.db)
        for task, row in self.ended.items():
            assert nodes[task].status not in FINAL or found[task] == row, "a final row has changed"
        self.ended = {task: found[task] for task in self.oracle.having(*FINAL)}

    async def finish(self) -> None:
        """Until nothing moves any more: all that can run completes, all that awaits approval gets it."""
        while self.oracle.having("awaiting_approval", "in_progress", "queued"):
            await self.approve()
            await self.claim()
            await self.complete()


STEPS = [
    Twin.claim, Twin.claim, Twin.claim, Twin.complete, Twin.complete, Twin.fail, Twin.fail, Twin.crash,
    Twin.release, Twin.wait, Twin.approve, Twin.reject, Twin.cancel, Twin.requeue, Twin.retry, Twin.retry,
    Twin.insert,
]  # fmt: skip


@pytest.mark.parametrize("part", range(2))
@SETTINGS
@given(data=st.data())
async def test_the_database_comes_to_what_the_oracle_says(db, part, data):
    await db.execute("delete from taskq.tasks")
    twin = Twin(db, data.draw)
    await twin.insert()
    await twin.compare()
    for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=10, max_size=40)):
        await step(twin)
        await twin.compare()
    await twin.finish()
    await twin.compare()
    stuck = twin.oracle.having("blocked")
    assert all(
        any(
            twin.oracle.nodes[edge.parent].status in DOWN | {"blocked"}
            for edge in twin.oracle.nodes[task].edges.values()
        )
        for task in stuck
    ), "what is left waits for what is down"
