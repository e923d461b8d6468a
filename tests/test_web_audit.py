"""The ledger of tool calls: filters, pages, and text of agents that stays text."""

from __future__ import annotations

import re

import asyncpg
import httpx2

from mission_control import chromium, looking, serving
from portraits import portray
from taskq import Queue
from test_web_acts import http, words_of
from test_web_tasks import rel
from web_world import BACKEND, HOSTILE, populate

__all__ = ["http"]


def calls(page: httpx2.Response) -> list[str]:
    """The calls of the table, in its order."""
    return re.findall(r'<tr id="call-([^"]+)">', page.text)


async def test_an_empty_ledger_says_what_it_is_for(http: httpx2.AsyncClient) -> None:
    assert "Each call is written here before it happens" in (await http.get("/audit")).text


async def test_each_filter_narrows_the_ledger(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    await populate(db)

    select = "select count(*) from taskq.tool_calls where "

    async def counts(query: str, condition: str) -> None:
        page = await http.get(f"/audit?{query}")
        real = await db.fetchval(select + condition)
        assert len(calls(page)) == min(real, 50) and real > 0, query

    await counts("status=error", "status = 'error'")
    await counts("status=error&status=timeout&status=nonsense", "status in ('error', 'timeout')")
    await counts("effect=unsafe&status=success", "effect = 'unsafe' and status = 'success'")
    await counts("tool=create_issue&status=started", "tool = 'create_issue' and status = 'started'")
    await counts(f"role={BACKEND}&effect=unsafe", f"actor = '{BACKEND}' and effect = 'unsafe'")
    await counts("since=30m&effect=unsafe", "effect = 'unsafe' and proposed_at > now() - interval '30 min'")
    page = await http.get("/audit?tool=nothing_like_it")
    assert "No tool call is like that." in page.text and 'value="nothing_like_it"' in page.text


async def test_the_pages_hold_every_call_once_forwards_and_backwards(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    total = await db.fetchval("select count(*) from taskq.tool_calls where effect = 'read'")
    forwards, backwards, href = [], [], "/audit?effect=read"
    while href:
        page = await http.get(href)
        forwards.append(calls(page))
        last, href = page, rel(page, "next") or ""
    seen = [call for rows in forwards for call in rows]
    assert len(seen) == len(set(seen)) == total > 100
    href = rel(last, "prev") or ""
    while href:
        page = await http.get(href)
        backwards.append(calls(page))
        href = rel(page, "prev") or ""
    assert backwards == forwards[-2::-1]


async def test_a_call_that_awaits_a_person_or_was_approved_says_so(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await populate(db)
    assert "needs an approval" in words_of(await http.get("/audit?status=proposed"))
    assert "approved by maria" in words_of(await http.get("/audit?effect=unsafe"))


async def test_odd_addresses_and_hostile_text_are_harmless(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    id = await queue.enqueue("scribe", name=HOSTILE)
    await db.execute(
        "insert into taskq.tool_calls (task_id, call_id, turn, place, tool, actor, effect, status, input,"
        " output, attempt, finished_at)"
        " values ($1, $2, 1, 0, $2, $2, 'read', 'error', $2, $2, 1, now())",
        id,
        HOSTILE,
    )
    for query in (
        "",
        "?before=x",
        "?after=2026-01-01,x,y",
        "?before=2026-01-01T00:00:00,a,b",
        "?tool=%00",
        "?tool=%25",
        f"?tool={'x' * 3000}",
    ):
        page = await http.get(f"/audit{query}")
        assert page.status_code == 200, query
        assert "<script>alert(" not in page.text and "<img" not in page.text
    assert "&lt;script&gt;" in (await http.get("/audit")).text


async def test_it_is_beautiful(dsn: str, db: asyncpg.Connection) -> None:
    await populate(db)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await portray(page, "/audit", "audit")
        await page.get_by_role("group", name="Status").get_by_label("unknown").check()
        await page.wait_for_url("**/audit?status=unknown*")
