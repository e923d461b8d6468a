"""The pages, in a real browser, on a real server and database."""

from __future__ import annotations

from mission_control import chromium, looking, no_serious_fault, serving
from taskq import Queue
from web_client import client


async def test_the_overview_shows_what_waits(dsn: str, queue: Queue) -> None:
    await queue.enqueue("resize", {"path": "a.png"})
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto("/")
        assert await page.title() == "Overview · taskq"
        await page.get_by_role("rowheader", name="resize").wait_for()
        await no_serious_fault(page)


async def test_what_is_not_there_is_said_as_a_page_and_as_a_problem(dsn: str) -> None:
    async with client(dsn) as http:
        page = await http.get("/nowhere")
        assert page.status_code == 404 and "<h1>Not Found</h1>" in page.text
        problem = await http.get("/api/v1/nowhere")
        assert (
            problem.headers["content-type"] == "application/problem+json" and problem.json()["status"] == 404
        )
