"""A worker as agents are measured in: `python -m bench.agent_worker …`.

It says twice a second what it has used: `peak KILOBYTES` of memory, then `used NANOSECONDS SECONDS`, the time
(of the monotonic clock) and its CPU time so far.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bench import child
from bench.server import RESULTS
from taskq import App, Task
from taskq.agent import add_agents
from taskq.settings import Settings
from taskq.worker import run_worker

API = "BENCH_API"
"""The environment's name for the address of the fake."""
PAYLOAD_BYTES = 5_000
MODEL = "claude-sonnet-5-5"
EVERY = 0.5

KEPT = """
select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal,
       pg_total_relation_size('taskq.messages') + pg_total_relation_size('taskq.tool_calls')
       + pg_total_relation_size('taskq.reservations') as stored
"""


def roles(orders: child.Orders) -> App:
    """The roles that are measured with."""
    app = App()

    @app.role("turns")
    async def turns(task: Task) -> dict[str, Any]:
        """Commit turns as the agent loop does, without a model."""
        return await Turns(task, orders.dsn).all(task.payload["turns"], with_tools=task.payload["tools"])

    if base_url := os.environ.get(API):
        settings = Settings(database_url=orders.dsn, home=RESULTS)
        roles = Path(__file__).parent / "roles"
        add_agents(app, roles, api_key="bench", base_url=base_url, simulated=True, settings=settings)
        report()
    return app


def report() -> None:
    """Say what this process has used, and go on doing so."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child.say("peak", peak // 1024 if sys.platform == "darwin" else peak)
    child.say("used", time.monotonic_ns(), time.process_time())
    asyncio.get_running_loop().call_later(EVERY, report)


class Turns:
    """The turns of one task.  What is said does not compress: the worst case."""

    def __init__(self, task: Task, dsn: str) -> None:
        self._task, self._dsn, self._seq = task, dsn, 0
        self._payload = 0
        self._found: list[dict[str, int]] = []
        self._milliseconds: list[float] = []

    async def all(self, turns: int, *, with_tools: bool) -> dict[str, Any]:
        """So many turns; what the database had kept before them, at half of them, and after them.

        :returns: `kept` (payload, wal and stored, in bytes so far), `ms` of each boundary between two turns.
        """
        session = await asyncpg.connect(self._dsn)
        try:
            for turn in range(turns):
                if turn in (0, turns // 2):
                    await self._look(session)
                await self._turn(with_tools)
            await self._look(session)
        finally:
            await session.close()
        return {"kept": self._found, "ms": self._milliseconds}

    async def _look(self, session: asyncpg.Connection) -> None:
        row = await session.fetchrow(KEPT)
        self._found.append({"payload": self._payload, "wal": int(row["wal"]), "stored": row["stored"]})

    async def _turn(self, with_tools: bool) -> None:
        """From the end of the model's message to the moment at which it may be asked again."""
        size = PAYLOAD_BYTES // 2 if with_tools else PAYLOAD_BYTES
        said, call = self._text(size), f"toolu_{secrets.token_hex(12)}"
        proposed = {"call_id": call, "tool": "list_dir", "effect": "read", "input": '{"path": "."}'}
        answer = self._text(size) if with_tools else None
        begun = time.perf_counter()
        await self._append(said, json.dumps([proposed]) if with_tools else None)
        if answer is not None:
            await self._task.rows("intend", call, None)
            await self._task.call("settle_call", call, "success", "x" * 1000, None, self._seq, answer, True)
            self._seq += 1
        await self._task.rows("begin_turn", self._seq, "bench", [MODEL], [20_000], ["0.1"])
        self._milliseconds.append((time.perf_counter() - begun) * 1000)

    async def _append(self, body: str, calls: str | None) -> None:
        usage = json.dumps({"input_tokens": 9000, "output_tokens": 1200, "cache_read_input_tokens": 8000})
        request_id, cost, tokens, note = "req_" + secrets.token_hex(12), 0.02, 10_200, "turn 7: list_dir ."
        await self._task.call(
            "append_turn", self._seq, "assistant", body, "tool_use", MODEL, usage, True,
            request_id, cost, tokens, calls, [], note,
        )  # fmt: skip
        self._seq += 1

    def _text(self, size: int) -> str:
        body = json.dumps([{"type": "text", "text": secrets.token_urlsafe(size)[: size - 30]}])
        self._payload += len(body)
        return body


if __name__ == "__main__":
    orders = child.begin()
    run_worker(
        partial(roles, orders),
        settings=Settings(database_url=orders.dsn),
        roles=[orders.role],
        concurrency=orders.slots,
    )
