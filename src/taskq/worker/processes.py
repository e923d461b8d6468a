"""Sync handlers, each attempt in a process of its own: killed, with all that it started, when it must end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from taskq.app import Handler
from taskq.task import Attempt, Line, SyncTask
from taskq.threads import run_in_thread
from taskq.worker.outcome import kind_of, text_of

FIELDS = tuple(name for name in Attempt.__slots__ if name != "_line")


class Died(Exception):
    """The handler's process ended without an answer, as one that is killed or runs out of memory does."""

    kind = "worker_lost"


class HungUp(Exception):
    """The other end of the pipe is gone."""


class Remote(Exception):
    """Stands for an error of the handler that cannot be sent."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.message, self.kind = message, kind

    def __str__(self) -> str:
        return self.message


async def run_in_process(handler: Handler, task: SyncTask, payload: Any, line: Line) -> Any:
    """What the handler returns or raises, in a new process.  When the caller is cancelled it is killed."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    fields = {name: getattr(task, name) for name in FIELDS}
    fields["parents"] = dict(
        task.parents
    )  # the empty one that tasks share is read-only, and cannot be pickled
    process = context.Process(
        target=play,
        args=(theirs, handler.__module__, handler.__qualname__, fields, payload),
        name=f"taskq {task.role} {task.id}",
    )
    starting = asyncio.ensure_future(asyncio.to_thread(start, process, theirs))
    try:
        await asyncio.shield(starting)
        return await converse(ours, task, line)
    except HungUp:
        await asyncio.to_thread(process.join, 5)
        raise Died(f"the handler's process ended with code {process.exitcode} and no answer") from None
    finally:
        # `ours` is closed by its last reader: a thread may still read it, and its number soon be another's
        starting.add_done_callback(lambda _: end(process))


def start(process: SpawnProcess, theirs: Connection) -> None:
    """Start it; its end of the pipe is its own then, so that the pipe ends with it."""
    try:
        process.start()
    finally:
        theirs.close()


async def converse(pipe: Connection, task: SyncTask, line: Line) -> Any:
    """Answer what the process asks until it says how it ended.

    :raises HungUp: it ended without saying how.
    """
    while True:
        try:
            verb, *args = await run_in_thread(pipe.recv, name=f"taskq pipe {task.id}")
        except (EOFError, OSError):
            raise HungUp from None
        if verb == "returned":
            return args[0]
        if verb == "raised":
            raise args[0]
        answer = None
        try:
            await getattr(line, verb)(task, *args)
        except Exception as error:
            answer = sendable(error)
        with contextlib.suppress(OSError):  # it is gone, and the next recv will say so
            pipe.send(answer)


def end(process: SpawnProcess) -> None:
    """End a handler's process and whatever it started."""
    if process.pid is None:
        return  # it never started
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has no group of its own yet
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    threading.Thread(target=process.join, name=f"{process.name} ends", daemon=True).start()  # leave no zombie


class PipeLine:
    """The way back for a handler in a process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def progress(self, fraction: float | None, note: str | None) -> None:
        self._ask("progress", fraction, note)

    def log(self, text: str) -> None:
        self._ask("log", text)

    def _ask(self, *call: Any) -> None:
        self._pipe.send(call)
        if (error := self._pipe.recv()) is not None:
            raise error


def play(pipe: Connection, module: str, qualname: str, fields: dict[str, Any], payload: Any) -> None:
    """The life of the process: find the handler, run it, say how it ended."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_the_worker, daemon=True).start()
    try:
        handler: Any = importlib.import_module(module)
        for name in qualname.split("."):
            handler = getattr(handler, name)
        task = SyncTask.__new__(SyncTask)
        for name, value in fields.items():
            setattr(task, name, value)
        task._line = PipeLine(pipe)
        result = handler(task) if payload is None else handler(task, payload)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # once it has answered it is killed
        pipe.send(("returned", result))
    except BaseException as error:
        pipe.send(("raised", sendable(error)))


def end_with_the_worker() -> None:
    """A worker that is killed cannot stop what it started, and its tasks run elsewhere soon."""
    worker = multiprocessing.parent_process()
    assert worker is not None
    worker.join()
    os.killpg(0, signal.SIGKILL)


def sendable(error: BaseException) -> Exception:
    """The error, or one that says the same when it cannot be sent; with the traceback as a note."""
    sent = error if isinstance(error, Exception) and travels(error) else None
    if sent is None:  # or it is SystemExit or its like, which is not for the worker
        sent = Remote(f"{type(error).__name__}: {text_of(error)}", kind_of(error))
    sent.add_note("".join(traceback.format_exception(error)))
    return sent


def travels(error: Exception) -> bool:
    """Whether it can be pickled, and made again from that."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True
