"""The parent of one embedded server: a process of its own, `python -I -S supervisor.py HOME`.

It starts `postgres` as `HOME/server.json` says, starts it again when it dies, and stops it when no process
holds `HOME/users.lock` any more, or on SIGTERM.  What it has to say is in `HOME/postgres.log`.

It uses nothing but the standard library and is run by its path, not as a module: importing the package
would cost more time than starting the server.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

WAIT_FOR_REMAINS = 30.0
WAIT_FOR_STOP = 60.0
PAUSE = 0.05
REMAINS = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
READY = "ready to accept connections"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
WAKING = {signal.SIGTERM, signal.SIGCHLD}


def main(path: Path) -> int:
    """Run the server of the home `path` until it is no longer used."""
    lock = (path / "supervisor.lock").open("r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # another supervisor is at work already
    lock.truncate()  # the pids in it are of the dead
    # Never closed but by our end, and after the lock then: who sees the FIFO end finds the lock free.
    os.open(path / "supervisor.fifo", os.O_RDWR)
    if os.fork():
        os._exit(0)  # so that who started us need not reap us
    signal.signal(signal.SIGCHLD, lambda *_: None)  # what is ignored cannot be waited for
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    unused = threading.Event()
    threading.Thread(target=await_no_users, args=(path / "users.lock", unused), daemon=True).start()
    supervisor = Supervisor(path, lock)
    code = supervisor.run()
    if unused.is_set():
        supervisor.clear()
    return code


def await_no_users(users: Path, unused: threading.Event) -> None:
    """Ask for a stop once nobody holds `users`; from then on nobody can, until this process has ended."""
    file = users.open("r+")
    fcntl.flock(file, fcntl.LOCK_EX)
    unused.set()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()


class Supervisor:
    """Keeps one postmaster running."""

    def __init__(self, home: Path, lock: IO[str]) -> None:
        self.home, self.lock = home, lock
        self.plan: dict[str, Any] = json.loads((home / "server.json").read_text())
        self.sockets = Path(self.plan["sockets"])
        self.data = os.open(self.plan["data"], os.O_RDONLY)
        self.log = (home / "postgres.log").open("ab")

    def run(self) -> int:
        """Start the postmaster, again and again, until a stop is asked for (0) or it cannot start (1)."""
        patience = time.monotonic() + WAIT_FOR_REMAINS
        while True:
            self.end_remains()
            mark = self.log.seek(0, os.SEEK_END)
            postmaster = self.start()
            if stop_is_asked_for(postmaster):
                stop(postmaster)
                return 0
            said = self.said_since(mark)
            if READY in said:
                patience = time.monotonic() + WAIT_FOR_REMAINS
            elif not any(remains in said for remains in REMAINS) or time.monotonic() > patience:
                return 1
            time.sleep(PAUSE)

    def start(self) -> subprocess.Popen[bytes]:
        """A new postmaster, whose pid is left beside ours in the supervisor's lock."""
        me = os.getpid()
        plan = self.plan
        borrower = {"user": plan["uid"], "group": plan["gid"], "extra_groups": []}
        postmaster = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            cwd="/",
            pass_fds=[self.data] if plan["by_descriptor"] else [],
            preexec_fn=lambda: die_with(me),
            **({} if plan["uid"] is None else borrower),
        )
        self.lock.seek(0)
        self.lock.truncate()
        self.lock.write(f"{me} {postmaster.pid}\n")
        self.lock.flush()
        return postmaster

    def command(self) -> list[str]:
        """The command line of the postmaster."""
        data = f"/proc/self/fd/{self.data}" if self.plan["by_descriptor"] else self.plan["data"]
        ours = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), "port": "5432"}
        options = {**ours, **self.plan["options"]}
        return [self.plan["postgres"], "-D", data, *(f"--{name}={value}" for name, value in options.items())]

    def end_remains(self) -> None:
        """End a postmaster that outlived its supervisor; forget one that is gone, its number taken."""
        for file in (Path(self.plan["data"]) / "postmaster.pid", self.sockets / ".s.PGSQL.5432.lock"):
            pid = named_in(file)
            if pid is None:
                continue
            self.end(pid)
            if is_taken(pid) and not self.runs(pid):
                file.unlink(missing_ok=True)  # postgres would take the stranger for a postmaster

    def end(self, pid: int) -> None:
        """Shut down the postmaster `pid`, if it is one of ours."""
        for ending in (signal.SIGINT, signal.SIGQUIT):
            patience = time.monotonic() + WAIT_FOR_REMAINS
            if self.runs(pid):
                os.kill(pid, ending)
            while self.runs(pid) and time.monotonic() < patience:
                time.sleep(PAUSE)

    def runs(self, pid: int) -> bool:
        """Whether `pid` is a living postmaster of our data directory."""
        if Path("/proc/self/cwd").exists():
            return self.works_in_data(pid)
        asked = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
        return self.plan["data"] in asked.stdout

    def works_in_data(self, pid: int) -> bool:
        """Whether the data directory is where the process `pid` works."""
        try:
            return os.path.samestat(Path(f"/proc/{pid}/cwd").stat(), os.fstat(self.data))
        except OSError:
            return False

    def said_since(self, mark: int) -> str:
        """What the server wrote to its log from the offset `mark` on."""
        with (self.home / "postgres.log").open("rb") as log:
            log.seek(mark)
            return log.read().decode(errors="replace")

    def clear(self) -> None:
        """Take away the socket's directory if it is a temporary one."""
        if self.home not in self.sockets.parents:
            self.sockets.rmdir()


def named_in(file: Path) -> int | None:
    """The pid in a lock file of a postmaster; None if there is none (a single-user server's is negative)."""
    try:
        pid = int(file.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    return pid if pid > 0 else None


def is_taken(pid: int) -> bool:
    """Whether some process bears the number `pid`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def stop_is_asked_for(postmaster: subprocess.Popen[bytes]) -> bool:
    """Wait for SIGTERM (True) or the end of `postmaster` (False)."""
    while postmaster.poll() is None:
        if signal.sigwait(WAKING) == signal.SIGTERM:
            return True
    return False


def stop(postmaster: subprocess.Popen[bytes]) -> None:
    """A fast shutdown; an immediate one, which costs a recovery but no row, if that takes too long."""
    postmaster.send_signal(signal.SIGINT)
    try:
        postmaster.wait(WAIT_FOR_STOP)
    except subprocess.TimeoutExpired:
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait()


def die_with(parent: int) -> None:
    """In the new process: have a fast shutdown when `parent` dies, and wake on signals as usual."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    if sys.platform == "linux":
        # After the change of user, which would undo it.
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
