"""What the form of a new mission offers: roles, the repositories that each may touch, templates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from taskq.tool.checkouts import bound
from taskq.web.reads import Reads

SHOWN: Final = 50
"""Repositories that are offered for a role at most."""


@dataclass(frozen=True)
class Role:
    """A role that workers declared, or play now.

    :param globs: over the absolute paths of the checkouts that it may change.
    :param repositories: those that can be offered: tasks named them before, or they are on this machine.
    """

    name: str
    kind: str
    description: str
    model: str | None
    workers: int
    paused_by: str | None
    globs: tuple[str, ...]
    repositories: tuple[str, ...]

    @property
    def about(self) -> str:
        """What it does and who plays it, for people."""
        model = f"Played by {self.model}." if self.model else ""
        return " ".join(filter(None, [self.description, model, self.played]))

    @property
    def played(self) -> str:
        """Whether somebody would claim a task of it now."""
        if self.paused_by:
            return f"{self.paused_by} has paused it: nobody claims it until it is resumed."
        if not self.workers:
            return "No live worker plays it: a task waits until one does."
        return f"{self.workers} live {'worker plays' if self.workers == 1 else 'workers play'} it."

    def refusal(self, repository: str) -> str | None:
        """Why it may not change this repository; None when it may."""
        if self.kind != "agent":
            return f"{self.name} is no agent: what it needs belongs into the payload."
        if not self.globs:
            return f"{self.name} may change no repository: leave it empty."
        path = PurePosixPath(repository)
        if not path.is_absolute() or ".." in path.parts:
            return "This must be an absolute path without “..”."
        if not bound(path, self.globs):
            return f"{self.name} may change only {', '.join(self.globs)}."
        return None


@dataclass(frozen=True)
class Offers:
    """What the form offers."""

    roles: tuple[Role, ...]
    templates: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[str, Role]:
        return {role.name: role for role in self.roles}


async def find_offers(reads: Reads) -> Offers:
    """What can be offered now."""
    [row] = await reads.fetch("offers", fresh=2.0)
    globs = sorted({glob for role in row["roles"] for glob in role["repositories"]})
    here = await asyncio.to_thread(on_this_machine, globs) if globs else []
    known = list(dict.fromkeys([*row["checkouts"], *here]))
    return Offers(tuple(role_of(role, known) for role in row["roles"]), tuple(row["templates"]))


def role_of(row: dict[str, Any], known: Sequence[str]) -> Role:
    """A role of the statement `offers`."""
    globs = tuple(row["repositories"])
    fitting = [path for path in known if path.startswith("/") and bound(PurePosixPath(path), globs)]
    return Role(
        row["name"],
        row["kind"],
        row["description"] or "",
        row["model"],
        row["workers"],
        row["paused_by"],
        globs,
        tuple(fitting[:SHOWN]),
    )


def on_this_machine(globs: Sequence[str]) -> list[str]:
    """The directories of this machine that the globs name, real paths as workers see them."""
    found: list[str] = []
    for glob in globs:
        if not glob.startswith("/") or len(PurePosixPath(glob).parts) < 2:
            continue
        try:
            paths = Path("/").glob(glob.lstrip("/"))
            found += [str(path) for path in islice(paths, SHOWN) if path.is_dir() and not path.is_symlink()]
        except (OSError, ValueError, NotImplementedError):
            continue
    return found
