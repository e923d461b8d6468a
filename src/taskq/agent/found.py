"""Whether files are there: globs below one directory, never through a link.  Blocking; called in a thread."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

ENTRIES: Final = 50_000
"""How many entries of directories are looked at for one glob."""
DEPTH: Final = 64
"""How many directories deep a file may be."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAGIC = frozenset("*?[")


class TooMany(Exception):
    """More than `ENTRIES` entries would have to be looked at."""


def fault(glob: str) -> str | None:
    """Why this cannot be a glob of files below a directory, if it cannot."""
    parts = glob.split("/")
    if glob.startswith("/") or ".." in parts or "\0" in glob:
        return "must stay below the task's directory: no leading '/', no '..'"
    if not all(parts):
        return "has an empty part"
    return None


def found(root: Path, glob: str) -> str | None:
    """The path of a regular file that matches and is not empty, or None.

    `*`, `?` and `[…]` match within a name, `**` any number of directories; names that begin with a dot only
    match parts that do.  Links are never followed.

    :param glob: relative to `root`, such as `report.md` or `src/**/*.py`.
    :raises TooMany: it was not found among the first entries.
    :raises OSError: there is no such directory.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _Search().below(fd, glob.split("/"), "")
    finally:
        os.close(fd)


class _Search:
    def __init__(self) -> None:
        self._seen = 0

    def below(self, fd: int, parts: list[str], path: str) -> str | None:
        """The first match in the directory `fd`, which is at `path`."""
        part, *rest = parts
        if path.count("/") > DEPTH:
            return None
        if part == "**" and (here := self.below(fd, rest or ["*"], path)):
            return here
        for name in self._names(fd, part):
            if hit := self._at(fd, name, parts if part == "**" else rest, path):
                return hit
        return None

    def _at(self, parent: int, name: str, rest: list[str], path: str) -> str | None:
        """The first match at or below one entry."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not rest:
                return path + name if stat.S_ISREG(status.st_mode) and status.st_size else None
            if not stat.S_ISDIR(status.st_mode):
                return None
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
        except (OSError, ValueError):
            return None  # gone meanwhile, or not ours to see
        try:
            return self.below(fd, rest, f"{path}{name}/")
        finally:
            os.close(fd)

    def _names(self, fd: int, part: str) -> list[str]:
        """The entries that a part of the glob matches, in order."""
        if not _MAGIC & set(part):
            return [part]
        with os.scandir(fd) as entries:
            names = []
            for entry in entries:
                self._seen += 1
                if self._seen > ENTRIES:
                    raise TooMany
                if entry.name.startswith(".") == part.startswith(".") and (
                    part == "**" or fnmatchcase(entry.name, part)
                ):
                    names.append(entry.name)
        return sorted(names)
