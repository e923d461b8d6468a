"""Workers for tests: in this process, and in processes of their own, whose program this file is too."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

import apps
from support import eventually
from taskq import App, Done, Queue
from taskq.settings import Settings
from taskq.worker import Worker, run_worker

LONG = 3600.0  # a sweep that never comes: what must be found is found by the bell


def settings_for(
    dsn: str, *, lease: float = 60, heartbeat: float = 15, grace: float = 10, sweep: float = LONG
) -> Settings:
    """Settings for a test's database; times in seconds."""
    times = {"lease": lease, "heartbeat": heartbeat, "grace": grace, "sweep": sweep}
    return Settings(database_url=dsn, **{name: timedelta(seconds=value) for name, value in times.items()})


@asynccontextmanager
async def working(
    app: App,
    dsn: str,
    *,
    concurrency: int = 10,
    roles: Sequence[str] | None = None,
    pooled: bool = False,
    **times: float,
) -> AsyncIterator[Worker]:
    """A worker in this process, registered when the block begins and drained when it ends.

    `pooled`: as if the database were a transaction pooler, and listened to directly.
    """
    settings = replace(settings_for(dsn, **times), listen_url=dsn if pooled else None)
    worker = Worker(app, dsn=dsn, settings=settings, roles=roles, concurrency=concurrency)
    running = asyncio.create_task(worker.run())
    session = await asyncpg.connect(dsn)
    try:
        await eventually(lambda: running.done() or is_registered(session, worker))
        yield worker
    finally:
        await session.close()
        worker.drain()
        await asyncio.wait_for(running, 30)


async def is_registered(session: asyncpg.Connection, worker: Worker) -> bool:
    return await session.fetchval("select exists (select from taskq.workers where id = $1)", worker.id)


async def sleepers(session: asyncpg.Connection) -> int:
    """How many workers are marked asleep."""
    return await session.fetchval("select count(distinct worker_id) from taskq.sleepers")


async def play(queue: Queue, role: str, payload: dict[str, Any] | None = None, **columns: Any) -> Done:
    """Enqueue a task and wait for its end."""
    return await queue.wait(await queue.enqueue(role, payload, **columns), timeout=timedelta(seconds=15))


class WorkerProcess:
    """A worker process (or a fleet of them) and its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def ends(self, within: float = 15) -> int:
        """The exit code."""
        return await asyncio.wait_for(self._process.wait(), within)

    async def kill(self) -> None:
        if not self.has_ended:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def worker_process(
    dsn: str,
    *,
    concurrency: int = 10,
    roles: str = "*",
    processes: int = 1,
    hung_limit: float | None = None,
    environment: dict[str, str] | None = None,
    **times: float,
) -> AsyncIterator[WorkerProcess]:
    """A worker process that plays the roles of apps.py; killed, if it still lives, when the block ends."""
    times = {"sweep": LONG, "grace": 10, **times}
    settings = {f"TASKQ_{name.upper()}": str(value) for name, value in times.items()}
    how = {"concurrency": concurrency, "roles": roles, "processes": processes, "hung_limit": hung_limit}
    process = WorkerProcess(
        await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            json.dumps(how),
            env={**os.environ, "TASKQ_DATABASE_URL": dsn, **settings, **(environment or {})},
            start_new_session=True,
        )
    )
    try:
        yield process
    finally:
        await process.kill()
        if processes > 1:
            kill_children(process.pid)


async def registered(session: asyncpg.Connection, count: int) -> list[asyncpg.Record]:
    """The rows of taskq.workers, as soon as there are so many, in the order of their start."""

    async def there() -> list[asyncpg.Record] | None:
        rows = await session.fetch("select * from taskq.workers order by started_at")
        return rows if len(rows) == count else None

    return await eventually(there, timeout=20)


def pid_of(worker: asyncpg.Record) -> int:
    """The process of a row of taskq.workers."""
    return int(worker["name"].rpartition(":")[2])


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill_children(session: int) -> None:
    """End what is left of a session (a fleet whose parent was killed)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue


def main(how: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s [{os.getpid()}] %(levelname)s %(message)s")
    settings = Settings.read()
    if how["hung_limit"] is not None:
        assert settings.database_url is not None
        limit = timedelta(seconds=how["hung_limit"])
        asyncio.run(Worker(apps.app, dsn=settings.database_url, settings=settings, hung_limit=limit).run())
        return 0
    return run_worker(
        apps.load,
        settings=settings,
        roles=how["roles"].split(","),
        concurrency=how["concurrency"],
        processes=how["processes"],
    )


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
