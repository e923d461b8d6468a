"""Acting on tasks in the page: what it says will happen, what it asks, and what it does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from conftest import Connect
from fake_worker import FakeWorker
from taskq import Queue
from taskq.web.acts import VERBS
from web_client import OPERATOR, client

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
async def http(dsn: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(dsn) as opened:
        yield opened


async def statuses(db: asyncpg.Connection) -> dict[str, str]:
    """By name."""
    return {row["name"]: row["status"] for row in await db.fetch("select name, status from taskq.tasks")}


async def why(db: asyncpg.Connection, id: UUID, verb: str) -> tuple[str, str]:
    """Who did it, and his reason."""
    row = await db.fetchrow(
        "select actor, reason from taskq.events where task_id = $1 and verb = $2", id, verb
    )
    return row["actor"], row["reason"]


def seen(page: httpx2.Response) -> str:
    """What a form's answer is about."""
    found = re.search(r'name="seen" value="(\w+)"', page.text)
    assert found is not None
    return found[1]


def words_of(page: httpx2.Response) -> str:
    """The words of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


async def test_every_verb_has_a_form_with_a_csrf_field_or_says_why_it_does_not_fit(
    http: httpx2.AsyncClient, queue: Queue
) -> None:
    id = await queue.enqueue("resize")
    for name, verb in VERBS.items():
        page = await http.get(f"/tasks/{id}/{name}")
        if "queued" in verb.statuses:
            assert page.status_code == 200 and 'name="csrf"' in page.text, name
        else:
            assert page.status_code == 409 and "does not fit a task that is queued" in page.text, name


async def test_acting_takes_the_scope_operate_and_dispatching_the_scope_dispatch(
    dsn: str, queue: Queue
) -> None:
    id = await queue.enqueue("human", name="question")
    _, reads = await queue.create_token("watcher", ["read"])
    _, operates = await queue.create_token("operator", ["read", "operate"])
    async with client(dsn, reads) as http:
        for verb in VERBS:
            assert (await http.get(f"/tasks/{id}/{verb}")).status_code == 403
            assert (await http.post(f"/tasks/{id}/{verb}", data={"reason": "x"})).status_code == 403
        inbox = await http.get("/approvals")
        assert "question" in inbox.text and "<textarea" not in inbox.text and "/complete" not in inbox.text
    async with client(dsn, operates) as http:
        assert (
            (await http.get("/new")).status_code == (await http.get("/new/tasks?find=q")).status_code == 403
        )
        for path in ("/new", "/new/preview"):
            assert (await http.post(path, data={"0.role": "human"})).status_code == 403
        assert (await http.post(f"/tasks/{id}/cancel", data={"reason": "x"})).status_code == 303
    assert (await queue.show(id))["status"] == "cancelled"


async def test_a_task_that_is_not_there_is_said(http: httpx2.AsyncClient) -> None:
    assert (await http.get(f"/tasks/{uuid4()}/cancel")).status_code == 404
    assert (await http.post(f"/tasks/{uuid4()}/cancel", data={"reason": "x"})).status_code == 404


async def test_cancel_names_what_falls_and_takes_it_down(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    root = await queue.enqueue("fetch", name="root")
    below = [await queue.enqueue("count", name=f"count {n}", depends_on=[root]) for n in range(25)]
    page = await http.get(f"/tasks/{root}/cancel")
    assert "25 tasks are cancelled with it" in words_of(page) and "and 5 more" in words_of(page)
    assert f"/tasks/{below[0]}" in page.text
    done = await http.post(f"/tasks/{root}/cancel", data={"reason": "not needed", "seen": seen(page)})
    assert (done.status_code, done.headers["location"]) == (303, f"/tasks/{root}")
    assert set((await statuses(db)).values()) == {"cancelled"}
    assert await why(db, root, "cancel") == (OPERATOR, "not needed")


async def test_a_running_task_is_asked_to_stop(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    id = await queue.enqueue("resize")
    worker = await FakeWorker(db, "resize").register(name="press-1")
    await worker.claim_one()
    page = await http.get(f"/tasks/{id}/cancel")
    assert "Its worker (press-1) is asked to stop" in words_of(page)
    assert (await http.post(f"/tasks/{id}/cancel", data={"reason": "stop"})).status_code == 303
    assert await db.fetchval("select cancel_requested_at is not null from taskq.tasks where id = $1", id)


async def test_a_reason_that_the_record_needs_is_asked_for_at_its_field(
    http: httpx2.AsyncClient, queue: Queue
) -> None:
    id = await queue.enqueue("resize")
    page = await http.post(f"/tasks/{id}/cancel", data={"reason": "  "})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text and 'id="f-reason-error">This is needed.' in page.text
    assert 'aria-describedby="f-reason-hint f-reason-error"' in page.text
    too_long = await http.post(f"/tasks/{id}/cancel", data={"reason": "x" * 8001})
    assert too_long.status_code == 422 and "At most 8000 characters." in too_long.text
    assert "x" * 8001 in too_long.text


async def test_retry_names_what_is_revived_and_leaves_out_what_stays_down(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    root = await queue.enqueue("fetch", name="root")
    other = await queue.enqueue("fetch", name="other")
    below = await queue.enqueue("count", name="below", depends_on=[root])
    await queue.enqueue("count", name="deep", depends_on=[below])
    both = await queue.enqueue("count", name="both", depends_on=[below, other])
    await queue.enqueue("count", name="under both", depends_on=[both])
    await queue.cancel(root, "wrong")
    await queue.cancel(other, "wrong")
    page = await http.get(f"/tasks/{root}/retry")
    assert "2 tasks are revived with it" in words_of(page)
    names = set(re.findall(r'<li>.*?<a href="/tasks/[^"]+">([^<]+)</a>', page.text))
    assert names == {"below", "deep"}
    assert (await http.post(f"/tasks/{root}/retry", data={"reason": ""})).status_code == 303
    after = await statuses(db)
    assert {name for name, status in after.items() if status == "cancelled"} == {
        "other",
        "both",
        "under both",
    }
    assert after["root"] == "queued" and after["below"] == after["deep"] == "blocked"


async def test_requeue_takes_a_task_from_its_worker(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    id = await queue.enqueue("resize")
    await (await FakeWorker(db, "resize").register()).claim_one()
    assert (await http.post(f"/tasks/{id}/requeue", data={"reason": "hangs"})).status_code == 303
    assert await db.fetchval("select status from taskq.tasks where id = $1", id) == "queued"
    assert await why(db, id, "requeue") == (OPERATOR, "hangs")


async def test_a_rerun_leads_to_the_new_task(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    id = await queue.enqueue("resize")
    await queue.complete(id)
    done = await http.post(f"/tasks/{id}/rerun", data={"reason": ""})
    new = await db.fetchval("select id from taskq.tasks where rerun_of = $1", id)
    assert done.headers["location"] == f"/tasks/{new}"


async def test_approve_and_reject_say_what_follows_and_what_falls(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    plan = await queue.enqueue("plan", name="plan", requires_approval=True)
    await queue.enqueue("build", name="build", depends_on=[plan])
    assert "1 task waits for it" in words_of(await http.get(f"/tasks/{plan}/approve"))
    assert "1 task is cancelled with it" in words_of(await http.get(f"/tasks/{plan}/reject"))
    assert (await http.post(f"/tasks/{plan}/approve", data={"reason": "good"})).status_code == 303
    assert (await statuses(db))["plan"] == "queued" and await why(db, plan, "approve") == (OPERATOR, "good")
    bad = await queue.enqueue("plan", name="bad", requires_approval=True)
    assert (await http.post(f"/tasks/{bad}/reject", data={"reason": "too broad"})).status_code == 303
    assert (await statuses(db))["bad"] == "cancelled" and await why(db, bad, "reject") == (
        OPERATOR,
        "too broad",
    )


@pytest.mark.parametrize(
    ("kind", "typed", "result"),
    [("text", "Yes, do.", "Yes, do."), ("json", '{"yes": true}', {"yes": True}), ("json", "3", 3)],
)
async def test_a_person_completes_a_task_with_text_or_json(
    http: httpx2.AsyncClient, queue: Queue, kind: str, typed: str, result: Any
) -> None:
    id = await queue.enqueue("human")
    done = await http.post(f"/tasks/{id}/complete", data={"kind": kind, "result": typed})
    assert done.status_code == 303
    assert (await queue.show(id))["result"] == result


async def test_a_person_says_that_it_could_not_be_done(http: httpx2.AsyncClient, queue: Queue) -> None:
    id = await queue.enqueue("human")
    silent = await http.post(f"/tasks/{id}/complete", data={"kind": "failure"})
    assert silent.status_code == 422 and "Say why it could not be done." in silent.text
    await http.post(f"/tasks/{id}/complete", data={"kind": "failure", "result": "nobody knows"})
    row = await queue.show(id)
    assert (row["status"], row["error"]) == ("failed", "nobody knows")


@pytest.mark.parametrize("typed", ["{", "[1", '"\\u0000"', "[" * 100_000])
async def test_a_result_that_is_no_json_is_said_at_its_field_and_kept(
    http: httpx2.AsyncClient, queue: Queue, typed: str
) -> None:
    id = await queue.enqueue("human")
    page = await http.post(f"/tasks/{id}/complete", data={"kind": "json", "result": typed})
    assert page.status_code == 422 and 'id="f-result-error"' in page.text
    assert typed in unescape(page.text)
    assert (await queue.show(id))["status"] == "queued"


async def test_steer_and_pause_reach_the_agent(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    id = await queue.enqueue("agent")
    assert "a plain function never hears it" in words_of(await http.get(f"/tasks/{id}/steer"))
    assert (await http.post(f"/tasks/{id}/steer", data={"text": "Read\r\nit."})).status_code == 303
    assert (await http.post(f"/tasks/{id}/pause", data={"reason": "wait"})).status_code == 303
    rows = await db.fetch("select verb, text, actor from taskq.steers where task_id = $1 order by id", id)
    assert [tuple(row) for row in rows] == [("say", "Read\nit.", OPERATOR), ("pause", "wait", OPERATOR)]


async def test_what_changed_meanwhile_is_a_conflict_that_shows_how_it_is_now(
    http: httpx2.AsyncClient, queue: Queue
) -> None:
    id = await queue.enqueue("plan", name="plan", requires_approval=True)
    page = await http.get(f"/tasks/{id}/reject")
    await queue.approve(id, "bob")
    late = await http.post(f"/tasks/{id}/reject", data={"reason": "no", "seen": seen(page)})
    assert late.status_code == 409 and "It is queued now" in words_of(late)
    assert f'href="/tasks/{id}/cancel"' in late.text
    assert (await queue.show(id))["status"] == "queued"


async def test_a_form_about_another_status_is_asked_again_and_keeps_what_was_typed(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    id = await queue.enqueue("resize")
    page = await http.get(f"/tasks/{id}/cancel")
    await (await FakeWorker(db, "resize").register()).claim_one()
    again = await http.post(f"/tasks/{id}/cancel", data={"reason": "no need", "seen": seen(page)})
    assert again.status_code == 409 and "changed since you looked" in again.text
    assert "no need</textarea>" in again.text and "is asked to stop" in again.text
    assert await db.fetchval("select cancel_requested_at is null from taskq.tasks where id = $1", id)
    sure = await http.post(f"/tasks/{id}/cancel", data={"reason": "no need", "seen": seen(again)})
    assert sure.status_code == 303


async def test_hostile_text_stays_text(http: httpx2.AsyncClient, queue: Queue, connect: Connect) -> None:
    id = await queue.enqueue("role", {"objective": HOSTILE}, name=HOSTILE, requires_approval=True)
    await queue.enqueue("role", name=HOSTILE, depends_on=[id])
    for verb in VERBS:
        for page in (
            await http.get(f"/tasks/{id}/{verb}?back={HOSTILE}"),
            await http.post(f"/tasks/{id}/{verb}", data={"back": HOSTILE, "text": HOSTILE, "seen": HOSTILE}),
        ):
            assert "<script>alert" not in page.text and "<img" not in page.text, verb


@pytest.mark.parametrize(
    ("back", "to"), [("/approvals?role=a", "/approvals?role=a"), ("//evil.example", None), ("/tasks", None)]
)
async def test_a_form_leads_back_to_known_pages_only(
    http: httpx2.AsyncClient, queue: Queue, back: str, to: str | None
) -> None:
    id = await queue.enqueue("resize")
    done = await http.post(f"/tasks/{id}/retry", data={"back": back})
    assert done.headers["location"] == (f"{to}&done={id}" if to else f"/tasks/{id}")


async def test_the_dialog_is_told_where_to_go(http: httpx2.AsyncClient, queue: Queue) -> None:
    id = await queue.enqueue("resize")
    done = await http.post(
        f"/tasks/{id}/retry", data={"back": "/approvals\r\nX: 1"}, headers={"HX-Request": "true"}
    )
    assert (done.status_code, done.headers["hx-redirect"]) == (200, f"/tasks/{id}")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"reason=%ff", "application/x-www-form-urlencoded", 400),
        (b"reason=\xff", "application/x-www-form-urlencoded", 400),
        (b"reason=%00", "application/x-www-form-urlencoded", 422),
        (b"a=1&" * 1001, "application/x-www-form-urlencoded", 400),
        (b"reason=x", "text/plain", 415),
        (b"reason=" + b"x" * 1024 * 1024, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_what_is_no_form_is_refused(
    http: httpx2.AsyncClient, queue: Queue, body: bytes, kind: str, status: int
) -> None:
    id = await queue.enqueue("resize")
    answer = await http.post(f"/tasks/{id}/cancel", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert (await queue.show(id))["status"] == "queued"
