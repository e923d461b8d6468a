"""The app that the worker processes of the tests play, and handlers that a new process can import."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from support import eventually
from taskq import App, Fail, Retry, Snooze, SyncTask, Task

app = App()


def load() -> App:
    """The app, for `run_worker`."""
    return app


def remember(path: str, line: object) -> None:
    """Append a line to a file in one write, so that several processes can."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def remembered(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


# roles on the event loop


@app.role("echo")
async def echo(task: Task) -> dict[str, Any]:
    """Returns the payload."""
    return task.payload


@app.role("pid")
async def pid(task: Task) -> int:
    """The process that it ran in."""
    return os.getpid()


@app.role("hold")
async def hold(task: Task) -> str:
    """Takes a slot for so many `seconds`; notes its start in `file`."""
    if file := task.payload.get("file"):
        remember(file, task.id)
    await asyncio.sleep(task.payload["seconds"])
    return "held"


@app.role("block")
async def block(task: Task) -> None:
    """Blocks the event loop for so many `seconds`."""
    time.sleep(task.payload["seconds"])  # noqa: ASYNC251 - the fault that is tested


@app.role("hang once")
async def hang_once(task: Task) -> str:
    """Blocks the event loop in the first attempt."""
    if task.attempt == 1:
        time.sleep(task.payload["seconds"])  # noqa: ASYNC251 - the fault that is tested
    return "second attempt" if task.attempt == 2 else f"attempt {task.attempt}"


ENDS = ("return", "raise", "fail", "retry", "snooze", "log", "progress")


@app.role("linger")
async def linger(task: Task) -> str:
    """Waits for so many `seconds`, and `then` does something that the database hears of."""
    await asyncio.sleep(task.payload["seconds"])
    match task.payload["then"]:
        case "raise":
            raise ValueError("too late")
        case "fail":
            raise Fail("too late")
        case "retry":
            raise Retry("too late", after=timedelta(0))
        case "snooze":
            raise Snooze(timedelta(0))
        case "log":
            await task.log("too late")
        case "progress":
            await task.progress(0.5, "too late")
    return "by a zombie"


@app.role("stubborn")
async def stubborn(task: Task) -> None:
    """Does not let itself be cancelled."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


@app.role("crash", backoff=[timedelta(0)])
async def crash(task: Task) -> None:
    """Takes its worker with it."""
    os.kill(os.getpid(), signal.SIGKILL)


# roles in processes of their own


class Box(msgspec.Struct):
    """What `measure` needs."""

    width: int
    height: int


class Picky(Exception):
    """Cannot be pickled: it wants two arguments and gives Exception one."""

    kind = "tool_error"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


@app.role("measure", isolation="process")
def measure(task: SyncTask, box: Box) -> dict[str, Any]:
    task.progress(0.5, "measuring")
    task.log(f"attempt {task.attempt}")
    return {"area": box.width * box.height, "pid": os.getpid(), "parents": len(task.parents)}


@app.role("isolated", isolation="process", backoff=[timedelta(0)])
def isolated(task: SyncTask) -> Any:
    """Ends as `how` says."""
    match task.payload["how"]:
        case "exit":
            os._exit(3)
        case "leave":
            sys.exit("that is enough")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "unpicklable error":
            raise Picky("soup", "too salty")
        case "local error":

            class Local(Exception):
                pass

            raise Local("nobody else knows this class")
        case "connection error":
            raise ConnectionResetError("the other side hung up")
        case "retry":
            raise Retry("later", after=timedelta(hours=2))
        case "fail":
            raise Fail("never", kind="rejected")
        case "snooze":
            raise Snooze(timedelta(hours=3))
        case "unpicklable result":
            return lambda: None
        case "bytes":
            return "x" * 1_000_000
        case "interrupt":
            raise KeyboardInterrupt


@app.role("busy", isolation="process")
def busy(task: SyncTask) -> None:
    """Never ends; has a child of its own; tells both pids in `file`."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    remember(task.payload["file"], os.getpid())
    remember(task.payload["file"], child.pid)
    time.sleep(3600)


# durable handlers


@app.role("two steps")
async def two_steps(task: Task) -> list[int]:
    """Notes in `file` which step runs; the second one lasts until `go` exists."""
    file, go = task.payload["file"], task.payload["go"]

    async def second() -> int:
        remember(file, "second")
        await eventually(lambda: os.path.exists(go))  # noqa: PTH110 - a look, in an async function
        return os.getpid()

    def first() -> int:
        remember(file, "first")
        return os.getpid()

    return [await task.step("first", first), await task.step("second", second)]
