"""Mission Control and Postgres are killed while pages are open: the pages recover by themselves."""

from __future__ import annotations

import os
import signal

import httpx2
from playwright.async_api import Page, expect

from mission_control import chromium, looking, serving
from support import eventually
from taskq import Queue
from taskq.embedded import Server

OPENED = "window.opened = window.opened || Math.random()"


async def test_pages_recover_from_a_killed_server_and_a_killed_database(server: Server) -> None:
    async with (
        Queue(server.dsn) as queue,
        serving(server.dsn) as control,
        chromium() as browser,
        looking(browser, control.url) as page,
    ):
        await queue.enqueue("before")
        await page.goto("/")
        opened = await page.evaluate(OPENED)
        await shows(page, "before", "live")

        await control.kill()
        await expect(page.locator("#live")).to_have_attribute("data-state", "lost")
        await queue.enqueue("meanwhile")
        await control.start()
        await shows(page, "meanwhile", "live")

        postmaster = server.postmaster_pid
        os.kill(postmaster, signal.SIGKILL)
        await patiently_enqueue(queue, "afterwards")
        await shows(page, "afterwards", "live")
        await shows(page, "before", "live")
        assert await page.evaluate(OPENED) == opened, "the page was loaded anew"


async def test_a_page_that_is_asked_for_while_the_database_is_away_says_so(server: Server) -> None:
    async with serving(server.dsn) as control, httpx2.AsyncClient(base_url=control.url) as http:
        assert (await http.get("/")).status_code == 200
        os.kill(server.supervisor_pid, signal.SIGSTOP)  # nobody starts the postmaster again
        os.kill(server.postmaster_pid, signal.SIGKILL)
        try:
            await eventually(lambda: unavailable(http), timeout=20)
            assert "database cannot be reached" in (await http.get("/")).text
            assert (await http.get("/api/v1/tasks")).json()["status"] == 503
            assert (await http.get("/healthz")).status_code == 200
            assert (await http.get("/readyz")).status_code == 503
        finally:
            os.kill(server.supervisor_pid, signal.SIGCONT)
        await eventually(lambda: ready(http), timeout=20)
        assert (await http.get("/")).status_code == 200


async def shows(page: Page, role: str, state: str) -> None:
    """The page shows this role, and that it is live."""
    await page.get_by_role("rowheader", name=role).first.wait_for()
    await expect(page.locator("#live .words")).to_have_text(state)


async def unavailable(http: httpx2.AsyncClient) -> bool:
    return (await http.get("/")).status_code == 503


async def ready(http: httpx2.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 200


async def patiently_enqueue(queue: Queue, role: str) -> None:
    """However long the server takes to come back."""

    async def try_it() -> bool:
        try:
            await queue.enqueue(role)
        except ConnectionError:
            return False
        return True

    await eventually(try_it, timeout=20)
