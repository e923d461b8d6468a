"""A day in Mission Control: real browser, server, database and workers; no page is ever loaded anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
from playwright.async_api import Page, expect

from agent_process import ROLE, agents
from mission_control import chromium, looking, photograph, serving
from taskq import Fail, Queue, Task
from taskq.testing import FakeMessages, Reply, by_turn, text, tool_use
from worker_process import working

POST = Reply([text("I post."), tool_use("post", {"what": "once"})])
SUBMIT = Reply([tool_use("submit_result", {"summary": "It is posted."})])
REASON = "seen in the browser"


@asynccontextmanager
async def fleet(world: Path, dsn: str) -> AsyncIterator[None]:
    """A worker of an agent whose tool waits for `go`, and of a role that fails until it is `mended`."""
    async with FakeMessages(by_turn(POST, SUBMIT)).serve() as base_url:
        app = agents(world, base_url)

        @app.role("flaky")
        async def flaky(task: Task) -> str:
            if not (world / "mended").exists():
                raise Fail("the disk is full")
            return "mended"

        async with working(app, dsn):
            yield


async def test_dispatch_watch_approve_cancel_and_retry(
    dsn: str, db: asyncpg.Connection, queue: Queue, tmp_path: Path
) -> None:
    go, mended = tmp_path / "go", tmp_path / "mended"
    async with (
        fleet(tmp_path, dsn),
        serving(dsn) as control,
        chromium() as browser,
        looking(browser, control.url) as page,
    ):
        # dispatch from the form, and watch it finish
        await page.goto("/new")
        await page.get_by_label("Role").select_option(ROLE)
        await page.get_by_label("Name", exact=False).first.fill("Post the news")
        await page.get_by_label("Objective").fill("Post it **once**.")
        await page.get_by_role("button", name="Dispatch").click()
        await page.wait_for_url("**/missions/*")
        await mark(page)
        await becomes(page, "in_progress")
        go.touch()
        await becomes(page, "completed")
        await was_not_loaded_anew(page)

        # approve
        waiting = await queue.enqueue(ROLE, {"objective": "Post again."}, requires_approval=True)
        await open_task(page, waiting, "awaiting_approval")
        await act(page, "Approve")
        await becomes(page, "completed")
        await was_not_loaded_anew(page)
        await page.get_by_text("It is posted.").first.wait_for()

        # cancel a running agent
        go.unlink()
        running = await queue.enqueue(ROLE, {"objective": "Post and post."})
        await open_task(page, running, "in_progress")
        await page.get_by_text("I post.").first.wait_for()
        await photograph(page, "running-agent")
        await act(page, "Cancel")
        await becomes(page, "cancelled")
        await was_not_loaded_anew(page)

        # retry a failed one
        failed = await queue.enqueue("flaky")
        await open_task(page, failed, "failed")
        await page.get_by_text("the disk is full").first.wait_for()
        mended.touch()
        await act(page, "Retry")
        await becomes(page, "completed")
        await was_not_loaded_anew(page)
    done = await db.fetch("select task_id, verb, reason from taskq.events where reason = $1", REASON)
    assert {(row["task_id"], row["verb"]) for row in done} >= {(waiting, "approve"), (running, "ask_to_stop")}
    assert failed in {row["task_id"] for row in done}


async def open_task(page: Page, id: UUID, status: str) -> None:
    """Open the page of a task, and see it in this status."""
    await page.goto(f"/tasks/{id}")
    await mark(page)
    await becomes(page, status)


async def act(page: Page, verb: str) -> None:
    """Do it in the dialog, with a reason."""
    await page.locator("main").get_by_role("link", name=verb).first.click()
    dialog = page.locator("dialog[open]")
    await dialog.get_by_label("Reason").fill(REASON)
    await dialog.get_by_role("button", name=verb).click()
    await expect(dialog).to_have_count(0)


async def becomes(page: Page, status: str) -> None:
    """The page shows this status first, by itself."""
    await expect(page.locator("main .status").first).to_have_attribute("data-status", status)


async def mark(page: Page) -> None:
    await page.evaluate("window.mark = location.pathname")


async def was_not_loaded_anew(page: Page) -> None:
    assert await page.evaluate("window.mark") == await page.evaluate("location.pathname")
