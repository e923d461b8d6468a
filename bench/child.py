"""What every measured worker process does alike: take its orders, count its handlers, and say so.

It says on standard output, one line each:
    ran COUNT NANOSECONDS      every now and then, when it was asked to (NANOSECONDS of the monotonic clock)
    all COUNT MICROSECONDS     once the ordered number has run (MICROSECONDS of CPU a task)
    started NANOSECONDS        a task that is held has started
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import uvloop

RESULT = {"done": True}
"""What the no-op handlers return."""


@dataclass(frozen=True)
class Orders:
    """`tasks`: say when so many have run; `every`: seconds between two counts, 0 for none."""

    dsn: str
    slots: int
    tasks: int
    every: float
    role: str

    @classmethod
    def read(cls) -> Orders:
        """The orders on the command line."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--dsn", required=True)
        parser.add_argument("--slots", type=int, required=True)
        parser.add_argument("--tasks", type=int, default=0)
        parser.add_argument("--every", type=float, default=0.0)
        parser.add_argument("--role", default="noop")
        return cls(**vars(parser.parse_args()))


def say(*words: object) -> None:
    """One line to whoever started this process."""
    print(*words, flush=True)


class Counter:
    """Counts handlers as they run."""

    def __init__(self, orders: Orders) -> None:
        self._total, self._every = orders.tasks, orders.every
        self.ran = 0
        if self._every:
            self._report()

    def one(self) -> None:
        """One more."""
        if self.ran == 0:
            self._cpu = time.process_time()
        self.ran += 1
        if self.ran == self._total:
            say("all", self.ran, (time.process_time() - self._cpu) / self.ran * 1e6)

    def _report(self) -> None:
        say("ran", self.ran, time.monotonic_ns())
        asyncio.get_running_loop().call_later(self._every, self._report)


def terminated() -> asyncio.Event:
    """Set by SIGTERM."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, event.set)
    return event


def end_with_parent() -> None:
    """Whoever started us holds the other end of our standard input for as long as it lives."""
    sys.stdin.read()
    os._exit(1)


def begin() -> Orders:
    """The life of the process begins: it logs, ends with its parent, and has its orders."""
    logging.basicConfig(level=logging.WARNING)
    threading.Thread(target=end_with_parent, daemon=True).start()
    return Orders.read()


def main(work: Callable[[Orders], Coroutine[Any, Any, None]]) -> None:
    """Work as ordered, on uvloop."""
    orders = begin()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(orders))
