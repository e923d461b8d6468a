"""The workers of the demo: real `taskq worker` processes, one of which will be killed."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from taskq.cli.demo.failed import DemoFailed

SLOTS = 4
PATIENCE = 10.0
"""Seconds that a worker gets to stop, before it is told again and then killed."""
TAIL = 15
"""Lines of a log that are shown when something failed."""


@dataclass(frozen=True)
class WorkerProcess:
    """One worker and its log."""

    number: int
    process: asyncio.subprocess.Process
    log: Path

    @property
    def name(self) -> str:
        """As it stands in taskq.workers."""
        return f"{socket.gethostname()}:{self.process.pid}"

    @property
    def lives(self) -> bool:
        return self.process.returncode is None

    def kill(self) -> None:
        """SIGKILL: it has no time for anything."""
        self.process.kill()

    async def stop(self) -> None:
        """End it in good order if it can; in any case."""
        for end in (self.process.terminate, self.process.terminate, self.process.kill):
            if self.lives:
                with suppress(ProcessLookupError):
                    end()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), PATIENCE)

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL:])


@asynccontextmanager
async def crew(
    dsn: str, directory: Path, roles: Path, *, model: str | None
) -> AsyncIterator[list[WorkerProcess]]:
    """Two workers for as long as the block lasts.

    :param directory: where their logs go.
    :param roles: the manifests that they play.
    :param model: the address of a simulated model; None asks the real one.
    """
    command = [sys.executable, "-m", "taskq", "--database", dsn, "worker", "--concurrency", str(SLOTS)]
    command += [
        "--agents",
        str(roles),
        "--app",
        "taskq.cli.demo.app:app",
        *([] if model is None else ["--offline-url", model]),
    ]
    workers: list[WorkerProcess] = []
    try:
        for number in (1, 2):
            workers.append(await start(number, command, directory / f"demo-worker-{number}.log"))
        yield workers
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))


async def start(number: int, command: Sequence[str], log: Path) -> WorkerProcess:
    """Start one.  In a session of its own: Ctrl-C is for the demo, which stops its workers itself."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return WorkerProcess(number, process, log)


async def guard(workers: Sequence[WorkerProcess]) -> None:
    """Return never.

    :raises DemoFailed: no worker is left.
    """
    await asyncio.gather(*(worker.process.wait() for worker in workers))
    raise DemoFailed("no worker is left")
