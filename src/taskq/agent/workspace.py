"""Where the file tools of a task look, and whether they may write there.

| the task's payload | reads and writes |
|---|---|
| `repository`: a checkout | both, if the role is bound to it |
| `directory` | reads only |
| neither | both, in the task's own directory `HOME/work/<id>` |

Here, not in the prompt, it is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from taskq.agent.jail import Jail
from taskq.errors import Fail
from taskq.tool import Refused, ToolCall
from taskq.tool.checkouts import bound

READ_ONLY = "this task declares no repository: its files can be read, not written"


class Workspace:
    """The files of one task.

    :param directory: their root.
    :param writable: whether they may be written.
    :param own: it is the task's own directory, made when it is first used.
    """

    def __init__(self, directory: str | Path, *, writable: bool, own: bool = False) -> None:
        """:raises Fail: there is no such directory."""
        self.writable = writable
        self._directory, self._own = Path(directory), own
        if not own:
            _ = self.jail

    @classmethod
    def of(cls, id: UUID, payload: dict[str, Any], *, repositories: Sequence[str], home: Path) -> Workspace:
        """The workspace that a task's payload asks for.

        :param repositories: globs over the absolute real paths of the checkouts that the role is bound to.
        :param home: where the own directories of tasks are (TASKQ_HOME).
        :raises Fail: the role is not bound to the repository, or there is no such directory.
        """
        if payload.get("repository") is not None:
            workspace = cls(_path(payload, "repository"), writable=True)
            _check_bound(workspace.directory, repositories)
            return workspace
        if payload.get("directory") is not None:
            return cls(_path(payload, "directory"), writable=False)
        return cls(home.absolute() / "work" / str(id), writable=True, own=True)

    @cached_property
    def jail(self) -> Jail:
        """The way to the files.

        :raises Fail: the directory cannot be opened.
        """
        try:
            if self._own:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self._directory.is_symlink():
                    raise NotADirectoryError(f"{self._directory} is a symbolic link")
            return Jail(self._directory)
        except (OSError, ValueError) as error:
            raise Fail(
                f"the task's directory {self._directory} cannot be opened: {error}", kind="validation_error"
            ) from error

    @property
    def directory(self) -> Path:
        """The root, as an absolute real path."""
        return self.jail.directory

    def writing(self) -> Jail:
        """The way to files that are about to be written.

        :raises Refused: they may only be read.
        """
        if not self.writable:
            raise Refused(READ_ONLY)
        return self.jail


def place_of(payload: dict[str, Any]) -> dict[str, Any]:
    """What makes a child work where its parent does."""
    return {name: payload[name] for name in ("directory", "repository") if name in payload}


def workspace_of(call: ToolCall) -> Workspace:
    """The workspace of a call.

    :raises Refused: it has none.
    """
    if not isinstance(call.workspace, Workspace):
        raise Refused("this task has no files")
    return call.workspace


def repositories(value: object) -> tuple[str, ...]:
    """Reads the manifest's field.

    :raises ValueError: it is no list of absolute globs.
    """
    if not isinstance(value, list) or not all(isinstance(glob, str) for glob in value):
        raise ValueError("must be a list of globs over absolute paths")
    for glob in value:
        parts = PurePosixPath(glob).parts
        if not glob.startswith("/") or ".." in parts or "**" in parts:
            raise ValueError(f"{glob!r} must be absolute, without '..' and '**' ('*' is one part of a path)")
    return tuple(value)


def _path(payload: dict[str, Any], field: str) -> str:
    value = payload[field]
    if not isinstance(value, str) or not value:
        raise Fail(f"the payload's {field} must be a path", kind="validation_error")
    return value


def _check_bound(directory: Path, repositories: Sequence[str]) -> None:
    if not bound(directory, repositories):
        allowed = ", ".join(repositories) or "none"
        raise Fail(
            f"this role is not bound to the repository {directory} (its manifest's repositories: {allowed})",
            kind="validation_error",
        )
    if not (directory / ".git").exists():
        raise Fail(f"{directory} is no checkout: there is no .git in it", kind="validation_error")
