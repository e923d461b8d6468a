"""The directory of an embedded server (`.taskq/`): what lies in it, and what its state says."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

PORT = 5432
TAIL = 4000


@dataclass(frozen=True)
class Plan:
    """How the server of a home is run; kept in `server.json` for the supervisor and for those who adopt."""

    postgres: str
    bin: str
    sockets: str
    data: str
    by_descriptor: bool
    uid: int | None
    gid: int | None
    options: dict[str, str]


@dataclass(frozen=True)
class Home:
    """The paths below one home directory, which is absolute."""

    path: Path

    @property
    def data(self) -> Path:
        """The data directory of the server."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """What the server and its supervisor had to say."""
        return self.path / "postgres.log"

    @property
    def start_lock(self) -> Path:
        """Held exclusively by the one process that starts or adopts the server."""
        return self.path / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Held shared by every user; exclusively by a supervisor that is stopping the server."""
        return self.path / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held exclusively by the supervisor; its text is the pids of supervisor and postmaster."""
        return self.path / "supervisor.lock"

    @property
    def supervisor_fifo(self) -> Path:
        """Held open for writing by the supervisor: it ends when the supervisor does."""
        return self.path / "supervisor.fifo"

    @property
    def plan_file(self) -> Path:
        """The Plan of the latest start."""
        return self.path / "server.json"

    def prepare(self) -> None:
        """Make the directory and the files that processes meet at.  Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        if not self.supervisor_fifo.exists():
            self._make_fifo()
        meeting_points = (self.start_lock, self.users_lock, self.supervisor_lock, self.log)
        for file in meeting_points:
            file.touch(mode=0o600)
        if os.geteuid() == 0:
            # root as a guest in a user's home must not leave files that the user cannot open.
            host = self.path.stat()
            for file in (ignore, self.supervisor_fifo, *meeting_points):
                os.chown(file, host.st_uid, host.st_gid)

    def _make_fifo(self) -> None:
        with suppress(FileExistsError):  # another process was as quick as we
            os.mkfifo(self.supervisor_fifo, 0o600)

    def supervised(self) -> bool:
        """Whether a supervisor is alive here."""
        try:
            fifo = self.open_fifo()
        except FileNotFoundError:
            return False
        try:
            return os.read(fifo, 1) != b""
        except BlockingIOError:
            return True
        finally:
            os.close(fifo)

    def open_fifo(self) -> int:
        """A descriptor that becomes readable when the supervisor ends; the caller closes it."""
        return os.open(self.supervisor_fifo, os.O_RDONLY | os.O_NONBLOCK)

    def pids(self) -> tuple[int, int] | None:
        """The pids of supervisor and postmaster as the latest supervisor wrote them; None before that."""
        numbers = self.supervisor_lock.read_text().split()
        return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None

    def ready(self) -> bool:
        """Whether the supervisor's postmaster takes connections."""
        pids = self.pids()
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if pids is None or len(lines) < 8 or lines[0] != str(pids[1]) or lines[7].strip() != "ready":
            return False
        # The file outlives a postmaster that was killed; its socket does not answer.
        return _answers(Path(self.plan().sockets) / f".s.PGSQL.{PORT}")

    def plan(self) -> Plan:
        """The plan of the latest start.  Raises FileNotFoundError before the first."""
        return Plan(**json.loads(self.plan_file.read_text()))

    def remember(self, plan: Plan) -> None:
        """Keep `plan` for the supervisor and for those who adopt."""
        draft = self.plan_file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(plan), indent=1) + "\n")
        draft.replace(self.plan_file)

    def log_tail(self) -> str:
        """The end of the server's log."""
        return self.log.read_bytes()[-TAIL:].decode(errors="replace").strip()


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(address))
        except OSError:
            return False
        return True
