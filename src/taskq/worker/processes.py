"""Sync handlers, each attempt in a process of its own: killed, with all that it started, when it must end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import pickle
import signal
import traceback
from multiprocessing.connection import Connection
from typing import Any

from taskq.app import Handler
from taskq.task import Attempt, Line, SyncTask
from taskq.worker.outcome import kind_of
from taskq.worker.threads import run_in_thread

FIELDS = tuple(name for name in Attempt.__slots__ if name != "_line")


class Died(Exception):
    """The handler's process ended without an answer, as one that is killed or runs out of memory does."""

    kind = "worker_lost"


class Remote(Exception):
    """Stands for an error of the handler that cannot be pickled."""

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
    process = context.Process(
        target=play,
        args=(theirs, handler.__module__, handler.__qualname__, fields, payload),
        name=f"taskq {task.role} {task.id}",
    )
    await asyncio.to_thread(process.start)
    theirs.close()
    try:
        return await converse(ours, task, line)
    except EOFError:
        await asyncio.to_thread(process.join, 5)
        raise Died(f"the handler's process ended with code {process.exitcode} and no answer") from None
    finally:
        kill_group(process.pid)
        ours.close()


async def converse(pipe: Connection, task: SyncTask, line: Line) -> Any:
    """Answer what the process asks until it says how it ended."""
    while True:
        verb, *args = await run_in_thread(pipe.recv, name=f"taskq pipe {task.id}")
        if verb == "returned":
            return args[0]
        if verb == "raised":
            raise args[0]
        try:
            await getattr(line, verb)(task, *args)
            pipe.send(None)
        except Exception as error:
            pipe.send(error)


def kill_group(pid: int | None) -> None:
    """End a handler's process and whatever it started."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


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
    try:
        handler: Any = importlib.import_module(module)
        for name in qualname.split("."):
            handler = getattr(handler, name)
        task = SyncTask.__new__(SyncTask)
        for name, value in fields.items():
            setattr(task, name, value)
        task._line = PipeLine(pipe)
        pipe.send(("returned", handler(task) if payload is None else handler(task, payload)))
    except BaseException as error:
        pipe.send(("raised", sendable(error)))


def sendable(error: BaseException) -> BaseException:
    """The error, or one that says the same when it cannot be pickled; with the traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return Remote(f"{type(error).__name__}: {error}", kind_of(error))
    return error
