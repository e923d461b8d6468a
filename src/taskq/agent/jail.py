"""The jail: files below one directory, and nothing else.

A path is walked one component at a time, from `/` on, each opened relative to the one before and never
through a symbolic link.  So a link put in place between a check and its use leads nowhere: there is no check,
only the open itself.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from taskq.tool import Refused, ToolError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The way to the jail needs to be walked, not read; macOS has no O_PATH.
_WAY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Jail:
    """The files below `directory`, resolved to a real, absolute path; a relative one starts at the
    process's working directory.

    :raises NotADirectoryError, FileNotFoundError, PermissionError: there is no such directory.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).resolve(strict=True)
        os.close(self._enter())

    @contextmanager
    def open_directory(self, path: str) -> Iterator[int]:
        """The descriptor of a directory in the jail; `.` is the jail itself.

        :raises Refused: the path leads out of the jail or through a link.
        :raises ToolError: there is no such directory, or it cannot be read.
        """
        with self._walk(components(path), path) as fd:
            yield fd

    @contextmanager
    def open_parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The descriptor of the directory that a path's last name is in, and that name.

        :param make: make the directories that are missing on the way.
        :raises Refused, ToolError: as `open_directory`.
        """
        *parents, name = components(path) or ["."]
        if name == ".":
            raise ToolError(f"{path}: is the directory itself, not a file")
        with self._walk(parents, path, make=make) as fd:
            yield fd, name

    @contextmanager
    def open_file(self, path: str) -> Iterator[int]:
        """The descriptor of a regular file in the jail.

        :raises Refused, ToolError: as `open_any`; a directory too.
        """
        with self.open_any(path) as (fd, is_file):
            if not is_file:
                raise ToolError(f"{path}: is a directory")
            yield fd

    @contextmanager
    def open_any(self, path: str) -> Iterator[tuple[int, bool]]:
        """The descriptor of a directory or regular file, and whether it is a file.

        :raises Refused: the path leads out of the jail or through a link, or to a pipe, socket or device.
        :raises ToolError: there is nothing, or nothing that can be read.
        """
        *parents, name = components(path) or ["."]
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
    def _walk(self, names: list[str], path: str, *, make: bool = False) -> Iterator[int]:
        """The descriptor of the directory at the end of `names`; `path` is for messages only."""
        fd = self._enter()
        try:
            for name in names:
                if make:
                    _make(name, fd)
                below = _open(name, _DIRECTORY, fd, path)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def _enter(self) -> int:
        """The descriptor of the jail's own directory; a link that came into its way is an OSError."""
        fd = os.open("/", _WAY)
        *way, last = self.directory.parts[1:] or (".",)
        for name, flags in [*((name, _WAY) for name in way), (last, _DIRECTORY)]:
            try:
                below = os.open(name, flags, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below
        return fd


def components(path: str) -> list[str]:
    """The names along a relative path.

    :raises Refused: it is absolute or contains `..` or a NUL.
    """
    if path.startswith("/"):
        raise Refused(f"{path}: absolute paths are refused; give one relative to the directory")
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise Refused(f"{path}: '..' is refused")
    if "\0" in path:
        raise Refused("a path with a NUL in it is refused")
    return names


def _make(name: str, parent: int) -> None:
    with suppress(OSError, UnicodeEncodeError):  # it is there, or the open that follows says what is wrong
        os.mkdir(name, dir_fd=parent)


def _open(name: str, flags: int, parent: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and is_link(name, parent):
            raise Refused(f"{path}: {name} is a symbolic link, which is refused") from error
        raise ToolError(f"{path}: {(error.strerror or 'cannot be opened').lower()}") from error
    except UnicodeEncodeError as error:
        raise ToolError("a path that is no valid text cannot be opened") from error


def is_link(name: str, parent: int) -> bool:
    """Whether a name is a symbolic link right now: good for words, never for a decision to open it."""
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode)
    except OSError:
        return False
