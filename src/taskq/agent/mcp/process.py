"""An MCP server that runs as a process of ours and speaks JSON lines over its pipes.

In place of the package's own transport: that leaves the children of a server which ended by itself alive, may
take six seconds to end one, and reads a line of any length.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

import anyio
from mcp.shared.message import SessionMessage
from mcp_types.jsonrpc import jsonrpc_message_adapter

from taskq.agent.mcp.server import Server
from taskq.settings import command_environment

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

LINE_BYTES = 8 * 1024 * 1024
"""A server that says a longer line is taken for dead."""
END_SECONDS = 1.0
"""How long a server may take to end once its input is closed, and again once it is told to."""
ENVIRONMENT = ("HOME", "TMPDIR")
"""The variables that every server is given beside those of every command."""
_ERROR_BYTES = 500


class Process:
    """The transport to a server's process, which leads a group of its own: a context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._errors = b""

    @property
    def last_words(self) -> str:
        """The end of what the server wrote to its standard error."""
        return self._errors.decode("utf-8", "replace").strip()

    async def __aenter__(
        self,
    ) -> tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]:
        """:raises OSError: the command cannot be run."""
        process = await asyncio.create_subprocess_exec(
            *self._server.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=command_environment([*ENVIRONMENT, *self._server.env]),
            start_new_session=True,
            limit=LINE_BYTES,
        )
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        heard, hears = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        says, said = anyio.create_memory_object_stream[SessionMessage](0)
        self._tasks = [
            asyncio.create_task(_read(process.stdout, heard)),
            asyncio.create_task(_write(process.stdin, said)),
            asyncio.create_task(self._listen(process.stderr)),
        ]
        return hears, says

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the server: its input is closed, then it is told to end, then its whole group is killed."""
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.close()
            if not await self._ended():
                self._signal(signal.SIGTERM)
                await self._ended()
            self.kill()
            # To its end, where it has one: those are the last words.
            await asyncio.wait(self._tasks[-1:], timeout=END_SECONDS)
        finally:
            self.kill()
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """Kill what is left of the server's group."""
        self._signal(signal.SIGKILL)

    async def _ended(self) -> bool:
        """Whether the process ends, and its pipes are closed, within END_SECONDS."""
        assert self._process is not None
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            # The group outlives its leader while there are others in it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            self._errors = (self._errors + chunk)[-_ERROR_BYTES:]


async def _read(
    stream: asyncio.StreamReader, heard: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    """Pass on what the server says until it says no more; the session then knows that it is gone."""
    async with heard:
        # ValueError: a line that is too long.  The others: the session has closed its end.
        with suppress(ValueError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while line := await stream.readline():
                await heard.send(_message(line))


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _write(stream: asyncio.StreamWriter, said: MemoryObjectReceiveStream[SessionMessage]) -> None:
    """Pass on what the session says until it says no more, or the server no longer listens."""
    async with said:
        with suppress(OSError):
            async for message in said:
                stream.write(
                    message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                )
                await stream.drain()
