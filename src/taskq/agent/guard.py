"""The program around a command: run as a process of its own, on the standard library alone.

It starts the command in a session of its own, under limits, keeps the two ends of what it says, and ends it
with all that it started: when it is done, when its time is over, and when the worker lets go of the guard's
stdin, which a worker that is killed does too.  Processes that leave the session are adopted by the guard
(Linux), and end as well.

Input: one line of JSON on stdin, which stays open; the descriptor of the directory to run in.
Output: one JSON object on stdout.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any

FILE_BYTES = 256 * 1024 * 1024
PROCESSES = 256
END_SECONDS = 3.0
_SET_DEATH_SIGNAL, _SET_SUBREAPER, _SET_NO_NEW_PRIVILEGES = 1, 36, 38


def main() -> None:
    """Run the command that stdin names, and say how it ended."""
    request = json.loads(FileIO(0, closefd=False).readline())  # byte by byte: nothing past the line
    control(_SET_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # it only wakes the loop: the worker closes stdin
    os.fchdir(request["fd"])
    started = time.monotonic()
    try:
        command = start(request)
    except (OSError, subprocess.SubprocessError) as error:
        answer: dict[str, Any] = {"error": getattr(error, "strerror", None) or "it cannot be started"}
    else:
        said = Ends(request["most"])
        why = watch(command, said, started + request["timeout"])
        end(command)
        drain(command, said)
        answer = {"code": command.returncode, "why": why, "output": said.text()}
    answer["seconds"] = time.monotonic() - started
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer))
        sys.stdout.flush()


def start(request: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The command, started."""
    processes = PROCESSES + running()

    def limit() -> None:
        control(_SET_DEATH_SIGNAL, signal.SIGKILL)
        control(_SET_NO_NEW_PRIVILEGES, 1)
        seconds = int(request["timeout"]) + 1
        for name, most in (
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, FILE_BYTES),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NPROC, processes),
            (resource.RLIMIT_AS, request["memory"] * 1024 * 1024),
        ):
            with contextlib.suppress(ValueError, OSError):  # a lower limit stands; macOS has not all
                resource.setrlimit(name, (most, most))

    return subprocess.Popen(
        request["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=request["env"],
        start_new_session=True,
        preexec_fn=limit,  # this program has one thread
    )


def watch(command: subprocess.Popen[bytes], said: Ends, deadline: float) -> str:
    """Read what it says until it has `ended`, its time is over (`late`), or the worker lets `go`."""
    assert command.stdout is not None
    output, more = command.stdout.fileno(), True
    os.set_blocking(output, False)
    while command.poll() is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return "late"
        # That it has ended is seen by looking: a child of it may hold the pipe for longer.
        ready, _, _ = select.select([0, *([output] if more else [])], [], [], min(left, 0.05))
        if 0 in ready and not os.read(0, 4096):
            return "go"
        if output in ready:
            more = said.read(output)
    return "ended"


def drain(command: subprocess.Popen[bytes], said: Ends) -> None:
    """Read the rest: nobody writes any more."""
    assert command.stdout is not None
    deadline = time.monotonic() + 1
    while select.select([command.stdout], [], [], 0)[0] and time.monotonic() < deadline:
        if not said.read(command.stdout.fileno()):
            return


class Ends:
    """The head and the tail of a text, `most` bytes together."""

    def __init__(self, most: int) -> None:
        self.half, self.head, self.tail, self.dropped = most // 2, b"", b"", 0

    def read(self, fd: int) -> bool:
        """Take what is there; whether there may be more."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        room = self.half - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > self.half:
            self.dropped += len(self.tail) - self.half
            self.tail = self.tail[-self.half :]
        return bool(data)

    def text(self) -> str:
        between = f"\n[cut: {self.dropped} bytes are not shown]\n".encode() if self.dropped else b""
        return (self.head + between + self.tail).decode("utf-8", "replace")


def end(command: subprocess.Popen[bytes]) -> None:
    """Kill the command's group, and whatever left it, until nothing is left."""
    deadline = time.monotonic() + END_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # only then are its children adopted
        command.wait(END_SECONDS)
    while (left := children()) and time.monotonic() < deadline:
        for child in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)
        time.sleep(0.005)


def children() -> set[int]:
    """The processes that this one started or adopted (Linux)."""
    with contextlib.suppress(OSError):
        return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    return set()


def running() -> int:
    """How many threads the user runs already: the limit of processes counts them all."""
    count, user = 0, os.getuid()
    for entry in os.scandir("/proc") if Path("/proc/self/task").exists() else ():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == user:
                count += len(os.listdir(f"{entry.path}/task"))  # noqa: PTH208
    return count


def control(what: int, value: int) -> None:
    """prctl, where there is one."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


if __name__ == "__main__":
    main()
