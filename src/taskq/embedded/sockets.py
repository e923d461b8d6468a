"""The directory of the server's Unix socket: in the home, or in a short place when that is too deep."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from taskq.embedded.home import PORT, Home
from taskq.embedded.owner import Owner
from taskq.errors import NoDatabase

LONGEST = 107 if sys.platform == "linux" else 103


def directory(home: Home, owner: Owner) -> Path:
    """A directory for the socket that only `owner` (and root) may enter: that of the last start if possible.

    Raises NoDatabase when every place is too deep or closed to `owner`.
    """
    run = home.path / "run"
    if _fits(run) and owner.reaches(home.path):
        run.mkdir(mode=0o700, exist_ok=True)
        owner.take(run)
        return run
    return _remembered(home, owner) or _temporary(owner)


def _remembered(home: Home, owner: Owner) -> Path | None:
    try:
        sockets = Path(home.plan().sockets)
        status = sockets.lstat()
    except FileNotFoundError:
        return None
    # In a place that all may write to, somebody else may have taken the name meanwhile.
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == owner.uid and not status.st_mode & 0o077
    return sockets if ours else None


def _temporary(owner: Owner) -> Path:
    for place in (tempfile.gettempdir(), "/tmp"):
        if _fits(Path(place) / "taskq-12345678") and owner.reaches(Path(place)):
            made = Path(tempfile.mkdtemp(prefix="taskq-", dir=place))
            owner.take(made)
            return made
    raise NoDatabase("no place for the server's socket: the paths of TASKQ_HOME and TMPDIR are too long")


def _fits(sockets: Path) -> bool:
    # A comma separates hosts, to the server and to its clients.
    return len(os.fsencode(sockets / f".s.PGSQL.{PORT}")) <= LONGEST and "," not in str(sockets)
