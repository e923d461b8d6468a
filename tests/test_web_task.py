"""The page of a task: why it waits, what was said and done, what can be done now."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from fake_worker import FakeWorker
from mission_control import chromium, looking, no_serious_fault, photograph, serving
from support import eventually
from taskq import Queue
from taskq.web.acts import VERBS, find_subject
from taskq.web.words import why
from web_client import client, house, make_token
from web_world import HOSTILE, World, populate

AGENT = "agent"


@pytest.fixture
async def http(dsn: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(dsn) as opened:
        yield opened


@pytest.fixture
async def world(db: asyncpg.Connection) -> World:
    return await populate(db)


@pytest.fixture
async def worker(db: asyncpg.Connection) -> FakeWorker:
    return await FakeWorker(db, AGENT).register(name="host:1")


def words_of(page: httpx2.Response) -> str:
    """The words of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def verbs(page: httpx2.Response) -> list[str]:
    """What can be done."""
    return re.findall(r'data-dialog href="/tasks/[^/"]+/([a-z-]+)"', page.text)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


async def say(
    worker: FakeWorker, task: Any, seq: int, *blocks: Any, role: str = "assistant", **more: Any
) -> None:
    """Commit a message."""
    await worker.append(task, seq, role, json.dumps(list(blocks)), **more)


async def converse(worker: FakeWorker, task: Any) -> None:
    """A prompt, a turn that thinks and calls a tool, and the answer."""
    await say(worker, task, 0, text("# The task\n\nFind it."), role="user")
    given = {"path": "src/a.py"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": given}
    proposed = {"call_id": "toolu_1", "tool": "read_file", "effect": "read", "input": json.dumps(given)}
    usage = {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 1000}
    await say(
        worker, task, 1, {"type": "thinking", "thinking": "Where could it be?"}, text("I **look**."), call,
        calls=[proposed], usage=usage, cost=0.0123,
    )  # fmt: skip
    await worker.call("intend", task, "toolu_1")
    body = json.dumps([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "def a(): ..."}])
    await worker.call("settle_call", task, "toolu_1", "success", "def a(): ...", "src/a.py", 2, body, True)


async def test_a_task_says_why_it_waits_and_where_that_is(http: httpx2.AsyncClient, queue: Queue) -> None:
    parent = await queue.enqueue("build", name="parent")
    child = await queue.enqueue("test", {"path": "x"}, depends_on=[parent], dedup_key="once", priority=3)
    page = await http.get(f"/tasks/{child}")
    assert page.status_code == 200
    assert "blocked: waits for 1 of its dependencies" in words_of(page) and "taskq.retry" not in page.text
    assert page.text.count(f'href="/tasks/{parent}"') >= 2
    for fact in ("once", "0 of 4", "30 min", '"path": "x"'):
        assert fact in unescape(page.text), fact
    assert f'href="/tasks/{child}"' in (await http.get(f"/tasks/{parent}")).text


async def test_no_task_no_page(http: httpx2.AsyncClient) -> None:
    assert (await http.get(f"/tasks/{uuid4()}")).status_code == 404
    assert (await http.get("/tasks/17")).status_code == 404


def test_the_advice_for_psql_is_left_out_where_there_are_buttons() -> None:
    id = "01a21843-56af-7134-9c85-a177e7b3d3f5"
    said = why(f"failed 3 s ago: timeout: <b>; to run it again: select taskq.retry('{id}')")
    assert str(said) == "failed 3 s ago: timeout: &lt;b&gt;"
    said = why(f"awaits the approval of a person: select taskq.approve('{id}', actor)")
    assert str(said) == "awaits the approval of a person"
    assert f'href="/tasks/{id}"' in why(f"blocked: waits for work {id} (queued)")


async def test_only_what_can_be_done_now_is_offered(dsn: str, world: World, db: asyncpg.Connection) -> None:
    """Of every kind of task in the world: all links lead to forms that fit."""
    rows = await db.fetch(
        "select distinct on (status, role) id, status::text from taskq.tasks order by status, role, id"
    )
    offered = set()
    async with house(dsn) as opened, client(dsn) as http:
        for row in rows:
            subject = await find_subject(opened.reads, row["id"])
            assert subject is not None
            found = verbs(await http.get(f"/tasks/{row['id']}"))
            assert found, row["status"]
            assert [verb for verb in found if not VERBS[verb].is_possible(subject)] == [], row["status"]
            offered.update(found)
    assert offered >= VERBS.keys() - {"complete"}


async def test_who_may_only_read_is_offered_nothing(dsn: str, world: World) -> None:
    async with client(dsn, await make_token(dsn, "reader", "read")) as http:
        page = await http.get(f"/tasks/{world.missions['payments'].tasks['backend']}")
    assert page.status_code == 200 and verbs(page) == []


async def test_the_conversation_has_its_parts(
    http: httpx2.AsyncClient, queue: Queue, worker: FakeWorker
) -> None:
    id = await queue.enqueue(AGENT, {"objective": "Find **it**.", "depth": 3}, name="finder")
    await converse(worker, await worker.claim_one())
    page = await http.get(f"/tasks/{id}")
    words = words_of(page)
    assert "<strong>it</strong>" in page.text and '"depth": 3' in unescape(page.text)
    assert "I <strong>look</strong>." in page.text and "Where could it be?" in words
    assert re.search(r"read_file src/a\.py success 12 characters", words)
    assert "1,010 in" in words and "20 out" in words and "$0.0123" in words and "simulated" in words
    assert "<h1>" in page.text and page.text.count("<h1") == 1, "others' headings stand below ours"
    assert page.text.count('class="said-by') == 3, "an answer stands with its call; and it is under way"
    assert "left behind: src/a.py" in words


async def test_long_conversations_are_shown_from_their_end(
    http: httpx2.AsyncClient, queue: Queue, worker: FakeWorker
) -> None:
    id = await queue.enqueue(AGENT)
    task = await worker.claim_one()
    for seq in range(120):
        await say(worker, task, seq, text(f"message {seq} " + "x" * 7000), role="assistant")

    async def shown(address: str) -> list[int]:
        page = await http.get(address)
        return [int(seq) for seq in re.findall(r'id="message-(\d+)"', page.text)]

    page = await http.get(f"/tasks/{id}")
    assert await shown(f"/tasks/{id}") == list(range(70, 120))
    assert f"/tasks/{id}?before=70" in page.text and len(page.text) < 500_000
    assert f"/tasks/{id}/messages/119" in page.text and "all 7,012 characters" in words_of(page)
    assert await shown(f"/tasks/{id}?before=70") == list(range(20, 70))
    assert await shown(f"/tasks/{id}?before=20") == list(range(20))
    whole = await http.get(f"/tasks/{id}/messages/119")
    assert "x" * 7000 in whole.text and f"/tasks/{id}/messages/118" in whole.text
    for wrong in (f"{id}/messages/120", f"{id}/messages/99999999999", f"{uuid4()}/messages/0"):
        assert (await http.get(f"/tasks/{wrong}")).status_code == 404, wrong
    for wrong in ("x", "-1", "9" * 30, "1.5", "²"):
        assert (await http.get(f"/tasks/{id}", params={"before": wrong})).status_code == 422, wrong


async def test_a_message_alone_has_the_answers_to_its_calls(
    http: httpx2.AsyncClient, queue: Queue, worker: FakeWorker
) -> None:
    id = await queue.enqueue(AGENT)
    await converse(worker, await worker.claim_one())
    page = words_of(await http.get(f"/tasks/{id}/messages/1"))
    assert "read_file" in page and "def a(): ..." in page and "success" in page
    assert "def a(): ..." in words_of(await http.get(f"/tasks/{id}/messages/2"))


async def test_everything_of_a_task_is_there(
    http: httpx2.AsyncClient, queue: Queue, worker: FakeWorker, db: asyncpg.Connection
) -> None:
    parent = await queue.enqueue("plan", name="parent")
    id = await queue.enqueue(AGENT, parent_id=parent, name="all of it")
    limits = {"cost": 2, "tokens": 50_000}
    await db.execute("select taskq.set_budget('task', $1, $2, 'ada')", str(id), limits)
    task = await worker.claim_one()
    await worker.fail(task, "timeout", "it took too long", traceback="File x.py, line 1")
    task = await worker.claim_one()
    await db.execute("insert into taskq.logs (task_id, attempt, line) values ($1, 2, 'a log line')", id)
    checks = [{"name": "schema", "passed": False, "detail": "no proofs"}]
    await worker.call("record_checks", task, 1, checks)
    await worker.call("spawn", task, "helpers", [{"role": "help", "name": "the helper"}], True)
    await db.execute("select taskq.signal($1, 'go', $2, 'maria')", id, {"when": "now"})
    words = words_of(await http.get(f"/tasks/{id}"))
    for said in (
        "it took too long", "File x.py, line 1", "a log line", "schema", "no proofs", "the helper",
        "Children", "parent", "Budget of this task", "of $2.00", "of 50 k", "go from maria", "helpers",
    ):  # fmt: skip
        assert said in words, said
    await db.execute("select taskq.cancel($1, 'not needed', 'ada')", id)
    again = await queue.rerun(id, actor="ada")

    async def both_say_so() -> bool:
        old, new = await http.get(f"/tasks/{id}"), await http.get(f"/tasks/{again}")
        return "not needed" in old.text and f'href="/tasks/{again}"' in old.text and str(id) in new.text

    await eventually(both_say_so)


async def test_what_others_wrote_stays_text(
    http: httpx2.AsyncClient, queue: Queue, worker: FakeWorker, db: asyncpg.Connection
) -> None:
    x = HOSTILE
    parent = await queue.enqueue("plan", name=x, created_by=x)
    payload = {"objective": x, x: x}
    id = await queue.enqueue(AGENT, payload, name=x, parent_id=parent, created_by=x, dedup_key=x)
    task = await worker.claim_one()
    await say(worker, task, 0, text(x), role="user")
    await say(
        worker, task, 1,
        text(x + "[x](javascript:alert(1)) ![y](http://evil.example/z.png)"),
        {"type": "thinking", "thinking": x},
        {"type": x, x: x},
        {"type": "tool_use", "id": x, "name": x, "input": {x: x}},
        calls=[{"call_id": x, "tool": x, "effect": "unsafe", "input": x, "needs_approval": True}],
        stop_reason=x, cost=1.0, usage={x: x, "input_tokens": x}, note=x,
    )  # fmt: skip
    body = json.dumps([{"type": "tool_result", "tool_use_id": x, "content": x}])
    await worker.call("settle_call", task, x, "error", x, x, 2, body, True)
    await worker.call("record_checks", task, 1, [{"name": x, "passed": False, "detail": x}])
    await db.execute("insert into taskq.logs (task_id, attempt, line) values ($1, 1, $2)", id, x)
    await db.execute("select taskq.steer($1, $2, $2)", id, x)
    await db.execute("select taskq.signal($1, $2, $3, $2)", id, x, {x: x})
    await worker.fail(task, "unknown", x, traceback=x)
    task = await worker.claim_one()
    await worker.call("spawn", task, x, [{"role": AGENT, "name": x}], False)
    await worker.complete(task, result={x: x, "summary": x})
    for address in (f"/tasks/{id}", f"/tasks/{id}/messages/1", f"/tasks/{parent}"):
        page = await http.get(address)
        assert page.status_code == 200, words_of(page)
        assert "<script>alert" not in page.text and "<img src=x" not in page.text, address
        assert 'href="javascript' not in page.text
        assert " onerror=" not in "".join(re.findall(r"<[^>]*>", page.text)), address


async def test_a_task_with_its_conversation_takes_two_statements(dsn: str, world: World) -> None:
    from web_client import client_of

    async with house(dsn) as opened, client_of(opened) as http:
        await http.get("/missions")
        before = opened.reads.sent
        await http.get(f"/tasks/{world.missions['payments'].tasks['backend']}")
        assert opened.reads.sent - before == 2


async def test_new_messages_appear_while_the_page_is_open(dsn: str, queue: Queue, worker: FakeWorker) -> None:
    id = await queue.enqueue(AGENT, {"objective": "Find it."}, name="finder")
    task = await worker.claim_one()
    await converse(worker, task)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto(f"/tasks/{id}")
        await page.evaluate("window.opened = true")
        frame = page.locator("#talk")
        call = frame.locator("details.call").first
        await call.locator("summary").click()
        assert await call.evaluate("element => element.open")
        for seq in range(3, 23):
            await say(worker, task, seq, text(f"Finding number {seq}. " + "More of it. " * 30), cost=0.01)
        await frame.get_by_text("Finding number 22.").wait_for()
        assert await page.evaluate("window.opened"), "the page was loaded again"
        assert await call.evaluate("element => element.open"), "what was unfolded was folded again"

        async def at_its_end() -> bool:
            gap = "([li, log]) => li.getBoundingClientRect().bottom - log.getBoundingClientRect().bottom"
            ends = [await frame.locator("li").last.element_handle(), await frame.element_handle()]
            return bool(await page.evaluate(gap, ends) <= 1)

        await eventually(at_its_end)
        await no_serious_fault(page)
        await photograph(page, "task-conversation-dark")
        await worker.complete(task, result={"summary": "Found."})
        await page.get_by_role("link", name="Run again as a new task").wait_for()


async def test_tasks_look_right_in_every_state(dsn: str, world: World, db: asyncpg.Connection) -> None:
    states = {
        "running": world.missions["payments"].tasks["backend"],
        "approval": await db.fetchval(
            "select id from taskq.tasks where status = 'awaiting_approval' and attempt > 0 limit 1"
        ),
        "failed": await db.fetchval(
            "select id from taskq.tasks t join taskq.attempts on task_id = id where t.status = 'failed'"
        ),
        "hostile": await db.fetchval("select id from taskq.tasks where name = $1", HOSTILE),
    }
    async with serving(dsn) as control, chromium() as browser:
        async with looking(browser, control.url) as page:
            for name, id in states.items():
                await page.goto(f"/tasks/{id}")
                await photograph(page, f"task-{name}-light")
                await no_serious_fault(page)
        async with looking(browser, control.url, viewport={"width": 320, "height": 700}) as page:
            for name, id in states.items():
                await page.goto(f"/tasks/{id}")
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
                await photograph(page, f"task-{name}-phone")
