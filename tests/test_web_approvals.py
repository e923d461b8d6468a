"""The approvals: what awaits a person, what he sees of it, and what his answer does."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from playwright.async_api import expect

from agent_world import World, agent, calls, done, world
from fake_worker import FakeWorker
from mission_control import chromium, looking, no_serious_fault, photograph, serving
from taskq import Queue
from taskq.testing import by_turn
from taskq.web.arguments import shown
from test_web_acts import HOSTILE, http, seen, words_of
from web_client import OPERATOR
from web_world import populate

__all__ = ["http"]
SetUp = Callable[..., Any]
WRITE = ("write_file", {"path": "a.txt", "content": "one\ntwo"})


@pytest.fixture
async def set_up(dsn: str, db: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[SetUp]:
    """`w = await set_up(script)`"""
    async with AsyncExitStack() as stack:
        yield lambda script: stack.enter_async_context(world(dsn, db, tmp_path, script))


async def parked(set_up: SetUp) -> tuple[World, UUID]:
    """An agent that asks whether it may write a file."""
    w: World = await set_up(by_turn(calls(WRITE), done()))
    await w.work(agent("scribe", "write_file", approve=("write_*",)))
    id = await w.ask("scribe", "Write *it*.", name="letter")
    await w.becomes(id, "awaiting_approval")
    return w, id


def order(page: httpx2.Response) -> list[str]:
    """The headings of the items."""
    return [unescape(name) for name in re.findall(r'-title"><a href="/tasks/[^"]+">([^<]+)</a>', page.text)]


async def test_an_empty_inbox_says_so(http: httpx2.AsyncClient) -> None:
    page = await http.get("/approvals")
    assert page.status_code == 200 and "Nothing awaits a person." in page.text


async def test_what_awaits_a_person_comes_oldest_first_and_can_be_filtered(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    await FakeWorker(db, "played").register()
    await queue.enqueue("played", name="runs by itself")
    await queue.enqueue("human", name="later", delay=timedelta(days=1))
    root = await queue.enqueue("plan", name="the plan", requires_approval=True)
    await queue.enqueue("human", name="a question", payload={"question": "Which *one*?"}, parent_id=root)
    page = await http.get("/approvals")
    assert order(page) == ["the plan", "a question"] and "2 await a person" in words_of(page)
    assert "Which <em>one</em>?" in page.text
    assert order(await http.get("/approvals?role=human")) == ["a question"]
    assert order(await http.get(f"/approvals?mission={root}")) == ["the plan", "a question"]
    assert order(await http.get("/approvals?mission=nonsense")) == ["the plan", "a question"]
    assert order(await http.get("/approvals?role=nobody")) == []


async def test_a_role_that_a_worker_once_played_is_no_work_for_people(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    await db.execute("insert into taskq.roles (name) values ('resize')")
    await queue.enqueue("resize", name="waits for its worker")
    assert order(await http.get("/approvals")) == []


async def test_a_plan_is_shown_with_what_it_builds_on_and_what_hangs_on_it(
    http: httpx2.AsyncClient, queue: Queue
) -> None:
    first = await queue.enqueue("survey", name="survey")
    plan = await queue.enqueue(
        "plan", {"objective": "Do **this**.", "cities": ["Oslo"], "repository": "/srv/a"},
        name="plan", requires_approval=True, depends_on=[first],
    )  # fmt: skip
    below = await queue.enqueue("build", name="build", depends_on=[plan])
    await queue.enqueue("ship", name="ship", depends_on=[below])
    await queue.complete(first, {"found": "gold"})
    page = await http.get("/approvals")
    said = words_of(page)
    assert "Do <strong>this</strong>." in page.text and '"found": "gold"' in said and '[ "Oslo" ]' in said
    assert "at /srv/a" in said and "it is queued for plan. Waits for it: build ." in said
    assert "it never runs. 2 tasks fall with it." in said


async def test_approving_leads_to_the_next_question_and_says_what_was_done(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    await FakeWorker(db, "plan").register()
    ids = [await queue.enqueue("plan", name=f"plan {n}", requires_approval=True) for n in range(2)]
    page = await http.get("/approvals?role=plan")
    form = {"seen": seen(page), "back": "/approvals?role=plan", "next": str(ids[1])}
    answer = await http.post(f"/tasks/{ids[0]}/approve", data=form)
    assert answer.headers["location"] == f"/approvals?role=plan&done={ids[0]}#a-{ids[1]}"
    after = await http.get(answer.headers["location"])
    assert f"plan 0 was approved by {OPERATOR}" in words_of(after) and order(after) == ["plan 1"]


async def test_an_edited_plan_runs_with_its_new_payload(http: httpx2.AsyncClient, queue: Queue) -> None:
    id = await queue.enqueue("plan", {"objective": "Do all."}, requires_approval=True)
    page = await http.get(f"/tasks/{id}/amend?back=/approvals")
    assert "Do all." in unescape(page.text)
    wrong = await http.post(f"/tasks/{id}/amend", data={"payload": "[1]", "reason": "less"})
    assert wrong.status_code == 422 and "This must be a JSON object" in unescape(wrong.text)
    form = {"payload": '{"objective": "Do less."}', "reason": "less", "seen": seen(page)}
    assert (await http.post(f"/tasks/{id}/amend", data=form)).status_code == 303
    assert (await queue.show(id))["payload"] == {"objective": "Do less."}
    late = await http.post(f"/tasks/{id}/approve", data={"seen": seen(page)})  # it read the old plan
    assert late.status_code == 409 and (await queue.show(id))["status"] == "awaiting_approval"


async def test_a_tool_call_is_shown_and_runs_when_it_is_approved(
    http: httpx2.AsyncClient, set_up: SetUp
) -> None:
    w, id = await parked(set_up)
    page = await http.get("/approvals")
    said = words_of(page)
    assert "What the agent said just before I do that." in said and "write_file idempotent" in said
    assert "path a.txt" in said and "one\ntwo" in page.text and "Write <em>it</em>." in page.text
    await http.post(f"/tasks/{id}/approve", data={"seen": seen(page)})
    assert (await w.end(id)).status == "completed"
    assert (w.home / "work" / str(id) / "a.txt").read_text() == "one\ntwo"


async def test_a_call_runs_with_the_arguments_that_a_person_changed(
    http: httpx2.AsyncClient, set_up: SetUp
) -> None:
    w, id = await parked(set_up)
    page = await http.get(f"/tasks/{id}/amend-call")
    [typed] = re.findall(r'<textarea id="f-arguments"[^>]*>(.*?)</textarea>', page.text, re.DOTALL)
    assert json.loads(unescape(typed)) == WRITE[1]
    form = {"arguments": '{"path": "b.txt", "content": "three"}', "reason": "not there", "seen": seen(page)}
    assert (await http.post(f"/tasks/{id}/amend-call", data=form)).status_code == 303
    assert (await w.end(id)).status == "completed"
    assert (w.home / "work" / str(id) / "b.txt").read_text() == "three"


async def test_a_declined_call_does_not_run_and_the_agent_goes_on(
    http: httpx2.AsyncClient, set_up: SetUp
) -> None:
    w, id = await parked(set_up)
    assert (await http.post(f"/tasks/{id}/decline-call", data={"reason": "no letters"})).status_code == 303
    assert (await w.end(id)).status == "completed"
    assert not (w.home / "work" / str(id) / "a.txt").exists()
    assert "no letters" in json.dumps(await w.told(id))


async def test_a_paused_agent_is_shown_with_its_reason(http: httpx2.AsyncClient, set_up: SetUp) -> None:
    w: World = await set_up(done())
    id = await w.ask("scribe", name="letter")
    await w.queue.pause(id, "let me see", "ann")
    await w.work(agent("scribe"))
    await w.becomes(id, "awaiting_approval")
    page = await http.get("/approvals")
    assert "paused letter" in words_of(page) and "let me see" in words_of(page)
    assert f'href="/tasks/{id}/amend' not in page.text
    await http.post(f"/tasks/{id}/approve", data={"seen": seen(page)})
    assert (await w.end(id)).status == "completed"


async def test_hostile_text_of_agents_stays_text(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    made = await populate(db)
    call = made.missions["search"].tasks["backend"]
    await db.execute("update taskq.tool_calls set tool = $2, input = $2 where task_id = $1", call, HOSTILE)
    use = {
        "type": "tool_use",
        "id": "toolu_to_approve",
        "input": {HOSTILE: HOSTILE, "old": "a", "new": HOSTILE},
    }
    body = json.dumps([{"type": "text", "text": HOSTILE}, use])
    await db.execute(
        "update taskq.messages set body = $2 where task_id = $1 and role = 'assistant'", call, body
    )
    await queue.enqueue(
        "human", {"question": f"{HOSTILE} [x](javascript:alert(1))", HOSTILE: HOSTILE}, name=HOSTILE
    )
    page = await http.get(f"/approvals?done={call}&role=&x={HOSTILE}")
    assert page.status_code == 200 and "alert(1)" in page.text
    assert (
        "<script>alert" not in page.text and "<img" not in page.text and 'href="javascript' not in page.text
    )


def test_an_edit_is_shown_as_its_difference() -> None:
    path, change = shown({"path": "a.py", "old": "one\ntwo\n", "new": "one\n2\n"})
    assert (path.kind, path.text) == ("word", "a.py")
    assert change.lines[1:] == ((" ", "one"), ("-", "two"), ("+", "2"))


async def test_a_person_answers_in_a_browser_and_what_he_types_is_not_taken_from_him(
    dsn: str, db: asyncpg.Connection, queue: Queue
) -> None:
    await populate(db)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto("/approvals?role=product-manager-sabine")
        plan = page.locator(".item")
        await plan.get_by_role("link", name="Reject").click()
        dialog = page.get_by_role("dialog", name="Reject")
        await dialog.get_by_role("button", name="Reject the task").click()
        await expect(dialog.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
        await no_serious_fault(page)
        await photograph(page, "approvals-reject")
        await dialog.get_by_role("link", name="Back").click()
        await plan.get_by_role("button", name="Approve").click()
        await page.get_by_text("was approved by").wait_for()

        await page.goto("/approvals")
        await no_serious_fault(page)
        await photograph(page, "approvals-dark")
        await queue.enqueue("human", {"question": "Which logo?"}, name="Which logo")
        await page.get_by_role("heading", name="Which logo").wait_for()  # live
        answer = page.locator(".item").first.get_by_label("Your answer")
        await answer.fill("Section 4 must go.")
        await queue.enqueue("human", {"question": "Which font?"}, name="Which font")
        await page.locator("#held").wait_for()
        await expect(answer).to_have_value("Section 4 must go.")
        await page.locator(".item").first.get_by_role("button", name="Complete").click()
        await page.get_by_text("was completed by").wait_for()
        await page.get_by_role("heading", name="Which font").wait_for()
        assert await page.evaluate("document.activeElement.className") == "card item"  # the next one
    row = await db.fetchrow(
        "select result from taskq.tasks where role = 'legal-review' and status = 'completed'"
    )
    assert row["result"] == "Section 4 must go."
