"""The missions, and one of them as a graph, a timeline and a list."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from mission_control import chromium, looking, no_serious_fault, photograph, serving
from taskq import App, Queue, Task
from taskq.settings import Settings
from taskq.worker import Worker
from web_client import client, make_token
from web_world import HOSTILE, World, fill, populate

HISTORY = 20_000


@pytest.fixture
async def http(dsn: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(dsn) as opened:
        yield opened


@pytest.fixture
async def world(db: asyncpg.Connection) -> World:
    return await populate(db)


def headings(page: httpx2.Response) -> list[str]:
    """The names of the missions on a page."""
    return [unescape(name) for name in re.findall(r'<h2><a href="/missions/[^>]+>([^<]*)</a>', page.text)]


def words_of(page: httpx2.Response) -> str:
    """The words of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def drawn(page: httpx2.Response) -> Any:
    """What the script draws."""
    found = re.search(r'<script type="application/json" id="graph-data">(.*?)</script>', page.text, re.S)
    assert found is not None
    return json.loads(found[1])


async def mission(queue: Queue, name: str, children: int = 1, **root: Any) -> UUID:
    """A root with children."""
    id = await queue.enqueue("plan", name=name, **root)
    for number in range(children):
        await queue.enqueue("work", name=f"{name} {number}", mission_id=id)
    return id


async def test_missions_are_listed_newest_first_and_lone_tasks_are_none(
    http: httpx2.AsyncClient, queue: Queue
) -> None:
    await mission(queue, "older")
    await queue.enqueue("lone", name="lone")
    await mission(queue, "newer", created_by="maria")
    page = await http.get("/missions")
    assert headings(page) == ["newer", "older"]
    assert "2 queued" in words_of(page) and "maria" in words_of(page)


async def test_what_an_agent_does_alone_is_a_mission(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    await db.execute("insert into taskq.roles (name, kind) values ('writer', 'agent')")
    begun = await queue.enqueue("editor", name="begun")
    await db.execute("insert into taskq.policies (task_id, policy) values ($1, '{}')", begun)
    await queue.enqueue("writer", name="queued")
    await queue.enqueue("writer", name="awaits a person", requires_approval=True)
    await queue.enqueue("resize", name="no agent")
    assert headings(await http.get("/missions")) == ["awaits a person", "queued", "begun"]


async def test_missions_are_filtered_by_state_and_text(
    http: httpx2.AsyncClient, queue: Queue, db: asyncpg.Connection
) -> None:
    await mission(queue, "running", payload={"objective": "Find the lost café"})
    ended = await mission(queue, "ended")
    fallen = await mission(queue, "fallen")
    await finish(db, ended)
    await finish(db, fallen, "failed")
    for state, names in (("running", ["running"]), ("ended", ["fallen", "ended"]), ("failed", ["fallen"])):
        assert headings(await http.get("/missions", params={"state": state})) == names
    for text in ("CAFÉ", "running", "plan", str(fallen)):
        assert len(headings(await http.get("/missions", params={"text": text}))) >= 1, text
    assert headings(await http.get("/missions?text=caf%25")) == []
    assert "No mission matches" in (await http.get("/missions?text=nowhere")).text
    no_zone = f"after=2026-01-01T00:00:00_{ended}"
    for wrong in ("state=lost", "after=yesterday", "after=2026-01-01_x", no_zone):
        assert (await http.get(f"/missions?{wrong}")).status_code == 422


async def finish(db: asyncpg.Connection, root: UUID, status: str = "completed") -> None:
    """End a mission behind the queue's back."""
    async with db.transaction():
        await db.execute("set local session_replication_role = replica")
        await db.execute(
            """update taskq.tasks set status = $2::text::taskq.status, finished_at = now(),
                 error_kind = case when $2 = 'failed' then 'unknown' end where mission_id = $1""",
            root,
            status,
        )


async def test_pages_follow_each_other_without_a_gap(http: httpx2.AsyncClient, queue: Queue) -> None:
    for number in range(45):
        await mission(queue, f"m{number}")
    seen, href, pages = [], "/missions", 0
    while href:
        page = await http.get(href)
        seen += headings(page)
        pages += 1
        older = re.search(r'rel="next" href="([^"]+)"', page.text)
        href = unescape(older[1]) if older else ""
    assert seen == [f"m{number}" for number in reversed(range(45))] and pages == 3


async def test_a_mission_whose_root_is_gone_is_listed_all_the_same(
    http: httpx2.AsyncClient, queue: Queue
) -> None:
    gone = uuid4()
    await queue.enqueue("work", name="left behind", mission_id=gone)
    assert headings(await http.get("/missions")) == ["A mission whose root is gone"]
    page = await http.get(f"/missions/{gone}")
    assert page.status_code == 200 and "left behind" in page.text and f"/tasks/{gone}/cancel" not in page.text


async def test_lone_tasks_are_not_scanned_for_missions(
    http: httpx2.AsyncClient, world: World, db: asyncpg.Connection, dsn: str
) -> None:
    from taskq.web.reads import QUERIES

    await fill(db, HISTORY)
    plan = "\n".join(
        row[0]
        for row in await db.fetch(
            "explain (analyze, costs off, timing off) " + QUERIES["page_missions"], *[None] * 4, 21, None
        )
    )
    assert "Seq Scan on tasks" not in plan, plan
    rows = [int(rows) for rows in re.findall(r"on tasks .*\(actual rows=(\d+)", plan)]
    assert sum(rows) < HISTORY / 4, plan


async def test_a_mission_says_how_it_stands_in_every_view(http: httpx2.AsyncClient, world: World) -> None:
    root = world.missions["payments"].root
    page = await http.get(f"/missions/{root}")
    assert "2 of 7" in words_of(page) and "2 in progress" in words_of(page)
    graph = drawn(page)
    labels = {node["label"]: node for node in graph["nodes"]}
    assert {"backend", "frontend", "data", "qa", "facts", "report"} <= labels.keys()
    assert labels["backend"]["status"] == "in_progress" and labels["qa"]["critical"]
    assert {edge["kind"] for edge in graph["edges"]} == {"depends"} and len(graph["edges"]) == 8
    for step, id in world.missions["payments"].tasks.items():
        assert f'id="row-{id}"' in page.text, step  # the same as a table
    timeline = await http.get(f"/missions/{root}?view=timeline")
    assert timeline.text.count('class="span"') > 5 and ">now<" in timeline.text
    tree = await http.get(f"/missions/{root}?view=list")
    assert tree.text.count('class="leaf"') == 7
    assert (await http.get(f"/missions/{root}?view=map")).status_code == 422


async def test_the_page_of_a_task_in_a_mission_is_that_of_the_mission(
    http: httpx2.AsyncClient, world: World
) -> None:
    found = world.missions["payments"]
    page = await http.get(f"/missions/{found.tasks['qa']}")
    assert (page.status_code, page.headers["location"]) == (303, f"/missions/{found.root}")
    assert (await http.get(f"/missions/{uuid4()}")).status_code == 404


async def test_a_mission_can_be_cancelled_by_whom_it_may(dsn: str, world: World) -> None:
    running, over = world.missions["payments"].root, world.missions["booking"].root
    async with client(dsn) as http:
        page = await http.get(f"/missions/{running}")
        link = re.search(r'href="(/tasks/bulk\?verb=cancel[^"]*)"', page.text)
        assert link is not None
        form = words_of(await http.get(unescape(link[1])))
        assert all(f": {step} " in form for step in ("backend", "data", "qa", "facts", "report"))
        assert "verb=cancel" not in (await http.get(f"/missions/{over}")).text
    async with client(dsn, await make_token(dsn, "reader", "read")) as http:
        assert "verb=cancel" not in (await http.get(f"/missions/{running}")).text


async def test_a_mission_too_large_to_draw_is_a_list_of_what_has_not_ended_first(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    root = uuid4()
    await db.execute("insert into taskq.tasks (id, role) values ($1, 'plan')", root)
    await db.execute(
        "insert into taskq.tasks (role, mission_id) select 'work', $1 from generate_series(1, 600)", root
    )
    page = await http.get(f"/missions/{root}")
    assert "graph-data" not in page.text and page.text.count('class="leaf"') == 500
    assert f"/tasks?mission={root}" in page.text and "500 of 601 tasks" in words_of(page)
    assert "0 of 601" in words_of(page)


async def test_what_people_and_models_wrote_stays_text(http: httpx2.AsyncClient, queue: Queue) -> None:
    root = await mission(queue, HOSTILE, payload={"objective": HOSTILE}, created_by=HOSTILE)
    views = [f"/missions/{root}?view={view}" for view in ("graph", "timeline", "list")]
    for address in ("/missions", *views):
        page = await http.get(address)
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "<img src=x" not in page.text, address
    assert drawn(await http.get(f"/missions/{root}"))["nodes"][0]["label"] == HOSTILE


class Steps:
    """Roles whose tasks go on when they are told."""

    def __init__(self) -> None:
        self.app = App()
        self.gates = {name: asyncio.Event() for name in ("plan", "build", "check")}
        for name in self.gates:
            self.app.role(name)(self.step)

    async def step(self, task: Task) -> dict[str, str]:
        """Half done; then done, when it is told."""
        await task.progress(0.5, "half of it")
        await asyncio.wait_for(self.gates[task.role].wait(), 60)
        return {"done": task.role}


async def test_the_graph_follows_the_mission_and_keeps_its_place(dsn: str, queue: Queue) -> None:
    plan, build, check = uuid4(), uuid4(), uuid4()
    await queue.enqueue_many(
        [
            {"id": plan, "role": "plan", "name": "Ship it"},
            {"id": build, "role": "build", "mission_id": plan, "depends_on": [plan]},
            {"id": check, "role": "check", "mission_id": plan, "depends_on": [build]},
        ]
    )
    steps = Steps()
    worker = Worker(steps.app, dsn=dsn, settings=Settings(database_url=dsn, grace=timedelta(seconds=1)))
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto(f"/missions/{plan}")
        await page.evaluate("window.opened = true")

        async def shows(id: UUID, status: str, words: str) -> None:
            node = page.locator(f'a.node[href="/tasks/{id}"][data-status="{status}"]')
            await node.wait_for()
            assert words in (await node.get_attribute("aria-label") or "")

        await shows(plan, "queued", "Ship it, plan, queued")
        await shows(build, "blocked", "build, blocked")
        await page.get_by_role("button", name="Zoom in").click()
        await page.locator(f'a.node[href="/tasks/{build}"]').focus()
        place = await page.locator(".graph-svg > g").get_attribute("transform")

        running = asyncio.create_task(worker.run())
        try:
            await shows(plan, "in_progress", "50%")
            await photograph(page, "mission-graph-live")
            steps.gates["plan"].set()
            await shows(plan, "completed", "completed")
            await shows(build, "in_progress", "in progress")
            steps.gates["build"].set()
            steps.gates["check"].set()
            await shows(check, "completed", "completed")
            await page.get_by_role("listitem").filter(has_text="3 completed").wait_for()
        finally:
            worker.drain()
            await running
        assert await page.evaluate("window.opened"), "the page was loaded again"
        assert await page.locator(".graph-svg > g").get_attribute("transform") == place
        focused = await page.evaluate("document.activeElement.getAttribute('href')")
        assert focused == f"/tasks/{build}"
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/tasks/{build}")


async def test_missions_look_right_in_every_view(dsn: str, world: World) -> None:
    root = world.missions["search"].root
    views = {
        "missions": "/missions",
        "mission-graph": f"/missions/{root}",
        "mission-timeline": f"/missions/{root}?view=timeline",
        "mission-list": f"/missions/{root}?view=list",
    }
    async with serving(dsn) as control, chromium() as browser:
        async with looking(browser, control.url) as page:
            for name, address in views.items():
                await page.goto(address)
                if name == "mission-graph":
                    await page.locator("a.node").first.wait_for()
                await photograph(page, f"{name}-light")
                await no_serious_fault(page)  # which leaves it dark
                await photograph(page, f"{name}-dark")
        async with looking(browser, control.url, viewport={"width": 320, "height": 700}) as page:
            for name, address in views.items():
                await page.goto(address)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
                await photograph(page, f"{name}-phone")
