"""The table of tasks: its address is its state, its pages hold each task once, many are acted on at once."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
from playwright.async_api import expect

from mission_control import chromium, looking, photograph, serving
from portraits import portray
from taskq import Queue
from test_web_acts import http, statuses, why, words_of
from web_client import OPERATOR, client, make_token
from web_world import HOSTILE, PAUSED, UNPLAYED, fill, populate

__all__ = ["http"]


def ids(page: httpx2.Response) -> list[UUID]:
    """The tasks of the table, in its order."""
    return [UUID(id) for id in re.findall(r'<tr id="task-([0-9a-f-]+)">', page.text)]


def rel(page: httpx2.Response, name: str) -> str | None:
    """Where the link to the next or the previous page leads."""
    found = re.search(rf'rel="{name}" href="([^"]+)"', page.text)
    return found[1].replace("&amp;", "&") if found else None


async def test_an_empty_table_says_how_to_fill_it(http: httpx2.AsyncClient) -> None:
    assert "taskq enqueue resize path=a.png" in (await http.get("/tasks")).text


async def test_each_filter_narrows_the_table(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    world = await populate(db)
    mission = world.missions["payments"]

    async def found(query: str) -> set[UUID]:
        page = await http.get(f"/tasks?{query}")
        assert page.status_code == 200, query
        return set(ids(page))

    select = "select id from taskq.tasks where "

    async def real(condition: str, *args: Any) -> set[UUID]:
        return {row["id"] for row in await db.fetch(select + condition, *args)}

    assert await found("status=blocked") == await real("status = 'blocked'")
    assert await found("status=blocked&status=awaiting_approval") == await real(
        "status in ('blocked', 'awaiting_approval')"
    )
    assert await found("status=queued&status=nonsense") == await real("status = 'queued'")
    assert await found(f"role={UNPLAYED}") == await real("role = $1", UNPLAYED)
    assert await found(f"mission={mission.root}") == set(mission.tasks.values())
    assert await found("text=TYPING+errors") == await real("name ilike '%typing errors%'")
    assert await found("text=100%25") == set(), "what means something to LIKE means itself"
    assert await found(f"text={str(mission.root)[-8:]}") == {mission.root}
    assert await found("status=failed&since=2h") == await real(
        "status = 'failed' and finished_at > now() - interval '2 h'"
    )
    assert await found(f"role={UNPLAYED}&since=30m") == set()


async def test_a_filter_that_cannot_be_is_said_at_its_field(http: httpx2.AsyncClient) -> None:
    page = await http.get("/tasks?mission=abc&since=soon")
    assert page.status_code == 422 and page.text.count('aria-invalid="true"') == 2
    assert 'aria-describedby="mission-error"' in page.text and 'id="mission-error"' in page.text
    assert 'value="abc"' in page.text, "what was typed stays"


async def test_the_pages_hold_every_task_once_forwards_and_backwards(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    await fill(db, 130)
    chosen = [
        await queue.enqueue("old", id=uuid4()) for _ in range(7)
    ]  # ids that are not in the order of time
    forwards, backwards, href = [], [], "/tasks"
    while href:
        page = await http.get(href)
        forwards.append(ids(page))
        last, href = page, rel(page, "next") or ""
    assert [len(rows) for rows in forwards] == [50, 50, 37]
    seen = [id for rows in forwards for id in rows]
    assert len(set(seen)) == 137 and set(seen[:7]) == set(chosen), "newest first, whatever their ids are"
    href = rel(last, "prev") or ""
    while href:
        page = await http.get(href)
        backwards.append(ids(page))
        href = rel(page, "prev") or ""
    assert backwards == forwards[-2::-1]


async def test_a_page_keeps_its_filters(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    await fill(db, 500)
    page = await http.get("/tasks?status=completed&role=resize&text=filler&since=30d")
    href = rel(page, "next")
    assert href is not None and href.startswith(
        "/tasks?status=completed&role=resize&text=filler&since=30d&before="
    )
    assert 'value="resize"' in page.text and 'value="30d" selected' in page.text


async def test_the_note_says_why_a_task_is_where_it_is(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    page = words_of(await http.get(f"/tasks?role={PAUSED}"))
    assert "its role is paused by maria: The robots.txt of two sites changed" in page
    assert f"no live worker plays {UNPLAYED}" in words_of(await http.get(f"/tasks?role={UNPLAYED}"))
    assert "needs an approval" in words_of(await http.get("/tasks?status=awaiting_approval"))
    assert "waits for 3 tasks" in words_of(await http.get("/tasks?status=blocked"))
    assert "asked to stop; writing tiles; on fra-build-3:411" in words_of(
        await http.get("/tasks?text=panorama")
    )


async def test_hostile_text_stays_text_in_the_table_and_its_filters(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    page = await http.get("/tasks", params={"text": HOSTILE[:40], "role": "resize"})
    assert len(ids(page)) == 1 and "&lt;script&gt;" in page.text
    nothing = await http.get(
        "/tasks", params={"text": HOSTILE, "role": HOSTILE, "mission": HOSTILE, "since": HOSTILE}
    )
    for each in (page, nothing):
        assert "<script>alert(" not in each.text and "<img" not in each.text
    assert (await http.get("/tasks?text=a%00b&before=%00&after=%ff")).status_code == 200


async def test_many_are_acted_on_after_a_page_that_says_what_will_happen(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    first, second, done = [await queue.enqueue("resize", name=name) for name in ("first", "second", "done")]
    below = await queue.enqueue("montage", name="below", depends_on=[first])
    await queue.complete(done, {}, "ada")
    chosen = [("id", str(id)) for id in (first, second, done)]
    page = await http.get("/tasks/bulk", params=[("verb", "cancel"), ("back", "/tasks?role=resize"), *chosen])
    words = words_of(page)
    assert page.status_code == 200 and "Cancel 2 tasks" in words
    assert re.search(r"first \w{8} is cancelled at once, and with it 1 that cannot run without it", words)
    assert re.search(r"done \w{8} stays as it is", words)
    form = {"verb": "cancel", "id": [str(first), str(second)], "back": "/tasks?role=resize"}
    refused = await http.post("/tasks/bulk", data=form)
    assert refused.status_code == 422 and "This is needed." in refused.text, "it asks for a reason"
    assert (await statuses(db))["first"] == "queued"
    sent = await http.post("/tasks/bulk", data={**form, "reason": "not needed any more"})
    assert sent.status_code == 303 and sent.headers["location"] == "/tasks?role=resize"
    assert await statuses(db) == {
        "first": "cancelled", "second": "cancelled", "below": "cancelled", "done": "completed",
    }  # fmt: skip
    assert await why(db, second, "cancel") == (OPERATOR, "not needed any more")
    assert below


async def test_what_could_not_be_done_to_some_is_said(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    good, gone = [await queue.enqueue("resize", name=name) for name in ("good", "gone")]
    await queue.cancel(good, "x", "ada")
    await queue.complete(gone, {}, "ada")
    sent = await http.post("/tasks/bulk", data={"verb": "retry", "id": [str(good), str(gone)]})
    words = words_of(sent)
    assert sent.status_code == 200 and "1 of 2 done" in words and "refused gone" in words
    assert (await statuses(db)) == {"good": "queued", "gone": "completed"}


async def test_a_bulk_form_that_makes_no_sense_is_answered(http: httpx2.AsyncClient) -> None:
    for query in (
        "",
        "?verb=explode&id=x",
        "?verb=cancel",
        "?verb=cancel&id=x",
        f"?verb=cancel&id={uuid4()}",
    ):
        page = await http.get(f"/tasks/bulk{query}")
        assert page.status_code in (200, 422) and "Back to the tasks" in page.text, query
    back = await http.get(f"/tasks/bulk?verb=cancel&id={uuid4()}&back=https://evil.example/")
    assert 'href="https://evil' not in back.text and 'value="https://evil' not in back.text


async def test_who_may_only_read_is_offered_nothing_and_refused(dsn: str, queue: Queue) -> None:
    id = await queue.enqueue("resize")
    secret = await make_token(dsn, "reader", "read")
    async with client(dsn, secret) as http:
        table = await http.get("/tasks")
        assert ids(table) == [id] and 'type="checkbox" name="id"' not in table.text
        assert (await http.get(f"/tasks/bulk?verb=cancel&id={id}")).status_code == 403
        sent = await http.post("/tasks/bulk", data={"verb": "cancel", "id": str(id), "reason": "x"})
        assert sent.status_code == 403


async def test_a_person_filters_selects_and_cancels_in_a_browser(
    dsn: str, db: asyncpg.Connection, queue: Queue
) -> None:
    await populate(db)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await portray(page, "/tasks", "tasks")
        await page.get_by_role("group", name="Status").get_by_label("queued").check()
        await page.wait_for_url("**/tasks?status=queued*")
        await page.locator('input[name="role"]').fill(UNPLAYED)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**role={UNPLAYED}*")
        rows = page.locator("table.tasks tbody tr")
        await expect(rows).to_have_count(2)
        cancel = page.get_by_role("button", name="Cancel …")
        await expect(cancel).to_be_disabled()
        await page.locator("h1").click()
        for key in ("j", "x", "j", "x"):
            await page.keyboard.press(key)
        await expect(page.locator("[data-selected]")).to_have_text("2 selected")
        await expect(page.locator("#live")).to_have_attribute("data-state", "on")
        await queue.enqueue(UNPLAYED, name="came meanwhile")
        await expect(rows).to_have_count(3)
        await expect(page.locator("[data-selected]")).to_have_text("2 selected")
        await cancel.click()
        await expect(page.get_by_role("heading", name="Cancel 2 tasks")).to_be_visible()
        await photograph(page, "tasks-bulk")
        await page.get_by_label("Reason").fill("the contract is signed")
        await page.get_by_role("button", name="Cancel 2 tasks").click()
        await page.wait_for_url(f"**role={UNPLAYED}*")
        await expect(rows).to_have_count(1)
