"""The program behind the `grep` tool: run as a process of its own, on the standard library alone.

A regular expression can take for ever, and Python's engine holds the interpreter lock meanwhile: in the
worker it would stop every other task and the heartbeats.  Here it can be killed.

Input: one JSON object on stdin, and an open descriptor of the directory or file to search.
Output: one JSON object on stdout.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import resource
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

CPU_SECONDS = 10
MEMORY_BYTES = 1024 * 1024 * 1024
FILE_BYTES = 4 * 1024 * 1024
LINE_CHARACTERS = 2000
SHOWN_CHARACTERS = 300
FILES = 20_000
NOT_SOURCES = frozenset({"node_modules", "__pycache__", "venv"})

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def main() -> None:
    """Answer the request on stdin."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    with suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    request = json.load(sys.stdin)
    try:
        pattern = re.compile(request["pattern"], re.IGNORECASE if request["ignore_case"] else 0)
    except (re.error, RecursionError, OverflowError) as error:
        answer: dict[str, Any] = {"error": f"the pattern is no regular expression: {error}"}
    else:
        files = _files(request["fd"]) if request["is_directory"] else iter([(request["path"], request["fd"])])
        answer = search(files, pattern, request["glob"] if request["is_directory"] else "*", request["limit"])
    json.dump(answer, sys.stdout)


def search(
    opened: Iterator[tuple[str, int]], pattern: re.Pattern[str], glob: str, limit: int
) -> dict[str, Any]:
    """Matching lines of the opened files: at most `limit` are shown, all are counted."""
    matches: list[str] = []
    count = files = 0
    complete = True
    for path, file in opened:
        if not _wanted(path, glob):
            os.close(file)
            continue
        if files == FILES:
            os.close(file)
            complete = False
            break
        files += 1
        for number, line in _lines(file):
            if pattern.search(line):
                count += 1
                if len(matches) < limit:
                    matches.append(f"{path}:{number}: {line[:SHOWN_CHARACTERS].rstrip()}")
    return {"matches": matches, "count": count, "files": files, "complete": complete}


def _wanted(path: str, glob: str) -> bool:
    """Whether the glob names the path or its last part."""
    return fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path.split("/")[-1], glob)


def _files(fd: int) -> Iterator[tuple[str, int]]:
    """The regular files below the directory `fd`, each open, in a fixed order; links are never followed."""
    for parent, directories, names, parent_fd in os.fwalk(".", dir_fd=fd, follow_symlinks=False):
        directories[:] = sorted(d for d in directories if d not in NOT_SOURCES and not d.startswith("."))
        for name in sorted(names):
            try:
                file = os.open(name, _FLAGS, dir_fd=parent_fd)
            except OSError:
                continue
            if stat.S_ISREG(os.fstat(file).st_mode):
                yield f"{parent}/{name}".removeprefix("./"), file
            else:
                os.close(file)


def _lines(fd: int) -> Iterator[tuple[int, str]]:
    """The numbered lines of a file, which is closed at the end; none of a binary one."""
    with os.fdopen(fd, "rb") as file:
        data = file.read(FILE_BYTES)
    if b"\0" in data[:8192]:
        return
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        yield number, line[:LINE_CHARACTERS]


if __name__ == "__main__":
    main()
