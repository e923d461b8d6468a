"""What taskq reads from the environment, and nothing else does.

| variable             | meaning                                                         | default       |
|----------------------|-----------------------------------------------------------------|---------------|
| TASKQ_DATABASE_URL   | the database                                                    | DATABASE_URL  |
| DATABASE_URL         | the database, where the first is not set                        | embedded      |
| TASKQ_LISTEN_URL     | a direct connection, where the first is a transaction pooler    | the database  |
| TASKQ_HOME           | directory of the embedded server, and of agents' own files      | .taskq        |
| TASKQ_LEASE          | how long a claim holds without a heartbeat                      | 60 s          |
| TASKQ_HEARTBEAT      | time between two extensions of the leases                       | 15 s          |
| TASKQ_GRACE          | how long a draining worker waits for its handlers               | 30 s          |
| TASKQ_SWEEP          | time between two looks at the queue when no bell rings          | 30 s          |
| TASKQ_PRICES         | file of the models' prices, in place of the one that is shipped | shipped       |
| ANTHROPIC_API_KEY    | key of the Messages API                                         | none          |
| ANTHROPIC_BASE_URL   | address of the Messages API                                     | the public one|

A variable that is set to nothing counts as not set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

from taskq.errors import SettingsError

UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
SECRETS = ("PG", "TASKQ_", "DATABASE_URL", "ANTHROPIC_")
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
USERINFO = re.compile(r"://([^\s:/@?#]*):([^\s@]+)@([^\s:/?#]*)(?::\d*)?/?([^\s?#]*)")
PASSWORD_IN_URL = re.compile(r"[?&]password=([^&\s#]+)", re.IGNORECASE)


def duration(text: str) -> timedelta:
    """The length of time that `text` names: "60", "60s", "2min", "1.5h", "500ms", "1d".

    A bare number counts seconds.  Raises SettingsError when `text` is none of these.
    """
    match = DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in UNITS:
        raise SettingsError(f"{text!r} is no duration; write seconds (60) or 500ms, 60s, 2min, 1h, 1d")
    try:
        return timedelta(seconds=float(match[1]) * UNITS[match[2]])
    except OverflowError:
        raise SettingsError(f"{text!r} is too long a duration") from None


def redacted(url: str) -> str:
    """`url` (a connection URL or libpq's key=value form) with its passwords replaced by `***`."""
    # Greedy up to the last @: an unquoted @ or / inside a password must not let its rest through.
    without_userinfo = re.sub(r"(://[^:@/?]*):.*@", r"\1:***@", url)
    return re.sub(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]+)", r"\1***", without_userinfo, flags=re.I)


def child_environment() -> dict[str, str]:
    """The environment for a server that we start: ours without PG* (it would obey them), secrets, locale."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*SECRETS, "LC_"))}
    return {**kept, "LC_ALL": "C"}


def secrets(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """The secrets that `environ` (this process's environment by default) holds, so that they can be redacted.

    They are the values of variables whose names contain KEY, TOKEN, SECRET or PASSWORD, and the passwords in
    URLs.  A password that its URL says in the open too, as `postgres:postgres@` does, is no secret.
    """
    found = set()
    for name, value in (os.environ if environ is None else environ).items():
        if SECRET_NAME.search(name):
            found.add(value.strip())
        for user, password, *rest in USERINFO.findall(value):
            if password not in (user, *rest):
                found |= {password, unquote(password)}
        for password in PASSWORD_IN_URL.findall(value):
            found |= {password, unquote(password)}
    return frozenset(found - {""})


def command_environment(names: Iterable[str]) -> dict[str, str]:
    """The environment for a command of an agent: PATH, LANG and the named variables, where they are set."""
    given = {name: os.environ[name] for name in ("PATH", "LANG", *names) if os.environ.get(name)}
    return {"PATH": os.defpath, **given}


@dataclass(frozen=True)
class Settings:
    """How this process reaches its database and how patient it is.

    `database_url` None means the embedded server in `home`; `listen_url` None means the same as the database.
    Raises SettingsError when the values contradict each other.
    """

    database_url: str | None = None
    listen_url: str | None = None
    home: Path = Path(".taskq")
    lease: timedelta = timedelta(seconds=60)
    heartbeat: timedelta = timedelta(seconds=15)
    grace: timedelta = timedelta(seconds=30)
    sweep: timedelta = timedelta(seconds=30)
    prices: Path | None = None
    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of `environ` (this process's environment by default).

        Raises SettingsError, naming the variable, when one cannot be understood.
        """
        env = {name: value for name, value in (os.environ if environ is None else environ).items() if value}
        return cls(
            database_url=_url(env, "TASKQ_DATABASE_URL") or _url(env, "DATABASE_URL"),
            listen_url=_url(env, "TASKQ_LISTEN_URL"),
            home=Path(env.get("TASKQ_HOME", cls.home)).expanduser(),
            lease=_duration(env, "TASKQ_LEASE", cls.lease),
            heartbeat=_duration(env, "TASKQ_HEARTBEAT", cls.heartbeat),
            grace=_duration(env, "TASKQ_GRACE", cls.grace),
            sweep=_duration(env, "TASKQ_SWEEP", cls.sweep),
            prices=Path(env["TASKQ_PRICES"]).expanduser() if "TASKQ_PRICES" in env else None,
            anthropic_api_key=env.get("ANTHROPIC_API_KEY"),
            anthropic_base_url=env.get("ANTHROPIC_BASE_URL"),
        )

    def __post_init__(self) -> None:
        for name in ("lease", "heartbeat", "grace", "sweep"):
            if getattr(self, name) <= timedelta(0):
                raise SettingsError(f"TASKQ_{name.upper()} must be longer than nothing")
        if self.heartbeat * 2 > self.lease:
            raise SettingsError(
                f"TASKQ_HEARTBEAT ({_seconds(self.heartbeat)}) must be at most half of TASKQ_LEASE "
                f"({_seconds(self.lease)}): a lease has to outlive one late heartbeat"
            )

    def __repr__(self) -> str:
        database = redacted(self.database_url) if self.database_url else "embedded"
        listen = redacted(self.listen_url) if self.listen_url else "the database"
        times = ", ".join(
            f"{n}={_seconds(getattr(self, n))}" for n in ("lease", "heartbeat", "grace", "sweep")
        )
        key = "set" if self.anthropic_api_key else "not set"
        return f"Settings(database={database}, listen={listen}, home={self.home}, {times}, api_key={key})"


def _url(env: Mapping[str, str], name: str) -> str | None:
    url = env.get(name)
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"{name} must be a URL that starts with postgresql:// or postgres://")
    return url


def _duration(env: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    if name not in env:
        return default
    try:
        return duration(env[name])
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():g}s"
