"""The page of roles and workers: who plays what, how the day went, and what pauses a role."""

from __future__ import annotations

import re

import asyncpg
import httpx2
from playwright.async_api import expect

from fake_worker import FakeWorker
from mission_control import chromium, looking, photograph, serving
from portraits import portray
from taskq import Queue
from test_web_acts import http, words_of
from web_client import OPERATOR, client, make_token
from web_world import ARCHITECT, HOSTILE, PAUSED, QA, UNPLAYED, populate

__all__ = ["http"]


def row(page: httpx2.Response, role: str) -> str:
    """The words of a role's row."""
    part = page.text.split(f'<tr id="role-{role}">')[1].split("</tr>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", part).split())


async def test_nothing_yet_says_how_to_start_a_worker(http: httpx2.AsyncClient) -> None:
    page = words_of(await http.get("/roles"))
    assert (
        "No role yet" in page
        and "No worker is there" in page
        and "taskq worker --agents roles --offline" in page
    )


async def test_a_role_tells_who_plays_it_its_load_its_day_and_its_money(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    page = await http.get("/roles")
    completed, failed = await db.fetchrow(
        "select count(*) filter (where status = 'completed'), count(*) filter (where status = 'failed')"
        " from taskq.tasks where role = 'resize' and finished_at > now() - interval '24 h'"
    )
    assert f"{completed / (completed + failed):.0%} of {completed + failed}" in row(page, "resize")
    assert "3 of 24 2 workers" in row(page, "resize"), "a worker that drains plays nothing new"
    architect = row(page, ARCHITECT)
    cost = await db.fetchval(
        "select sum(m.cost) from taskq.messages m join taskq.tasks t on t.id = m.task_id where t.role = $1",
        ARCHITECT,
    )
    assert "claude-opus-5-5" in architect and "Turns an objective into a design" in architect
    assert f"${cost:.2f}" in architect and "of $20.00" in architect
    assert "2 dependency failed" in row(page, QA)
    assert "may change billing , web-*" in row(page, "backend-architect-sabine")


async def test_a_role_that_nobody_plays_says_so_with_the_command_that_helps(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    page = await http.get("/roles")
    assert (
        f"no worker plays this role, and 2 wait for it taskq worker --app module:app --roles {UNPLAYED}"
        in row(page, UNPLAYED)
    )
    assert "no worker plays" not in row(page, ARCHITECT)


async def test_workers_show_their_heartbeat_their_trouble_and_their_end(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    await db.execute("update taskq.workers set missing_since = now() where name = 'ams-agents-2:977'")
    page = words_of(await http.get("/roles"))
    assert "ams-build-2:31 draining" in page and "ams-agents-2:977 gone" in page
    assert "fra-build-3:411 the event loop was blocked for 2.8 s" in page
    assert "anthropic claude-opus-5-5 50 400,000 paused" in page


async def test_pausing_a_role_asks_for_a_reason_and_holds_its_tasks_back(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    await queue.enqueue("resize")
    worker = await FakeWorker(db, "resize").register()
    page = await http.get("/roles/resize/pause")
    assert "1 queued keeps its place in the line" in words_of(page)
    refused = await http.post("/roles/resize/pause", data={"reason": " "})
    assert refused.status_code == 422 and "This is needed." in refused.text
    assert 'aria-invalid="true"' in refused.text
    sent = await http.post("/roles/resize/pause", data={"reason": "the disk is full"})
    assert sent.status_code == 303 and sent.headers["location"] == "/roles#role-resize"
    assert not [task for task in await worker.exchange(want=1) if task["id"]]
    assert f"paused by {OPERATOR}" in row(await http.get("/roles"), "resize")
    assert "the disk is full" in row(await http.get("/roles"), "resize")
    assert "It is paused already, by ada" in words_of(await http.get("/roles/resize/pause"))
    assert "1 task can run as soon as it is resumed" in words_of(await http.get("/roles/resize/resume"))
    await http.post("/roles/resize/resume", data={"reason": "a new disk"})
    assert [task["role"] for task in await worker.exchange(want=1) if task["id"]]
    noted = await db.fetch("select verb, actor, reason from taskq.events where role = 'resize' order by id")
    assert [tuple(event) for event in noted] == [
        ("pause_role", OPERATOR, "the disk is full"),
        ("resume_role", OPERATOR, "a new disk"),
    ]


async def test_a_role_that_nobody_knows_cannot_be_paused(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    for name in ("nobody", "a%00b", "../../etc/passwd", HOSTILE.replace("/", "%2F")):
        page = await http.get(f"/roles/{name}/pause")
        assert page.status_code == 404 and "<script>alert(" not in page.text, name
        assert (await http.post(f"/roles/{name}/pause", data={"reason": "x"})).status_code == 404
    assert await db.fetchval("select count(*) from taskq.role_pauses") == 0


async def test_a_role_of_any_name_can_be_paused(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    for name in ("team/resize", "größe & form?", HOSTILE):
        await queue.enqueue(name)
    page = await http.get("/roles")
    assert "<script>alert(" not in page.text
    hrefs = re.findall(r'href="(/roles/[^"]+/pause)"', page.text)
    assert len(hrefs) == 3
    for href in hrefs:
        assert (await http.post(href, data={"reason": "x"})).status_code == 303
    assert await db.fetchval("select count(*) from taskq.role_pauses") == 3


async def test_only_an_admin_pauses(dsn: str, queue: Queue) -> None:
    await queue.enqueue("resize")
    secret = await make_token(dsn, "operator", "read", "operate")
    async with client(dsn, secret) as http:
        assert "/roles/resize/pause" not in (await http.get("/roles")).text
        assert (await http.get("/roles/resize/pause")).status_code == 403
        sent = await http.post("/roles/resize/pause", data={"reason": "x"})
        assert sent.status_code == 403 and "admin" in sent.text


async def test_a_person_pauses_and_resumes_in_the_dialog(dsn: str, db: asyncpg.Connection) -> None:
    await populate(db)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await portray(page, "/roles", "roles")
        await page.get_by_role("link", name="Pause resize").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("heading", name="Pause resize")).to_be_visible()
        await photograph(page, "roles-pause")
        await dialog.get_by_role("button", name="Pause the role").click()
        await expect(dialog.get_by_text("This is needed.")).to_be_visible()
        await dialog.get_by_label("Reason").fill("the bucket is full")
        await dialog.get_by_role("button", name="Pause the role").click()
        await expect(page.locator("#role-resize")).to_contain_text("the bucket is full")
        await page.get_by_role("link", name="Resume crawl_site").click()
        await dialog.get_by_role("button", name="Resume the role").click()
        await expect(page.locator(f"#role-{PAUSED}")).not_to_contain_text("paused by")
