"""The embedded server: started by the first, shared by all, stopped with the last, whatever is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import backend
from taskq.embedded import Server, binaries, ensure
from taskq.embedded.home import Home
from taskq.embedded.owner import Owner
from taskq.errors import NoDatabase
from taskq.settings import Settings

DEADLINE = 60.0
QUICK = {"fsync": "off"}
AS_ROOT = os.geteuid() == 0
OLD = Path("/usr/lib/postgresql/15/bin")
SOURCES = Path(__file__).parents[1] / "src"

# A user of the server in another process: it says which postmaster it got, and stays until its input ends.
USER = """
import asyncio, sys
from pathlib import Path
import asyncpg
from taskq.embedded import ensure
from taskq.settings import Settings

async def main():
    async with await ensure(Settings(home=Path(sys.argv[1])), options={"fsync": "off"}) as server:
        connection = await asyncpg.connect(server.dsn)
        print(await connection.fetchval("select current_user"), server.postmaster_pid, flush=True)
        await connection.close()
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own; a server in it ends with the test."""
    path = Path(tempfile.mkdtemp(prefix="tq-", dir=backend.scratch()))
    path.chmod(0o755)
    yield path
    for plan in path.rglob("server.json"):
        wait_for_the_end(Home(plan.parent))
    shutil.rmtree(path)


@pytest.fixture
def settings(place: Path) -> Settings:
    return Settings(home=place / "home")


def user_of(pid: int) -> str:
    return Path(f"/proc/{pid}").owner()


def mode_of(path: Path) -> int:
    return path.stat().st_mode


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


async def becomes(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, condition)


def wait_for_the_end(home: Home) -> None:
    wait_until(lambda: not home.supervised())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def write_a_row(server: Server) -> None:
    async with connected(server) as connection:
        await connection.execute("create table kept (id int)")
        await connection.execute("insert into kept values (42)")


async def the_row(server: Server) -> object:
    async with connected(server) as connection:
        return await connection.fetchval("select id from kept")


async def the_row_in_time(server: Server) -> object:
    """The row, as a client with patience gets it while the server is started again."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return await the_row(server)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            assert time.monotonic() < deadline, "the server did not come back in time"
            await asyncio.sleep(0.01)


@contextmanager
def user_process(
    settings: Settings, python: str = sys.executable, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    command = [python, "-c", USER, str(settings.home)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def postmaster_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    return int(process.stdout.readline().split()[1])


async def test_from_nothing_to_a_durable_server_that_no_network_reaches(settings: Settings) -> None:
    async with await ensure(settings) as server, connected(server) as connection:
        assert await connection.fetchval("select current_database()") == "taskq"
        assert await connection.fetchval("show fsync") == "on"
        assert await connection.fetchval("show listen_addresses") == ""
        assert await connection.fetchval("show max_connections") == "200"
        assert await connection.fetchval("select upper('straße ñ')") in ("STRASSE Ñ", "STRAßE Ñ", "STRAßE ñ")
        assert (settings.home / ".gitignore").read_text() == "*\n"
        sockets = Path(Home(settings.home).plan().sockets)
        assert mode_of(sockets) & 0o077 == 0, "only the owner may connect, for no password is asked"
    await becomes(lambda: not is_alive(server.postmaster_pid))


async def test_psql_gets_in_with_the_printed_command(settings: Settings) -> None:
    async with await ensure(settings, options=QUICK) as server:
        command = f"{server.psql_command()} -Atc 'select 6 * 7'"
        assert (await asyncio.to_thread(subprocess.check_output, command, shell=True, text=True)) == "42\n"
        assert (server.bin / "pgbench").exists()


async def test_the_environment_of_a_client_does_not_lead_astray(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGDATA"):
        monkeypatch.setenv(name, "1")
    async with await ensure(settings, options=QUICK) as server, connected(server) as connection:
        assert await connection.fetchval("select current_user || '@' || current_database()") == "taskq@taskq"


async def test_a_second_process_adopts_and_the_server_outlives_the_first(settings: Settings) -> None:
    with user_process(settings) as first:
        postmaster = await asyncio.to_thread(postmaster_of, first)
        async with await ensure(settings) as server:
            assert server.postmaster_pid == postmaster
            first.kill()
            first.wait()
            await write_a_row(server)
            assert await the_row(server) == 42
            assert server.postmaster_pid == postmaster
    await becomes(lambda: not is_alive(postmaster))


async def test_processes_that_start_at_once_get_one_server(settings: Settings) -> None:
    with user_process(settings) as a, user_process(settings) as b, user_process(settings) as c:
        assert len({await asyncio.to_thread(postmaster_of, each) for each in (a, b, c)}) == 1


async def test_the_last_release_stops_the_server_and_the_rows_stay(settings: Settings) -> None:
    first, second = await ensure(settings), await ensure(settings)
    postmaster = first.postmaster_pid
    await write_a_row(first)
    await first.release()
    await first.release()
    assert await the_row(second) == 42
    await second.release()
    await becomes(lambda: not is_alive(postmaster))
    async with await ensure(settings) as third:
        assert third.postmaster_pid != postmaster
        assert await the_row(third) == 42


async def test_a_server_that_is_just_stopping_is_no_obstacle(settings: Settings) -> None:
    for _ in range(5):
        async with await ensure(settings, options=QUICK) as server, connected(server) as connection:
            assert await connection.fetchval("select 1") == 1


async def test_a_killed_user_counts_as_gone(settings: Settings) -> None:
    with user_process(settings) as process:
        postmaster = await asyncio.to_thread(postmaster_of, process)
        process.kill()
    await becomes(lambda: not is_alive(postmaster))


async def test_a_killed_postmaster_is_started_again_for_its_users(settings: Settings) -> None:
    async with await ensure(settings) as server:
        await write_a_row(server)
        supervisor, postmaster = server.supervisor_pid, server.postmaster_pid
        for _ in range(3):
            os.kill(server.postmaster_pid, signal.SIGKILL)
            assert await the_row_in_time(server) == 42
        assert server.supervisor_pid == supervisor
        assert server.postmaster_pid != postmaster


async def test_a_killed_supervisor_is_replaced_by_a_user(settings: Settings) -> None:
    async with await ensure(settings, options=QUICK) as server, await ensure(settings) as other:
        await write_a_row(server)
        supervisor, postmaster = server.supervisor_pid, server.postmaster_pid
        os.kill(supervisor, signal.SIGKILL)
        await becomes(lambda: not is_alive(postmaster))
        assert await the_row_in_time(other) == 42
        assert server.supervisor_pid != supervisor
        async with connected(server) as connection:
            assert await connection.fetchval("show fsync") == "off", (
                "the options are those of the first start"
            )


async def test_after_all_were_killed_at_once_the_next_start_has_every_row(settings: Settings) -> None:
    with user_process(settings) as process:
        postmaster = await asyncio.to_thread(postmaster_of, process)
        server = await ensure(settings)
        await write_a_row(server)
        server.close()
        supervisor = server.supervisor_pid
        for pid in (process.pid, supervisor, postmaster):
            os.kill(pid, signal.SIGKILL)
        await becomes(lambda: not (is_alive(supervisor) or is_alive(postmaster)))
    async with await ensure(settings) as server:
        assert await the_row(server) == 42


async def test_a_start_right_after_the_supervisor_was_killed_does_not_get_the_dying_server(
    settings: Settings,
) -> None:
    with user_process(settings) as process:
        postmaster = await asyncio.to_thread(postmaster_of, process)
        server = await ensure(settings)
        await write_a_row(server)
        server.close()
        process.kill()
        supervisor = server.supervisor_pid
        os.kill(supervisor, signal.SIGKILL)
        await becomes(lambda: not is_alive(supervisor))
        async with await ensure(settings) as server:
            assert server.postmaster_pid != postmaster
            assert await the_row(server) == 42


async def test_a_stranger_with_the_old_pid_does_not_keep_the_server_down(settings: Settings) -> None:
    async with await ensure(settings, options=QUICK) as server:
        postmaster = server.postmaster_pid
        pid_file = settings.home / "data" / "postmaster.pid"
        left_behind = pid_file.read_text()
    await becomes(lambda: not is_alive(postmaster))
    borrower = Owner.of(settings.home / "data").credentials()
    stranger = await asyncio.create_subprocess_exec("sleep", "60", cwd="/", **borrower)
    pid_file.write_text(left_behind.replace(str(postmaster), str(stranger.pid), 1))
    async with await ensure(settings, options=QUICK) as server, connected(server) as connection:
        assert await connection.fetchval("select 1") == 1
    stranger.kill()
    await stranger.wait()


async def test_a_deep_home_gets_a_short_socket_that_goes_with_the_server(place: Path) -> None:
    settings = Settings(home=place / ("a deep, odd 'path'/" * 8) / "home")
    async with await ensure(settings, options=QUICK) as server:
        sockets = Path(Home(settings.home).plan().sockets)
        assert settings.home not in sockets.parents
        async with await ensure(settings) as adopted:
            assert adopted.dsn == server.dsn
        await write_a_row(server)
        os.kill(server.supervisor_pid, signal.SIGKILL)
        assert await the_row_in_time(server) == 42, "the address is the same after a new start"
    await becomes(lambda: not sockets.exists())


async def test_an_interrupted_creation_leaves_nothing_in_the_way(settings: Settings) -> None:
    (settings.home / "data.new" / "base").mkdir(parents=True)
    async with await ensure(settings, options=QUICK) as server, connected(server) as connection:
        assert await connection.fetchval("select 1") == 1


async def test_without_create_nothing_is_made(settings: Settings) -> None:
    with pytest.raises(NoDatabase, match="TASKQ_DATABASE_URL"):
        await ensure(settings, create=False)
    assert not settings.home.exists()


async def test_a_server_that_does_not_start_says_why(settings: Settings) -> None:
    with pytest.raises(NoDatabase, match="no_such_setting"):
        await ensure(settings, options={"no_such_setting": "1"})
    async with await ensure(settings, options=QUICK) as server, connected(server) as connection:
        assert await connection.fetchval("show fsync") == "off"


async def test_without_any_postgresql_the_ways_out_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "directories", lambda: iter(()))
    with pytest.raises(NoDatabase) as refused:
        await ensure(settings)
    for way in ("TASKQ_DATABASE_URL", "pip install 'taskq-pg[embedded]'", "install PostgreSQL 15"):
        assert way in str(refused.value)


async def test_a_data_directory_of_an_unknown_version_is_refused_and_left_alone(settings: Settings) -> None:
    data = settings.home / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    if AS_ROOT:
        os.chown(data, 65534, 65534)
    with pytest.raises(NoDatabase, match=r"PostgreSQL 9, which made the data directory.*found only \d+"):
        await ensure(settings)
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


async def test_a_directory_that_is_no_data_directory_is_refused_and_left_alone(settings: Settings) -> None:
    (settings.home / "data").mkdir(parents=True)
    with pytest.raises(NoDatabase, match="no data directory"):
        await ensure(settings)
    assert (settings.home / "data").exists()


@pytest.mark.skipif(not (OLD / "postgres").exists(), reason=f"no PostgreSQL 15 in {OLD}")
async def test_data_made_by_the_oldest_version_is_served_by_it_though_a_newer_one_is_preferred(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(binaries, "directories", lambda: iter([OLD]))
        async with await ensure(settings) as server:
            await write_a_row(server)
    preferred = next(binaries.directories())
    async with await ensure(settings) as server, connected(server) as connection:
        assert connection.get_server_version().major == 15
        assert server.bin == OLD != preferred
        assert await the_row(server) == 42


@pytest.mark.skipif(not AS_ROOT, reason="only root meets directories that the server's user cannot enter")
@pytest.mark.parametrize("bin", [None, OLD], ids=["preferred", "oldest"])
async def test_root_may_keep_home_and_programs_where_only_root_can_go(
    place: Path, bin: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = bin or next(binaries.directories())
    if not (programs / "postgres").exists():
        pytest.skip(f"no PostgreSQL in {programs}")
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    if bin is None:
        package = programs.parents[1]
        for directory in (package, package.with_name(f"{package.name}.libs")):
            (closed / directory.name).symlink_to(directory)
        programs = closed / programs.relative_to(package.parent)
    monkeypatch.setattr(binaries, "directories", lambda: iter([programs]))
    monkeypatch.setattr(binaries, "CACHE", place / "cache")
    settings = Settings(home=closed / "home")
    async with await ensure(settings, options=QUICK) as server:
        await write_a_row(server)
        os.kill(server.postmaster_pid, signal.SIGKILL)
        assert await the_row_in_time(server) == 42
        assert server.bin == programs
    assert (place / "cache").exists() == (bin is None)


@pytest.mark.skipif(not AS_ROOT, reason="all these tests run as an ordinary user already")
async def test_an_ordinary_user_needs_no_privilege_and_shares_with_root(place: Path) -> None:
    nobody = {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/"}
    packages = Path(asyncpg.__file__).parents[1]
    nobody["env"] = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{SOURCES}:{packages}"}
    python = next((python for python in (sys.executable, "/usr/bin/python3") if works(python, nobody)), None)
    if python is None:
        pytest.skip("no Python that the user nobody can run sees taskq and asyncpg")
    own = place / "own"
    own.mkdir()
    shutil.chown(own, "nobody")
    settings = Settings(home=own / "home")
    with user_process(settings, python, **nobody) as process:
        postmaster = await asyncio.to_thread(postmaster_of, process)
        assert user_of(postmaster) == "nobody"
        async with await ensure(settings, create=False) as server:
            assert server.postmaster_pid == postmaster, "root adopts the user's server"
            await write_a_row(server)
    await becomes(lambda: not is_alive(postmaster))
    async with await ensure(settings, create=False) as server:
        assert user_of(server.postmaster_pid) == "nobody", "root starts it as the user"
        assert await the_row(server) == 42
        with user_process(settings, python, **nobody) as process:
            assert await asyncio.to_thread(postmaster_of, process) == server.postmaster_pid


def works(python: str, options: dict[str, Any]) -> bool:
    try:
        command = [python, "-c", "import asyncpg, taskq.embedded"]
        return subprocess.run(command, stderr=subprocess.DEVNULL, **options).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(AS_ROOT, reason="root may use the server of any user")
async def test_a_home_of_another_user_is_refused_with_a_reason() -> None:
    with pytest.raises(NoDatabase, match="belongs to user 0"):
        Owner.of(Path("/usr"))
