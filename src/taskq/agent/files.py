"""The tools that look at one place: `list_dir` and `read_file`.  Blocking; called in a thread."""

from __future__ import annotations

import heapq
import os
import stat

from taskq.agent.jail import Jail
from taskq.tool import ToolError

LIST_ENTRIES = 500
"""Most entries that one `list_dir` shows."""
READ_LINES = 1000
"""Most lines that one `read_file` shows."""
READ_BYTES = 48 * 1024
"""Most bytes that one `read_file` shows."""
LINE_CHARACTERS = 2000
"""Where a long line is cut."""
SCAN_BYTES = 8 * 1024 * 1024
"""How far into a file `read_file` looks."""
_SNIFF_BYTES = 8192


def list_dir(jail: Jail, path: str) -> str:
    """The entries of a directory: directories end with `/`, files show their size, links are only named.

    :raises Refused, ToolError: the path leads out of the jail, or to no directory.
    """
    with jail.open_directory(path) as fd, os.scandir(fd) as entries:
        count = 0

        def names() -> list[str]:
            nonlocal count
            found = []
            for entry in entries:
                count += 1
                found.append(entry.name)
                # Keeps memory bounded in a directory of millions, and the answer its first names.
                if len(found) >= 20 * LIST_ENTRIES:
                    found = heapq.nsmallest(LIST_ENTRIES, found)
            return sorted(found)[:LIST_ENTRIES]

        lines = [_entry(name, fd) for name in names()]
    if count > len(lines):
        lines.append(f"[cut: {count - len(lines)} of {count} entries are not shown]")
    return "\n".join([f"{path}: {count} entries", *lines])


def read_file(jail: Jail, path: str, offset: int, limit: int) -> str:
    """Lines `offset` .. `offset + limit - 1` of a text file (the first line is 1), under a line that says
    what is shown and how many lines there are.

    :raises Refused, ToolError: the path leads out of the jail, or the file is no text.
    """
    with jail.open_file(path) as fd:
        data, whole = _read(fd, path)
    lines = data.decode("utf-8", "replace").splitlines()
    total = f"{len(lines)}" if whole else f"more than {len(lines)}"
    if not lines:
        return f"{path}: empty"
    if offset > len(lines):
        raise ToolError(f"{path}: has {total} lines; there is no line {offset}")
    shown = _bounded(lines[offset - 1 : offset - 1 + min(limit, READ_LINES)])
    last = offset + len(shown) - 1
    head = f"{path}: lines {offset}-{last} of {total}"
    tail = [] if last == len(lines) and whole else [f"[cut: read on with offset={last + 1}]"]
    if last == len(lines) and not whole:
        tail = [f"[cut: only the first {SCAN_BYTES // 1024 // 1024} MB of this file can be read]"]
    return "\n".join([head, *shown, *tail])


def _entry(name: str, parent: int) -> str:
    try:
        status = os.lstat(name, dir_fd=parent)
    except OSError:
        return f"{name} (gone)"
    if stat.S_ISDIR(status.st_mode):
        return f"{name}/"
    if stat.S_ISREG(status.st_mode):
        return f"{name} ({status.st_size} bytes)"
    return f"{name} (a link, pipe or device: cannot be opened)"


def _read(fd: int, path: str) -> tuple[bytes, bool]:
    """At most SCAN_BYTES of a text file, and whether that is all of it."""
    with os.fdopen(os.dup(fd), "rb") as file:
        data = file.read(_SNIFF_BYTES)
        if b"\0" in data:
            raise ToolError(f"{path}: is a binary file ({os.fstat(fd).st_size} bytes), not text")
        data += file.read(SCAN_BYTES - len(data))
        return data, not file.read(1)


def _bounded(lines: list[str]) -> list[str]:
    """As many of the lines as fit into READ_BYTES (one at least), long ones cut."""
    shown: list[str] = []
    left = READ_BYTES
    for line in lines:
        line = cut_line(line)
        left -= len(line.encode("utf-8", "replace")) + 1
        if left < 0 and shown:
            break
        shown.append(line)
    return shown


def cut_line(line: str) -> str:
    """The line, cut at LINE_CHARACTERS with a note that says so."""
    if len(line) <= LINE_CHARACTERS:
        return line
    return f"{line[:LINE_CHARACTERS]} [cut: {len(line) - LINE_CHARACTERS} more characters in this line]"
