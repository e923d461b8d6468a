"""The overview: its figures lead to their lists, what is wrong is said, and it keeps itself true."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import asyncpg
import httpx2
from playwright.async_api import expect

from fake_worker import FakeWorker
from mission_control import chromium, looking, no_serious_fault, serving
from portraits import DESK, PHONE, portray, see
from support import eventually
from taskq import Queue
from taskq.web.pages.concerns import Concern, concerns_of
from test_web_acts import http, words_of
from web_world import HOSTILE, PAUSED, UNPLAYED, populate

__all__ = ["http"]
NOTHING: dict[str, Any] = {"alerts": [], "stuck": [], "gates": [], "roles": [], "workers": [], "orphaned": 0}
ROLE: dict[str, Any] = {
    "role": "resize", "ready": 0, "scheduled": 0, "workers": 1, "slots": 4, "oldest_ready": None,
    "paused": False, "paused_by": None, "paused_why": None, "paused_at": None,
}  # fmt: skip


def tally(page: httpx2.Response) -> dict[str, tuple[int, str]]:
    """The figures of the overview: by name, how many and where it leads."""
    found = re.findall(
        r'<li data-count="(\w+)"><a href="([^"]+)"><span class="figure[^"]*">([\d,]+)<', page.text
    )
    return {name: (int(count.replace(",", "")), unescape(href)) for name, href, count in found}


async def test_a_new_database_says_what_to_run_next(http: httpx2.AsyncClient) -> None:
    page = await http.get("/")
    assert page.status_code == 200 and "Nothing here yet" in page.text
    assert "taskq worker --agents roles --offline" in page.text and "taskq enqueue" in page.text


async def test_every_figure_leads_to_the_tasks_that_it_counts(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    figures = tally(await http.get("/?window=1h"))
    assert figures["in_progress"][0] > 10 and figures["awaiting_approval"][0] == 2
    for name in ("in_progress", "blocked", "awaiting_approval", "failed"):
        count, href = figures[name]
        rows = (await http.get(href)).text.count('<tr id="task-')
        assert rows == count, name
    assert figures["ready"][0] + figures["scheduled"][0] == await db.fetchval(
        "select count(*) from taskq.tasks where status = 'queued'"
    )


async def test_the_window_of_the_curves_is_in_the_address(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    hour, day, nonsense = [await http.get(f"/?window={window}") for window in ("1h", "24h", "<b>")]
    assert tally(day)["completed"][0] > tally(hour)["completed"][0] > 0
    assert tally(nonsense) == tally(hour)
    assert 'aria-label="Throughput, last 24 hours:' in day.text
    rows = day.text.split("The curves as a table</summary>")[1].split("</table>")[0]
    assert rows.count('<th scope="row">') >= 48, "who sees no curves reads a table"


async def test_what_needs_attention_is_said_with_what_helps(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    page = words_of(await http.get("/"))
    assert f"No worker plays {UNPLAYED} 2 tasks queued for it taskq worker --roles {UNPLAYED}" in page
    assert f"{PAUSED} is paused by maria: The robots.txt of two sites changed" in page
    assert "exhausted:anthropic" in page and "credit balance is too low" in page
    assert "claude-opus-5-5 is paused" in page and "taskq gate resume anthropic claude-opus-5-5" in page
    assert "fra-build-3:411 is in trouble" in page and "panorama-40000px.tif" in page and "is stuck" in page


async def test_when_nothing_is_wrong_that_is_said(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    await queue.enqueue("resize")
    assert "No worker plays resize" in words_of(await http.get("/"))
    await FakeWorker(db, "resize").register()

    async def is_well() -> bool:
        return "All is well" in words_of(await http.get("/"))

    await eventually(is_well)


def test_concerns_come_worst_first_and_late_roles_share_a_line() -> None:
    late = [ROLE | {"role": f"r{n}", "ready": 2, "oldest_ready": 400.0 + n} for n in range(4)]
    paused = ROLE | {"role": "p", "ready": 9, "oldest_ready": 9999.0, "paused": True, "paused_by": "maria"}
    found = concerns_of(NOTHING | {"roles": [*late, paused], "orphaned": 1})
    assert [concern.level for concern in found] == ["danger", "warn", "warn"]
    assert found[0] == Concern(
        "danger",
        "1 task orphaned",
        "their workers are gone; the next tend requeues them",
        command="taskq tend",
    )
    assert found[-1].what == "4 roles fall behind" and found[-1].why == (
        "8 tasks ready, the oldest for 6 min 43 s: r0, r1, r2, r3"
    )
    assert concerns_of(NOTHING | {"roles": [ROLE | {"ready": 5, "oldest_ready": 20.0}]}) == []


async def test_hostile_text_stays_text(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    await populate(db)
    await queue.enqueue(HOSTILE[:200], name=HOSTILE)
    await queue.enqueue("scribe", name=HOSTILE, requires_approval=True)
    page = await http.get("/")
    assert "&lt;script&gt;alert(1)" in page.text and "<script>alert(" not in page.text
    assert "<img" not in page.text


async def test_it_is_beautiful_live_and_reachable_by_keys(
    dsn: str, db: asyncpg.Connection, queue: Queue
) -> None:
    await populate(db)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await portray(page, "/?window=24h", "overview")
        assert await page.locator("#plot-throughput canvas").count() == 1, "the curves are drawn"
        await see(page, PHONE)
        await no_serious_fault(page)
        await see(page, DESK)
        await page.goto("/")
        await expect(page.locator("#live")).to_have_attribute("data-state", "on")
        blocked = page.locator('[data-count="blocked"] .figure')
        before = int(await blocked.inner_text())
        root = await queue.enqueue("slow", name="root of it")
        await queue.enqueue("slow", depends_on=[root])
        await expect(blocked).to_have_text(str(before + 1))
        assert await page.locator("#plot-throughput canvas").count() == 1, (
            "and they stay when the page changes"
        )
        await page.keyboard.press("/")
        await expect(page.locator("#q")).to_be_focused()
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("g")
        await page.keyboard.press("r")
        await page.wait_for_url("**/roles")
