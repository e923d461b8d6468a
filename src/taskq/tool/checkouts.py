"""Checkouts: which of them globs name."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath


def bound(directory: Path | PurePosixPath, repositories: Sequence[str]) -> bool:
    """Whether one of the globs names the directory; `*` stands for one part of a path or within it."""
    parts = PurePosixPath(directory).parts
    for glob in repositories:
        wanted = PurePosixPath(glob).parts
        if len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted)):
            return True
    return False
