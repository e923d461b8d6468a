"""Mission Control beside the demo: a real `taskq serve`, in which people watch the mission."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen
from uuid import UUID

from taskq.cli.demo.facts import Fact
from taskq.cli.demo.failed import DemoFailed
from taskq.cli.serve import NEEDED

SAYS = b"Mission Control: "
START_LIMIT = 30.0
PATIENCE = 10.0
"""Seconds in which a page must come, and the server end."""


@dataclass
class MissionControl:
    """A server, and how the page of a mission came."""

    url: str
    seconds: list[float] = field(default_factory=list)
    """How long each page took that was fetched."""
    fault: str = "its page was never fetched"

    def page_of(self, mission: UUID) -> str:
        """The address of a mission."""
        return f"{self.url}missions/{mission}"

    async def look(self, mission: UUID) -> None:
        """Fetch the page of a mission, as a browser would."""
        began = time.monotonic()
        try:
            text = await asyncio.to_thread(fetch, self.page_of(mission))
        except OSError as error:
            self.fault = str(error)
            return
        if str(mission) in text:  # a login page, where there are tokens, names it as the place to return to
            self.seconds.append(time.monotonic() - began)
        else:
            self.fault = "its page does not speak of it"

    def fact(self) -> Fact:
        """Whether the page was there while the mission ran."""
        worst = f"at most {max(self.seconds) * 1000:.0f} ms a page" if self.seconds else self.fault
        return Fact("Mission Control showed the mission while it ran", bool(self.seconds), worst)


def fetch(url: str) -> str:
    """The text of a page.

    :raises OSError: it did not come.
    """
    with urlopen(url, timeout=PATIENCE) as response:
        return str(response.read().decode())


@asynccontextmanager
async def mission_control(dsn: str, directory: Path) -> AsyncIterator[MissionControl | None]:
    """A server for as long as the block lasts; None where the extra `web` is not installed.

    :param directory: where its log goes.
    :raises DemoFailed: it did not start.
    """
    if any(find_spec(name) is None for name in NEEDED):
        yield None
        return
    log = directory / "demo-serve.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "taskq", "--database", dsn, "serve", "--port", "0"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for the demo, which stops it itself
        )
    try:
        yield MissionControl(await where(process, log))
    finally:
        for end in (process.terminate, process.kill):
            with suppress(ProcessLookupError):
                end()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE)


async def where(process: asyncio.subprocess.Process, log: Path) -> str:
    """Where it says that it listens.

    :raises DemoFailed: it ended, or said nothing in time.
    """
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT)
    except TimeoutError:
        line = b""
    if not line.startswith(SAYS):
        raise DemoFailed(f"Mission Control does not start; see {log}")
    return line.removeprefix(SAYS).decode().strip()
