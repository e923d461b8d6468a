"""The search: ids lead to their tasks, words are found everywhere and marked, none of it is a script."""

from __future__ import annotations

import json

import asyncpg
import httpx2
import pytest

from mission_control import chromium, looking, serving
from portraits import portray
from taskq import Queue
from taskq.web.pages import search as searching
from taskq.web.pages.search import marked, shown
from test_web_acts import http, words_of
from web_world import HOSTILE, fill, populate

__all__ = ["http"]


async def test_an_id_or_a_part_of_it_leads_to_the_task(http: httpx2.AsyncClient, queue: Queue) -> None:
    id = await queue.enqueue("resize")
    await queue.enqueue("resize")
    for part in (str(id), str(id).upper(), id.hex, str(id)[-8:], id.hex[-16:], f" {id} "):
        found = await http.get("/search", params={"q": part})
        assert found.status_code == 303 and found.headers["location"] == f"/tasks/{id}", part


async def test_a_part_that_many_ids_have_leads_nowhere(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await fill(db, 20)
    prefix = str(await db.fetchval("select max(id::text) from taskq.tasks"))[:6]
    await db.execute("insert into taskq.tasks (id, role) values (rpad($1, 32, '0')::uuid, 'twin')", prefix)
    assert (await http.get(f"/search?q={prefix}")).status_code == 200
    assert (await http.get("/search?q=fff000000001")).status_code == 200


async def test_words_are_found_wherever_they_stand(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    root = await queue.enqueue("plan", {"objective": "zebra crossing"}, name="mission root")
    await queue.enqueue("draw", name="zebra stripes", parent_id=root)
    failed = await queue.enqueue("draw", name="other")
    await queue.complete(failed, actor="ada", error="the Zebra ran away")
    gone = await queue.enqueue("draw", name="third")
    await queue.cancel(gone, "no zebra wanted", "ada")
    body = json.dumps([{"type": "text", "text": 'I saw a "zebra" today'}])
    await db.execute(
        "insert into taskq.messages (task_id, seq, role, body, attempt) values ($1, 1, 'assistant', $2, 1)",
        root,
        body,
    )
    await db.execute(
        "insert into taskq.tool_calls (task_id, call_id, turn, place, tool, actor, effect, input, attempt)"
        " values ($1, 'c', 1, 2, 'grep', 'plan', 'read', '{\"pattern\": \"zebra\"}', 1)",
        root,
    )
    page = await http.get("/search?q=ZEBRA")
    assert page.status_code == 200 and page.text.count("<mark>") >= 6
    for href in (
        f"/missions/{root}",
        f"/tasks/{root}",
        f"/tasks/{failed}",
        f"/tasks/{gone}",
        f"/tasks/{root}/messages/1",
        f"/tasks/{root}#call-1-2",
    ):
        assert f'href="{href}"' in page.text, href
    words = words_of(page)
    assert "mission root plan and 1 more task" in words
    assert "the Zebra ran away" in words and "I saw a ' zebra ' today" in words
    assert "no zebra wanted" in words and "pattern: zebra" in words
    both = await http.get('/search?q="zebra"+today')
    assert f"/tasks/{root}/messages/1" in both.text and "/tasks/{failed}" not in both.text
    assert "Nothing has all of these words" in (await http.get("/search?q=zebra+giraffe")).text


async def test_what_takes_too_long_is_left_out_and_that_is_said(
    http: httpx2.AsyncClient, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populate(db)
    monkeypatch.setattr(searching, "PATIENCE", 0.0)
    page = words_of(await http.get("/search?q=retry"))
    assert "Not all could be looked through in time" in page and "messages" in page


async def test_an_odd_question_is_answered(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    await populate(db)
    for q in (
        "",
        "%",
        "_",
        "\\",
        "a\0b",
        "x" * 5000,
        HOSTILE,
        "'; drop table taskq.tasks; --",
        "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
    ):
        page = await http.get("/search", params={"q": q})
        assert page.status_code == 200 and "<script>alert(" not in page.text and "<img" not in page.text, q
    found = await http.get("/search", params={"q": "<script>alert(1)"})
    assert "<mark>&lt;script&gt;alert(1)</mark>" in found.text


def test_words_are_marked_and_everything_is_escaped() -> None:
    assert marked("a <b> & B", ["b"]) == "a &lt;<mark>b</mark>&gt; &amp; <mark>B</mark>"
    assert marked("retrying", ["try", "retry"]) == "<mark>retry</mark>ing", "the longest of two"
    assert marked("a.c abc", ["a.c"]) == "<mark>a.c</mark> abc", "a word is no pattern"
    assert shown('…ing": "x", "text": "one\\ntwo", "n": [1, 2]}') == "… x, one two, n: 1, 2"


async def test_it_is_beautiful(dsn: str, db: asyncpg.Connection) -> None:
    await populate(db)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto("/")
        await page.keyboard.press("/")
        await page.keyboard.type("retry key")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/search?q=retry+key")
        await portray(page, "/search?q=retry+key", "search")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
