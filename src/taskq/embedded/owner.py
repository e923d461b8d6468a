"""Whom the server runs as: PostgreSQL refuses to run as root, so root lends it to an unprivileged user."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskq.errors import NoDatabase

UNPRIVILEGED = ("postgres", "nobody", "daemon")


@dataclass(frozen=True)
class Owner:
    """The user that owns the data directory and runs the server.  `lent`: it is not the user that we are."""

    uid: int
    gid: int
    lent: bool

    @classmethod
    def of(cls, data: Path) -> Owner:
        """The owner of the data directory `data`, or who shall own it once it is there.

        Raises NoDatabase when it belongs to another user, or there is nobody to lend it to.
        """
        me = os.geteuid()
        owner = data.stat() if data.exists() else None
        if me == 0:
            return cls(owner.st_uid, owner.st_gid, lent=True) if owner and owner.st_uid else _unprivileged()
        if owner and owner.st_uid != me:
            raise NoDatabase(f"{data} belongs to user {owner.st_uid}, and this is user {me}")
        return cls(me, os.getegid(), lent=False)

    def credentials(self) -> dict[str, Any]:
        """Arguments that make `subprocess` run a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.lent else {}

    def take(self, path: Path) -> None:
        """Make `path`, a directory, this user's own: nobody else may enter."""
        path.chmod(0o700)
        if self.lent:
            os.chown(path, self.uid, self.gid)

    def reaches(self, directory: Path) -> bool:
        """Whether this user can enter `directory`: all that lies above it counts."""
        if not self.lent:
            return True
        enter = ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)]
        quiet = subprocess.DEVNULL
        return subprocess.run(enter, cwd="/", stderr=quiet, **self.credentials()).returncode == 0


def _unprivileged() -> Owner:
    for name in UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return Owner(user.pw_uid, user.pw_gid, lent=True)
    raise NoDatabase(
        f"PostgreSQL does not run as root, and there is no user {', '.join(UNPRIVILEGED[:-1])} or "
        f"{UNPRIVILEGED[-1]} to run it as; run taskq as an ordinary user, or set TASKQ_DATABASE_URL"
    )
