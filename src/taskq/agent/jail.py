"""The jail: files below one directory, and nothing else.

A path is walked one component at a time, each opened relative to the one before and never through a
symbolic link.  So a link put in place between a check and its use leads nowhere: there is no check, only
the open itself.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Refused(Exception):
    """The path leads out of the jail, through a link, or to nothing that can be read."""


class Jail:
    """The files below `directory`, resolved to a real, absolute path; a relative one starts at the
    process's working directory.

    :raises NotADirectoryError, FileNotFoundError, PermissionError: there is no such directory.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).resolve(strict=True)
        os.close(os.open(self.directory, _DIRECTORY))

    @contextmanager
    def open_directory(self, path: str) -> Iterator[int]:
        """The descriptor of a directory in the jail; `.` is the jail itself.

        :raises Refused: see there.
        """
        with self._walk(_components(path), path) as fd:
            yield fd

    @contextmanager
    def open_file(self, path: str) -> Iterator[int]:
        """The descriptor of a regular file in the jail.

        :raises Refused: see there; directories, pipes, sockets and devices too.
        """
        with self.open_any(path) as (fd, is_file):
            if not is_file:
                raise Refused(f"{path}: is a directory")
            yield fd

    @contextmanager
    def open_any(self, path: str) -> Iterator[tuple[int, bool]]:
        """The descriptor of a directory or regular file, and whether it is a file.

        :raises Refused: see there.
        """
        *parents, name = _components(path) or ["."]
        with self._walk(parents, path) as parent:
            fd = _open(name, _FILE, parent, path)
        try:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise Refused(f"{path}: is neither a directory nor a regular file")
            yield fd, stat.S_ISREG(mode)
        finally:
            os.close(fd)

    @contextmanager
    def _walk(self, components: list[str], path: str) -> Iterator[int]:
        """The descriptor of the directory at the end of `components`; `path` is for messages only."""
        fd = os.open(self.directory, _DIRECTORY)
        try:
            for name in components:
                below = _open(name, _DIRECTORY, fd, path)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def _components(path: str) -> list[str]:
    """The names along a relative path.

    :raises Refused: it is absolute or contains `..` or a NUL.
    """
    if path.startswith("/"):
        raise Refused(f"{path}: absolute paths are refused; give one relative to the directory")
    components = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in components:
        raise Refused(f"{path}: '..' is refused")
    if "\0" in path:
        raise Refused("a path with a NUL in it is refused")
    return components


def _open(name: str, flags: int, parent: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        raise Refused(f"{path}: {_reason(error, name, parent)}") from error
    except UnicodeEncodeError as error:
        raise Refused("a path that is no valid text is refused") from error


def _reason(error: OSError, name: str, parent: int) -> str:
    """Words for a refused open.  The open has already failed, so looking again here decides nothing."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        try:
            if stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode):
                return f"{name} is a symbolic link, which is refused"
        except OSError:
            pass
    return (error.strerror or "cannot be opened").lower()
