"""Locks on files, which the kernel drops when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from taskq.errors import NoDatabase

PAUSE = 0.01


@contextmanager
def exclusive(path: Path, *, limit: float) -> Iterator[None]:
    """Hold `path` alone.  Raises NoDatabase when others keep it for `limit` seconds."""
    with _locked(path, fcntl.LOCK_EX, limit):
        yield


def shared(path: Path, *, limit: float) -> IO[str]:
    """An open file that holds `path` together with others until it is closed.

    Raises NoDatabase when one process keeps it alone for `limit` seconds.
    """
    return _locked(path, fcntl.LOCK_SH, limit)


def _locked(path: Path, how: int, limit: float) -> IO[str]:
    file = path.open("r+")
    deadline = time.monotonic() + limit
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise NoDatabase(f"another process has been busy with {path} for {limit:g} s") from None
            time.sleep(PAUSE)
