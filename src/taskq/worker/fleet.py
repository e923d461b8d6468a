"""Worker processes: one, or several under a parent that replaces those that die."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from taskq import schema
from taskq.app import App
from taskq.client import reachable
from taskq.settings import Settings
from taskq.threads import run_in_thread
from taskq.worker.worker import Worker

log = logging.getLogger("taskq.worker")


def run_worker(
    load: Callable[[], App],
    *,
    settings: Settings,
    roles: Sequence[str] = ("*",),
    concurrency: int = 10,
    processes: int = 1,
) -> int:
    """Run worker processes until SIGTERM or SIGINT drains them; a second signal stops them now.

    :param load: makes the app; called in each process, so it must be picklable when there are several.
    :param roles: globs of the roles to play.
    :returns: the exit code, 0 after a drained stop.
    :raises TaskqError: no database, no schema, no such role.
    """
    if processes == 1:
        run(work(load, settings, roles, concurrency))
        return 0
    return Fleet(load, settings, roles, concurrency, processes).run()


def run(main: Any) -> None:
    """asyncio.run, on uvloop when it is installed."""
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        code = 1
        try:
            runner.run(main)
            code = 0
        finally:
            if stubborn := runner.run(cancel_the_others()):
                log.error("the process ends under %d handlers that do not stop", stubborn, exc_info=code != 0)
                os._exit(code)  # the runner would wait for them for ever


async def cancel_the_others() -> int:
    """Cancel every other asyncio task; returns how many have not ended a second later."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    return len((await asyncio.wait(others, timeout=1))[1]) if others else 0


async def work(
    load: Callable[[], App],
    settings: Settings,
    roles: Sequence[str],
    concurrency: int,
    *,
    signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
    parent: BaseProcess | None = None,
) -> None:
    """One worker, with these signals and the end of this parent bound to its drain."""
    app = load()
    calm_the_collector()
    async with reachable(settings) as dsn:
        await schema.check(settings.listen_url or dsn)
        worker = Worker(app, dsn=dsn, settings=settings, roles=app.select(roles), concurrency=concurrency)
        loop = asyncio.get_running_loop()
        for number in signals:
            loop.add_signal_handler(number, worker.drain)
        _watching = None if parent is None else loop.create_task(drain_without(parent, worker))
        await worker.run()


def calm_the_collector() -> None:
    """The process is ours: what it has loaded stays, and tasks come and go too often to look at each batch.

    A fifth of the CPU that a no-op task costs; a full collection stalls an exchange by 15 ms and more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def drain_without(parent: BaseProcess, worker: Worker) -> None:
    """Drain the worker when its parent is killed: another one that is started would not know of it."""
    await run_in_thread(parent.join, name="taskq parent")
    log.warning("the parent process is gone; draining")
    worker.drain()


def live(
    load: Callable[[], App], settings: Settings, roles: Sequence[str], concurrency: int, level: int
) -> None:
    """The life of one process of a fleet."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent passes it on
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    parent = multiprocessing.parent_process()
    run(work(load, settings, roles, concurrency, signals=(signal.SIGTERM,), parent=parent))


class Fleet:
    """Several worker processes.  One that dies is replaced, with growing patience when they die young."""

    def __init__(
        self,
        load: Callable[[], App],
        settings: Settings,
        roles: Sequence[str],
        concurrency: int,
        processes: int,
    ) -> None:
        self._arguments = (load, settings, roles, concurrency, logging.getLogger().getEffectiveLevel())
        self._size = processes
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, tuple[SpawnProcess, float]] = {}
        self._stopping = False

    def run(self) -> int:
        """Until a signal; returns 0 when all have drained."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._drain)
        for slot in range(self._size):
            self._start(slot)
        failures = 0
        while any(process.is_alive() for process, _ in self._processes.values()) or not self._stopping:
            multiprocessing.connection.wait(
                [p.sentinel for p, _ in self._processes.values() if p.is_alive()], timeout=1
            )
            for slot, (process, born) in list(self._processes.items()):
                if process.is_alive() or self._stopping:
                    continue
                failures = failures + 1 if time.monotonic() - born < 10 else 0
                if failures > 5 * self._size:
                    log.error("the worker processes keep dying; giving up")
                    self._drain(signal.SIGTERM)
                    return 1
                log.warning(
                    "worker process %s ended with code %s; starting another", process.pid, process.exitcode
                )
                time.sleep(min(5.0, 0.1 * 2**failures) if failures > self._size else 0)
                if not self._stopping:
                    self._start(slot)
        return 0

    def _start(self, slot: int) -> None:
        process = self._context.Process(target=live, args=self._arguments, name=f"taskq worker {slot}")
        process.start()
        self._processes[slot] = (process, time.monotonic())
        if self._stopping:  # the signal came meanwhile
            process.terminate()

    def _drain(self, _number: int, _frame: Any = None) -> None:
        self._stopping = True
        for process, _ in self._processes.values():
            process.terminate()
