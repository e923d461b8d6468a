"""A worker process, as its parent sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from bench.server import RESULTS

ROOT = Path(__file__).resolve().parent.parent
EMPTY: Mapping[str, str] = MappingProxyType({})
PATIENCE = 120.0  # seconds without the awaited word after which a measurement is given up


class Silence(Exception):
    """The process ended, or says nothing any more; bench/results/worker.log may say why."""


class WorkerProcess:
    """What it said while something else was waited for is in `said`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self._process, self._lines = process, process.stdout
        self.said: list[tuple[str, int, float]] = []

    async def hear(self, *words: str) -> tuple[str, int, float]:
        """The next line that starts with one of these words: the word, and its numbers.

        :raises Silence: it does not come.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = (
                    (await asyncio.wait_for(self._lines.readline(), end - time.monotonic())).decode().split()
                )
            except TimeoutError:
                heard = self.said[-1] if self.said else "nothing"
                raise Silence(
                    f"no {' or '.join(words)} in {PATIENCE:g} s; the last word was {heard}"
                ) from None
            if not line:
                raise Silence(f"the worker ended with code {await self._process.wait()}; see {log_file()}")
            found = (line[0], int(line[1]), float(line[2]) if len(line) > 2 else 0.0)
            if found[0] in words:
                return found
            self.said.append(found)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for those that do not listen."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
        await self._process.wait()


def log_file() -> Path:
    """Where the processes complain."""
    return RESULTS / "worker.log"


@asynccontextmanager
async def started(
    module: str,
    dsn: str,
    *,
    slots: int,
    tasks: int = 0,
    every: float = 0.0,
    role: str = "noop",
    env: Mapping[str, str] = EMPTY,
) -> AsyncIterator[WorkerProcess]:
    """A worker process for as long as the block lasts; see bench/child.py for what it is told."""
    orders = {"dsn": dsn, "slots": slots, "tasks": tasks, "every": every, "role": role}
    arguments = [word for name, value in orders.items() for word in (f"--{name}", str(value))]
    with log_file().open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    worker = WorkerProcess(process)
    try:
        yield worker
    finally:
        await worker.stop()
