"""The tools that change a file: `write_file` and `edit_file`.  Blocking; called in a thread.

A file is written beside itself and renamed into place, so that a reader, or a crash, finds the old text or
the new one.  A rename replaces a link and never follows it.  Both tools may run twice: the second time
changes nothing.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from hashlib import sha256

from taskq.agent.jail import Jail, components, is_link
from taskq.tool import Refused, ToolError

WRITE_BYTES = 1024 * 1024
"""The largest file that is written, or edited."""
EDIT_CHARACTERS = 64 * 1024
"""The longest text that one edit replaces, or puts in its place."""
MATCHES = 500
"""How often the text to replace may be there before it is too common to tell."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(jail: Jail, path: str, content: str, *, key: str) -> str:
    """Make the text the whole content of a file; directories that are missing are made.

    :param key: names the write; one that is run again after a crash clears away what the first left.
    :returns: what was done, in words.
    :raises Refused: the path leads out of the jail, through a link, or into a repository's own files.
    :raises ToolError: the text is too long, or the file cannot be written.
    """
    data = _encoded(path, content)
    _check(path)
    with jail.open_parent(path, make=True) as (parent, name):
        _replace(parent, name, data, path, key)
    return f"{path}: written, {len(data)} bytes, {len(content.splitlines())} lines"


def edit_file(jail: Jail, path: str, old: str, new: str, *, key: str) -> str:
    """Replace the one place of a file that reads `old` by `new`.

    An edit that was made already is found and left alone, also where `new` contains `old`.

    :raises Refused: as `write_file`.
    :raises ToolError: there is no such place, or more than one; the file is too long or no text.
    """
    _check(path)
    text = _text(jail, path)
    places = _places(text, old, new)
    if not places and (new in text or not new):
        return f"{path}: reads so already (the old text is not there, the new one is); nothing was changed"
    if len(places) != 1:
        found = f"is there {len(places)} times; give more of its surroundings" if places else "is not there"
        raise ToolError(f"{path}: the text to replace {found}; nothing was changed")
    edited = text[: places[0]] + new + text[places[0] + len(old) :]
    if _places(edited, old, new):
        raise ToolError(
            f"{path}: after this edit the old text would be there again, and a second run could not tell;"
            " give more of its surroundings; nothing was changed"
        )
    data = _encoded(path, edited)
    with jail.open_parent(path) as (parent, name):
        _replace(parent, name, data, path, key)
    return f"{path}: edited at line {text.count(chr(10), 0, places[0]) + 1}"


def _places(text: str, old: str, new: str) -> list[int]:
    """Where `old` stands in the text, but for where it is only a part of `new`."""
    kept = _starts(text, new) if old in new else []
    return [
        start
        for start in _starts(text, old)
        if not any(begin <= start and start + len(old) <= begin + len(new) for begin in kept)
    ]


def _starts(text: str, part: str) -> list[int]:
    """Where a part begins in the text, overlaps too.

    :raises ToolError: it is there more than MATCHES times; to find them all could take for ever.
    """
    found: list[int] = []
    start = text.find(part)
    while start >= 0:
        found.append(start)
        if len(found) > MATCHES:
            raise ToolError(f"the text is there more than {MATCHES} times; give more of its surroundings")
        start = text.find(part, start + 1)
    return found


def _text(jail: Jail, path: str) -> str:
    """The whole of a text file, line ends as they are."""
    with jail.open_file(path) as fd, os.fdopen(os.dup(fd), "rb") as file:
        data = file.read(WRITE_BYTES + 1)
    if len(data) > WRITE_BYTES:
        raise ToolError(f"{path}: is longer than {WRITE_BYTES // 1024} KB and cannot be edited")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ToolError(f"{path}: is no UTF-8 text and cannot be edited") from None


def _encoded(path: str, content: str) -> bytes:
    try:
        data = content.encode("utf-8")
    except UnicodeEncodeError:
        raise ToolError(f"{path}: the text holds half a character (a lone surrogate)") from None
    if len(data) > WRITE_BYTES:
        raise ToolError(f"{path}: {len(data)} bytes are too many; at most {WRITE_BYTES} are written")
    return data


def _check(path: str) -> None:
    """A setting of git is a program that somebody else runs; a name that is no text, nobody can read."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ToolError("a path that is no valid text cannot be written") from None
    # Some file systems take .GIT, `.git ` and git~1 for .git.
    if any(name.rstrip(" .").lower() in (".git", "git~1") for name in components(path)):
        raise Refused(f"{path}: the files of git itself are not written")


def _replace(parent: int, name: str, data: bytes, path: str, key: str) -> None:
    """Put a new file in the place of a name, in one step."""
    beside = f".taskq-{sha256(key.encode()).hexdigest()[:24]}"
    try:
        mode = _mode(parent, name, path)
        with suppress(FileNotFoundError):  # what a crash left
            os.unlink(beside, dir_fd=parent)
        fd = os.open(beside, _NEW, 0o666, dir_fd=parent)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                if mode is not None:
                    os.fchmod(fd, mode)
                os.fsync(fd)
            os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside, dir_fd=parent)
            raise
        os.fsync(parent)
    except OSError as error:
        raise ToolError(f"{path}: {(error.strerror or 'cannot be written').lower()}") from error


def _mode(parent: int, name: str, path: str) -> int | None:
    """The permissions of the file that is replaced; None when there is none.

    :raises Refused: it is a link, or no regular file.
    """
    if is_link(name, parent):
        raise Refused(f"{path}: {name} is a symbolic link, which is refused")
    try:
        mode = os.lstat(name, dir_fd=parent).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise ToolError(f"{path}: is a directory")
    # A link that came this moment is replaced by the rename, as anything else would be.
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise Refused(f"{path}: is neither a directory nor a regular file")
    return stat.S_IMODE(mode) & 0o777 if stat.S_ISREG(mode) else None
