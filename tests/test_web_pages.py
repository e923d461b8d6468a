"""The pages, in a real browser, on a real server and database."""

from __future__ import annotations

from mission_control import chromium, looking, serving
from taskq import Queue


async def test_the_overview_shows_what_waits(dsn: str, queue: Queue) -> None:
    await queue.enqueue("resize", {"path": "a.png"})
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto("/")
        assert await page.title() == "Overview · taskq"
        await page.get_by_role("rowheader", name="resize").wait_for()
