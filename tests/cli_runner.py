"""Runs the `taskq` command: in this process, as a process of its own, and on a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner, Result

from taskq.cli import cli


@dataclass(frozen=True)
class Taskq:
    """The command, on one database."""

    dsn: str

    async def __call__(self, *args: object, code: int = 0, input: str | None = None) -> str:
        """What it prints; it must end with this exit code."""
        result = await self.run(*args, input=input)
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        return result.stdout

    async def json(self, *args: object, code: int = 0, input: str | None = None) -> Any:
        """What it prints with --json, decoded."""
        return json.loads(await self(*args, "--json", code=code, input=input))

    async def error(self, *args: object, code: int, input: str | None = None) -> str:
        """What it says on stderr; it must end with this exit code."""
        result = await self.run(*args, input=input)
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        return result.stderr

    async def run(self, *args: object, input: str | None = None) -> Result:
        """Run it in a thread: it brings its own event loop."""
        words = ["--database", self.dsn, *map(str, args)]
        return await asyncio.to_thread(CliRunner().invoke, cli, words, input=input)

    async def start(self, *args: object, **environ: str) -> asyncio.subprocess.Process:
        """Start it as a process of its own, with stdout and stderr as pipes."""
        return await start("--database", self.dsn, *args, **environ)

    async def on_terminal(
        self,
        *args: object,
        seen: bytearray | None = None,
        typed: Sequence[tuple[bytes, bytes]] = (),
        **environ: str,
    ) -> tuple[int, str]:
        """Exit code and output of a process on a terminal of 80 columns.

        :param seen: grows as the output comes.
        :param typed: what is waited for in the output, and what is typed then, in this order.
        """
        words = ["--database", self.dsn, *map(str, args)]
        seen = bytearray() if seen is None else seen
        return await asyncio.to_thread(on_terminal, words, environ, seen, list(typed))


async def start(*args: object, cwd: str | None = None, **environ: str) -> asyncio.subprocess.Process:
    """Start `python -m taskq` with these additions to the environment."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "taskq", *map(str, args),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ}, cwd=cwd,
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process, timeout: float = 30) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process that ends by itself."""
    async with asyncio.timeout(timeout):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def on_terminal(
    args: list[str], environ: Mapping[str, str], seen: bytearray, typed: list[tuple[bytes, bytes]]
) -> tuple[int, str]:
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    environment = {**plain, "TERM": "xterm-256color", **environ}
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "taskq", *args],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, other, fd) for fd in (0, 1, 2)],
    )
    os.close(other)
    try:
        while chunk := os.read(main, 65536):
            seen += chunk
            if typed and typed[0][0] in seen:
                os.write(main, typed.pop(0)[1])
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(main)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen.decode().replace("\r\n", "\n")
