"""The command as such: help, errors, exit codes, completion."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

import backend
from cli_runner import Taskq, finish, start
from taskq import __version__
from taskq.cli import cli

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
NOWHERE = "postgresql://nobody:s3cret@127.0.0.1:1/none"


@pytest.fixture
def taskq(dsn: str) -> Taskq:
    return Taskq(dsn)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from taskq.cli import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    seen = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert not {"rich", "alembic", "sqlalchemy", "anthropic", "yaml", "uvicorn"} & set(seen)


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_has_help_that_fits_on_its_line(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    listed = CliRunner().invoke(cli, ["--help"]).stdout
    assert "..." not in listed.partition("Commands:")[2]


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout.strip().endswith(__version__)


async def test_an_unreachable_database_is_one_line_and_exit_code_5() -> None:
    error = await Taskq(NOWHERE).error("list", code=5)
    assert len(error.splitlines()) == 1
    assert "s3cret" not in error
    assert "Traceback" not in error


async def test_a_database_without_the_schema_is_exit_code_5(databases: backend.Databases) -> None:
    async with databases.database() as empty:
        assert "taskq migrate" in await Taskq(empty).error("list", code=5)


async def test_an_unknown_task_is_exit_code_3(taskq: Taskq) -> None:
    for verb in ("show", "explain", "cancel", "retry", "requeue", "rerun", "approve", "reject", "complete"):
        error = await taskq.error(verb, uuid4(), code=3)
        assert error.startswith("taskq: there is no task ")
        assert len(error.splitlines()) == 1


async def test_a_setting_that_cannot_be_understood_is_exit_code_2() -> None:
    code, out, error = await finish(await start("list", TASKQ_LEASE="soon", TASKQ_DATABASE_URL=NOWHERE))
    assert (code, out) == (2, "")
    assert "TASKQ_LEASE" in error
    assert len(error.splitlines()) == 1


async def test_usage_errors_are_exit_code_2(taskq: Taskq) -> None:
    await taskq.error("enqueue", code=2)
    await taskq.error("cancel", code=2)
    await taskq.error("list", "--status", "done", code=2)
    await taskq.error("no-such-command", code=2)
    assert "postgresql://" in await Taskq("mysql://x").error("list", code=2)


async def test_traceback_shows_an_error_whole() -> None:
    code, _, error = await finish(await start("--traceback", "--database", NOWHERE, "list"))
    assert code == 1
    assert "Traceback (most recent call last)" in error


async def test_a_bug_is_one_line_and_exit_code_70(taskq: Taskq, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(_queue: object) -> None:
        raise ZeroDivisionError("oh\n\x1b[31mno")

    monkeypatch.setattr("taskq.client.Queue.tend", stumble)
    error = await taskq.error("tend", code=70)
    assert error == "taskq: ZeroDivisionError: oh [31mno; see where with: taskq --traceback …\n"


async def test_an_interrupt_ends_it_without_a_word(taskq: Taskq) -> None:
    id = (await taskq("enqueue", "nobody")).strip()
    process = await taskq.start("show", id, "--follow")
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(2)
    assert await finish(process) == (130, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(shell: str) -> None:
    result = CliRunner().invoke(cli, ["--show-completion", shell])
    assert result.exit_code == 0
    assert "_TASKQ_COMPLETE" in result.stdout


async def test_completion_knows_commands_and_options() -> None:
    async def complete(words: str, at: int) -> str:
        environ = {"_TASKQ_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        return (await finish(await start(**environ)))[1]

    assert "plain,explain" in await complete("taskq exp", 1)
    assert "plain,awaiting_approval" in await complete("taskq list --status aw", 3)


async def test_output_goes_to_a_closed_pipe_in_silence(taskq: Taskq) -> None:
    for _ in range(3):
        await taskq("enqueue", "nobody")
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m taskq --database '{taskq.dsn}' list --json | head -1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, out, error = await finish(process)
    assert (out, error) == ("[\n", "")


async def test_without_a_url_there_is_a_server_of_our_own() -> None:
    home = backend.run_directory() / f"cli-{uuid4().hex[:6]}"
    environ = {"TASKQ_HOME": str(home), "TASKQ_DATABASE_URL": "", "DATABASE_URL": ""}
    code, out, error = await finish(await start("migrate", "--check", **environ), timeout=120)
    assert (code, error) == (1, "")
    assert "missing" in out
    code, out, error = await finish(await start("enqueue", "nobody", **environ), timeout=120)
    assert (code, error) == (0, "")
    code, again, error = await finish(await start("list", "--json", **environ), timeout=120)
    assert code == 0
    assert out.strip() in again
    assert home.is_dir()


def test_the_reference_names_every_command_and_option() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    parts = dict(re.findall(r"^### taskq ([\w-]+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    assert sorted(parts) == sorted(cli.commands)
    general = text.partition("## Work")[0] + text.partition("## Act")[2].partition("###")[0]
    for name, command in cli.commands.items():
        parts_of_it = [command, *getattr(command, "commands", {}).values()]
        options = {o for c in parts_of_it for p in c.params for o in p.opts if o.startswith("--")}
        named = set(re.findall(r"--[a-z-]+", parts[name]))
        assert options <= named, name
        assert named - options <= set(re.findall(r"--[a-z-]+", general)), name
