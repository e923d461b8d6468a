"""Mission Control for tests: a real `taskq serve`, and a real Chromium to look at it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
SCREENSHOTS = Path(os.environ.get("TASKQ_SCREENSHOTS", "test-screenshots"))
PATIENCE = 30.0


@dataclass
class MissionControl:
    """A `taskq serve` on a database; it can be killed and started again at the same port."""

    dsn: str
    port: int
    process: asyncio.subprocess.Process | None = None
    options: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "taskq",
            "--database",
            self.dsn,
            "serve",
            "--port",
            str(self.port),
            *self.options,
            start_new_session=True,
        )
        async with httpx2.AsyncClient() as client:
            for _ in range(int(PATIENCE * 20)):
                try:
                    await client.get(f"{self.url}/static/icon.svg")
                    return
                except httpx2.TransportError:
                    assert self.process.returncode is None, "taskq serve has ended"
                    await asyncio.sleep(0.05)
        raise TimeoutError(f"taskq serve does not answer after {PATIENCE:g} s")

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def serving(dsn: str, *options: str) -> AsyncIterator[MissionControl]:
    """A Mission Control for as long as the block lasts."""
    control = MissionControl(dsn, free_port(), options=list(options))
    await control.start()
    try:
        yield control
    finally:
        await control.stop()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium; where there is none the test is skipped, or fails on CI."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    async with async_playwright() as playwright:
        if path is None and not os.access(playwright.chromium.executable_path, os.X_OK):
            (pytest.fail if os.environ.get("CI") else pytest.skip)(
                "no Chromium on this machine: bin/browser installs one"
            )
        browser = await playwright.chromium.launch(executable_path=path, args=QUIET)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking(browser: Browser, url: str, **options: Any) -> AsyncIterator[Page]:
    """A page in a browser of its own (cookies, storage); an error in its scripts fails the test."""
    context = await browser.new_context(base_url=url, **options)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None,
    )
    page.set_default_timeout(PATIENCE * 1000)
    try:
        yield page
        assert not faults, faults
    finally:
        await context.close()


async def photograph(page: Page, name: str) -> None:
    """Keep a screenshot of the whole page, for people to look at."""
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


async def no_serious_fault(page: Page) -> None:
    """axe-core finds nothing serious or critical, in light and in dark."""
    for theme in ("light", "dark"):
        await page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        found = await Axe().run(page)
        faults = [
            f"{theme}: {fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]}"
            for fault in found.response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert not faults, "\n".join(faults)
