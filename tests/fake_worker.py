"""A worker reduced to the functions that it calls, so that tests can walk it step by step."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

Row = asyncpg.Record
NO_TIME = timedelta(0)


class FakeWorker:
    """Plays roles on one session; remembers nothing: the tests hold what it claimed."""

    def __init__(
        self, session: asyncpg.Connection, *roles: str, lease: timedelta = timedelta(seconds=60)
    ) -> None:
        self.session, self.roles, self.lease = session, list(roles), lease
        self.id = uuid4()

    async def register(self, *, direct: bool = True, concurrency: int = 10, name: str = "fake") -> FakeWorker:
        """Enter taskq.workers with this session; not `direct`: as behind a pooler."""
        await self.session.execute(
            "select taskq.register($1, $2, $3, $4, 'test', $5, $6)",
            self.id, name, self.roles, concurrency, self.lease, direct,
        )  # fmt: skip
        return self

    async def disown(self, *known: Row) -> int:
        """Give back every lease but these."""
        return await self.session.fetchval(
            "select taskq.disown($1, $2)", self.id, [task["lease"] for task in known]
        )

    async def exchange(
        self,
        done: Iterable[tuple[Row, Any]] = (),
        want: int = 0,
        *,
        floors: Sequence[tuple[str, int, Any]] = (),
        asleep: bool | None = None,
    ) -> list[Row]:
        """Hand in pairs of claim and result, and take `want`; floors are (role, priority, run_at)."""
        finished = list(done)
        return await self.session.fetch(
            "select * from taskq.exchange"
            "($1, $2, $3, $4, $5, $6, $7::text[]::jsonb[], $8, $9, $10, $11, $12)",
            self.id, self.roles, want, self.lease,
            [task["id"] for task, _ in finished],
            [task["lease"] for task, _ in finished],
            [None if result is None else json.dumps(result) for _, result in finished],
            [role for role, _, _ in floors],
            [priority for _, priority, _ in floors],
            [at if isinstance(at, float) else at.timestamp() for _, _, at in floors],
            [uuid.UUID(int=0)] * len(floors),
            asleep,
        )  # fmt: skip

    async def claim(self, want: int = 1, **how: Any) -> list[Row]:
        """Up to `want` tasks to run."""
        return [row for row in await self.exchange(want=want, **how) if row["kind"] == "claim"]

    async def claim_one(self) -> Row:
        """The next task; there must be one."""
        (task,) = await self.claim(1)
        return task

    async def complete(self, *tasks: Row, result: Any = None) -> list[int]:
        """Hand these in as completed; returns the leases that were lost."""
        rows = await self.exchange([(task, result) for task in tasks])
        return [row["lease"] for row in rows if row["kind"] == "lost"]

    async def fail(
        self, task: Row, kind: str = "unknown", message: str = "it broke",
        *, after: timedelta | None = NO_TIME, final: bool = False, traceback: str | None = None,
    ) -> str:  # fmt: skip
        """The attempt ends with an error; returns the status that the task has now."""
        return await self.session.fetchval(
            "select taskq.fail($1, $2, $3, $4, $5, $6, $7, $8)::text",
            self.id, task["id"], task["lease"], kind, message, traceback, after, final,
        )  # fmt: skip

    async def release(self, *tasks: Row, after: timedelta | None = None) -> int:
        return await self.session.fetchval(
            "select taskq.release($1, $2, $3)", self.id, [task["lease"] for task in tasks], after
        )

    async def stop(self, task: Row) -> str:
        return await self.session.fetchval(
            "select taskq.stop($1, $2, $3)::text", self.id, task["id"], task["lease"]
        )

    async def wait(self, task: Row, *on: UUID) -> str:
        return await self.session.fetchval(
            "select taskq.wait($1, $2, $3, $4)::text", self.id, task["id"], task["lease"], list(on)
        )

    async def heartbeat(
        self, *tasks: Row, draining: bool = False, trouble: str | None = None
    ) -> dict[int | None, str]:
        """The verdicts by lease: lost, cancel, or (for the worker itself) unregistered."""
        rows = await self.session.fetch(
            "select * from taskq.heartbeat($1, $2, $3, $4, $5)",
            self.id, [task["id"] for task in tasks], [task["lease"] for task in tasks], draining, trouble,
        )  # fmt: skip
        return {row["lease"]: row["verdict"] for row in rows}

    async def sleep(self) -> bool:
        """Mark itself asleep and take a last look, as law 5 says; whether it may sleep now."""
        await self.exchange(asleep=True)
        return await self.session.fetchval("select taskq.doze($1)", self.roles)

    async def drain(self) -> int:
        """Run everything that can run, with the payload as the result; returns how many."""
        count = 0
        while tasks := await self.claim(1000):
            assert not await self.complete(*tasks)
            count += len(tasks)
        return count

    async def call(self, function: str, task: Row, *args: Any) -> Row:
        """A function for workers, under the lease of this task; its first row."""
        marks = ", ".join(f"${n}" for n in range(1, len(args) + 4))
        return await self.session.fetchrow(
            f"select * from taskq.{function}({marks})",  # noqa: S608  names are ours
            self.id, task["id"], task["lease"], *args,
        )  # fmt: skip

    async def append(
        self, task: Row, seq: int, role: str = "assistant", body: str = "[]", *,
        calls: list[dict[str, Any]] | None = None, steers: Sequence[int] = (), note: str | None = None,
        tokens: int | None = None, cost: float | None = None, usage: Any = None,
        stop_reason: str | None = None,
    ) -> Row:  # fmt: skip
        """Commit a message of the task's conversation."""
        return await self.call(
            "append_turn", task, seq, role, body, stop_reason, "a-model", usage, True, None, cost, tokens,
            calls, list(steers), note,
        )  # fmt: skip
