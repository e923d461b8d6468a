"""The data directory: made once, by `initdb`, with the database `taskq` in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskq.embedded.binaries import Binaries
from taskq.embedded.owner import Owner
from taskq.errors import NoDatabase
from taskq.settings import child_environment

USER = DATABASE = "taskq"
CONFIGURATION = Path(__file__).with_name("postgresql.conf")
CREATE_DATABASE = Path(__file__).with_name("database.sql")
# The builtin provider sorts by code point like C and knows the letters of Unicode; it came with version 17.
BUILTIN = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")


def major_of(data: Path) -> int | None:
    """The version of PostgreSQL that made the data directory `data`; None when there is none yet.

    Raises NoDatabase when something else lies there.
    """
    if not data.exists():
        return None
    try:
        return int((data / "PG_VERSION").read_text())
    except (FileNotFoundError, ValueError):
        raise NoDatabase(
            f"{data} is no data directory of PostgreSQL; move it away or set TASKQ_HOME"
        ) from None


def create(data: Path, binaries: Binaries, owner: Owner) -> None:
    """Make the data directory `data`, whole or not at all.  Raises NoDatabase with what `initdb` said."""
    draft = data.with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    owner.take(draft)
    with _named(draft, owner) as (name, descriptors):
        _initialize(name, descriptors, binaries, owner)
        with (draft / "postgresql.conf").open("a") as file:
            file.write(CONFIGURATION.read_text())
        _run(
            [binaries.server / "postgres", "--single", "-D", name, "template1"],
            descriptors,
            owner,
            text=CREATE_DATABASE.read_text(),
        )
    draft.rename(data)
    _sync(data.parent)


def by_descriptor(directory: Path, owner: Owner) -> bool:
    """Whether `owner` cannot reach `directory` by its path, so that an open descriptor must be its name.

    Raises NoDatabase where a descriptor is no name.
    """
    if owner.reaches(directory):
        return False
    if not Path("/proc/self/fd").exists():
        raise NoDatabase(
            f"the server would run as user {owner.uid}, who cannot enter {directory}; set TASKQ_HOME to a "
            "directory that all users can enter, or run taskq as an ordinary user"
        )
    return True


@contextmanager
def _named(directory: Path, owner: Owner) -> Iterator[tuple[str, list[int]]]:
    """The name under which `owner` finds `directory`, and the descriptors to hand down for it."""
    if not by_descriptor(directory, owner):
        yield str(directory), []
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}", [descriptor]
    finally:
        os.close(descriptor)


def _initialize(name: str, descriptors: list[int], binaries: Binaries, owner: Owner) -> None:
    locale = ("--locale=C", *(BUILTIN if binaries.major >= 17 else ()))
    command = [binaries.server / "initdb", "-D", name, "-U", USER, "-A", "trust", "-E", "UTF8", *locale]
    _run(command, descriptors, owner)


def _run(command: list[str | Path], descriptors: list[int], owner: Owner, *, text: str = "") -> None:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        cwd="/",
        env=child_environment(),
        pass_fds=descriptors,
        **owner.credentials(),
    )
    # A single-user server goes on after an error and ends well.
    if done.returncode != 0 or "ERROR:" in done.stderr:
        said = (done.stderr or done.stdout).strip()
        raise NoDatabase(f"cannot make a database: {Path(command[0]).name} said\n{said}")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
