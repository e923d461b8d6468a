"""A new mission: what the form offers, what it refuses and where, and what it puts in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from getpass import getuser
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from playwright.async_api import expect

from fake_worker import FakeWorker
from mission_control import chromium, looking, no_serious_fault, photograph, serving
from taskq import Queue
from test_web_acts import HOSTILE, words_of
from web_client import OPERATOR, client
from web_world import populate


@pytest.fixture
async def roles(db: asyncpg.Connection, tmp_path: Path) -> None:
    """An agent that may change checkouts, one that may not, a program."""
    (tmp_path / "shop").mkdir()
    await db.executemany(
        "insert into taskq.roles (name, kind, description, repositories) values ($1, $2, $3, $4)",
        [
            ("engineer", "agent", "Builds it.", [f"{tmp_path}/*", "/srv/co/web-*"]),
            ("critic", "agent", "Judges it.", []),
            ("resize", "function", "Makes it small.", []),
        ],
    )


@pytest.fixture
async def http(dsn: str, roles: None) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(dsn) as opened:
        yield opened


def typed(*tasks: dict[str, Any], do: str = "send", **more: Any) -> dict[str, Any]:
    """The form with these tasks."""
    fields = {f"{n}.{name}": text for n, task in enumerate(tasks) for name, text in task.items()}
    return {"tasks": str(len(tasks)), "do": do, **fields, **more}


def errors(page: httpx2.Response) -> dict[str, str]:
    """By the id of the field."""
    found = re.findall(r'<p class="error" id="([\w-]+)-error">(.*?)</p>', page.text)
    return {id: unescape(message) for id, message in found}


def as_json(page: httpx2.Response) -> Any:
    """The preview."""
    [text] = re.findall(r'aria-label="The mission as JSON">(.*?)</pre>', page.text, re.DOTALL)
    return json.loads(unescape(text))


async def rows(db: asyncpg.Connection) -> list[asyncpg.Record]:
    return await db.fetch("select * from taskq.tasks order by id")


async def test_the_form_offers_the_roles_and_says_who_plays_them(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    await FakeWorker(db, "critic", "undeclared").register()
    page = await http.get("/new?role=critic")
    assert page.status_code == 200 and 'name="csrf"' in page.text
    assert "engineer (no worker)" in words_of(page) and "Judges it. 1 live worker plays it." in words_of(page)
    assert '<option value="undeclared">' in page.text


async def test_a_mission_of_one_task_is_put_in_and_shown(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    task = {
        "role": "critic",
        "name": "Read it",
        "objective": "Read *all*.",
        "payload": '{"depth": 2}',
        "priority": "3",
    }
    answer = await http.post("/new", data=typed(task))
    [row] = await rows(db)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/missions/{row['id']}")
    assert (row["role"], row["name"], row["priority"]) == ("critic", "Read it", 3)
    assert row["payload"] == {"objective": "Read *all*.", "depth": 2}
    assert (row["status"], row["created_by"], row["mission_id"]) == ("queued", OPERATOR, row["id"])


async def test_several_tasks_are_one_mission(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    tasks = (
        {"role": "critic", "name": "first"},
        {"role": "engineer", "name": "second", "after": ["0"]},
        {"role": "resize", "name": "third", "after": ["0", "1"], "on_dependency_failure": "run"},
    )
    answer = await http.post("/new", data=typed(*tasks))
    assert answer.status_code == 303
    by_name = {row["name"]: row for row in await rows(db)}
    first, second, third = (by_name[name] for name in ("first", "second", "third"))
    assert {row["mission_id"] for row in by_name.values()} == {first["id"]}
    assert second["depends_on"] == [first["id"]]
    assert third["depends_on"] == [first["id"], second["id"]] and third["on_dependency_failure"] == "run"


async def test_the_preview_is_what_the_api_takes(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    first = {"role": "critic", "requires_approval": "on", "delay": "2h"}
    one = as_json(await http.post("/new/preview", data=typed(first)))
    assert one == {"role": "critic", "delay": 7200.0, "requires_approval": True}
    assert (await http.post("/api/v1/tasks", json=one)).status_code == 201
    several = as_json(await http.post("/new", data=typed(first, {"role": "resize", "after": ["0"]}, do="")))
    assert [task["id"] for task in several["tasks"]] == ["task-1", "task-2"]
    assert (await http.post("/api/v1/tasks/graph", json=several)).status_code == 201
    assert len(await rows(db)) == 3


async def test_buttons_add_and_remove_tasks_and_nothing_typed_is_lost(http: httpx2.AsyncClient) -> None:
    two = await http.post("/new", data=typed({"role": "critic", "objective": "Read\r\nit."}, do="add"))
    assert "Read\nit.</textarea>" in two.text and 'name="1.role"' in two.text
    assert re.search(r'name="1.after" value="0" checked', two.text)
    three = [{"name": "a"}, {"name": "b", "after": ["0"]}, {"name": "c", "after": ["0", "1"]}]
    left = await http.post("/new", data=typed(*three, do="remove.0"))
    assert 'name="2.role"' not in left.text and 'value="b"' in left.text
    assert re.findall(r'name="(\d.after)" value="(\d)" checked', left.text) == [("1.after", "0")]


@pytest.mark.parametrize(
    ("task", "field", "message"),
    [
        ({"role": ""}, "t0-role", "This is needed."),
        ({"role": "nobody"}, "t0-role", "No worker ever declared this role. Pick one of the list."),
        ({"role": "critic", "repository": "/srv/a"}, "t0-repository", "critic may change no repository"),
        ({"role": "engineer", "repository": "/etc"}, "t0-repository", "engineer may change only"),
        ({"role": "engineer", "repository": "/srv/co/web-1/x"}, "t0-repository", "engineer may change only"),
        ({"role": "engineer", "repository": "/srv/co/web-*/../.."}, "t0-repository", "absolute path without"),
        ({"role": "engineer", "repository": "web-1"}, "t0-repository", "absolute path without"),
        ({"role": "engineer", "payload": '{"repository": "/etc"}'}, "t0-payload", "engineer may change only"),
        ({"role": "engineer", "payload": '{"repository": 3}'}, "t0-payload", "must be a path"),
        ({"role": "resize", "repository": "/srv/a"}, "t0-repository", "resize is no agent"),
        ({"role": "critic", "payload": "{"}, "t0-payload", "This is no JSON"),
        ({"role": "critic", "payload": "[]"}, "t0-payload", "This must be a JSON object"),
        ({"role": "critic", "objective": "a", "payload": '{"objective": 1}'}, "t0-payload", "of its own"),
        ({"role": "critic", "priority": "high"}, "t0-priority", "A whole number, please."),
        ({"role": "critic", "priority": "40000"}, "t0-priority", "At most 32767."),
        ({"role": "critic", "run_at": "soon"}, "t0-run_at", "A moment in UTC"),
        ({"role": "critic", "delay": "a while"}, "t0-delay", "A length of time"),
        ({"role": "critic", "delay": "1h", "run_at": "2027-01-01T00:00"}, "t0-delay", "either a moment"),
        ({"role": "critic", "depends_on": "x"}, "t0-depends_on", "“x” is no id of a task."),
        ({"role": "critic", "depends_on": str(UUID(int=5))}, "t0-depends_on", "which does not exist"),
        ({"role": "critic", "on_dependency_failure": "pray"}, "t0-on_dependency_failure", "none of"),
        ({"role": "critic", "name": "\x00"}, "t0-name", "NUL"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_at_its_field(
    http: httpx2.AsyncClient, db: asyncpg.Connection, task: dict[str, str], field: str, message: str
) -> None:
    page = await http.post("/new", data=typed({"name": "kept", **task}))
    assert page.status_code == 422
    assert message in errors(page)[field], errors(page)
    assert f'id="{field}"' in page.text and f'href="#{field}"' in page.text
    assert 'aria-invalid="true"' in page.text
    assert task.get("name") or 'value="kept"' in page.text
    assert not await rows(db)


@pytest.mark.parametrize("field", ["cost", "tokens", "turns", "tool_calls", "seconds"])
async def test_a_limit_that_is_none_is_said_at_its_field(http: httpx2.AsyncClient, field: str) -> None:
    page = await http.post("/new", data=typed({"role": "critic"}, **{field: "-1"}))
    assert page.status_code == 422 and set(errors(page)) == {f"f-{field}"}


async def test_a_budget_holds_from_the_beginning(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    answer = await http.post("/new", data=typed({"role": "critic"}, cost="2.5", turns="20"))
    row = await db.fetchrow("select * from taskq.budgets")
    assert answer.headers["location"] == f"/missions/{row['key']}"
    assert (row["scope"], float(row["cost"]), row["turns"], row["tokens"]) == ("mission", 2.5, 20, None)
    assert row["set_by"] == OPERATOR


async def test_a_repository_that_the_role_may_touch_is_offered_and_taken(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue, tmp_path: Path
) -> None:
    await queue.enqueue("engineer", {"repository": "/srv/co/web-7"})
    await queue.enqueue("engineer", {"repository": "/srv/else"})
    page = await http.get("/new?role=engineer")
    [options] = re.findall(r'<datalist id="t0-repositories">(.*?)</datalist>', page.text)
    assert re.findall(r'value="(.*?)"', options) == ["/srv/co/web-7", f"{tmp_path}/shop"]
    await http.post("/new", data=typed({"role": "engineer", "repository": f"{tmp_path}/shop"}))
    assert (await rows(db))[-1]["payload"] == {"repository": f"{tmp_path}/shop"}


async def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    page = await http.post(
        "/new", data=typed({"role": "critic"}, {"role": "resize", "after": ["0"]}, do="check")
    )
    assert page.status_code == 200 and not await rows(db)
    assert "queued critic no live worker plays role critic" in words_of(page)
    assert "blocked resize no live worker plays role resize" in words_of(page)
    wrong = await http.post("/new", data=typed({"role": "critic", "depends_on": str(uuid4())}, do="check"))
    assert wrong.status_code == 422 and "does not exist" in errors(wrong)["t0-depends_on"]


async def test_a_mission_that_is_sent_twice_is_put_in_once(
    http: httpx2.AsyncClient, db: asyncpg.Connection
) -> None:
    form = typed({"role": "critic"}, once="one")
    first, second = await asyncio.gather(*(http.post("/new", data=form) for _ in range(2)))
    assert first.headers["location"] == second.headers["location"]
    assert len(await rows(db)) == 1
    await http.post("/new", data=typed({"role": "critic", "name": "another"}, once="one"))
    assert len(await rows(db)) == 2


async def test_a_template_brings_the_form_back(http: httpx2.AsyncClient, db: asyncpg.Connection) -> None:
    tasks = (
        {"role": "critic", "name": "first", "objective": "Look.", "payload": '{"n": 1}', "delay": "90s"},
        {"role": "resize", "after": ["0"], "requires_approval": "on"},
    )
    saved = await http.post("/new", data=typed(*tasks, do="save", template="Weekly", cost="3"))
    assert saved.status_code == 200 and "Saved as the template “Weekly”." in saved.text
    assert not await rows(db)
    page = await http.get("/new?template=Weekly")
    assert (
        "<option selected>Weekly</option>" in page.text
        and 'name="cost" type="number" value="3.0"' in page.text
    )
    assert as_json(page) == as_json(saved)
    nameless = await http.post("/new", data=typed({"role": "critic"}, do="save"))
    assert errors(nameless) == {"f-template": "This is needed."}
    long = await http.post("/new", data=typed({"role": "critic"}, do="save", template="x" * 201))
    assert long.status_code == 422 and "200 characters" in errors(long)["f-template"]
    assert (await http.get("/new?template=none")).status_code == 404


@pytest.mark.parametrize(
    "saved",
    [{}, {"tasks": 3}, {"tasks": []},
     {"tasks": [1, {"role": 5, "payload": 3, "depends_on": [None]}], "budget": [1]},
     {"role": "critic", "delay": "2 hours", "payload": {"objective": 4}}],
)  # fmt: skip
async def test_whatever_is_saved_as_a_template_makes_a_form(
    http: httpx2.AsyncClient, queue: Queue, saved: dict[str, Any]
) -> None:
    await queue.save_template("odd", saved)
    assert (await http.get("/new?template=odd")).status_code == 200


async def test_tasks_are_found_as_somebody_types(http: httpx2.AsyncClient, queue: Queue) -> None:
    one = await queue.enqueue("resize", name="Invoices of May")
    await queue.enqueue("critic", name="100% of it")
    for asked in ("invoices", "RESIZE", str(one), str(one)[-8:]):
        page = await http.get("/new/tasks", params={"find": asked, "place": "1"})
        assert re.findall(r'name="1.depends_on" value="([^"]+)"', page.text) == [str(one)], asked
    assert "100% of it" in (await http.get("/new/tasks?find=0%25 o")).text
    assert "says “_”" in (await http.get("/new/tasks?find=_")).text
    assert (await http.get("/new/tasks")).text.strip() == ""
    picked = await http.post("/new", data=typed({"role": "critic", "depends_on": [str(one), ""]}, do=""))
    assert "Invoices of May" in picked.text and as_json(picked)["depends_on"] == [str(one)]


async def test_hostile_text_stays_text(
    http: httpx2.AsyncClient, db: asyncpg.Connection, queue: Queue
) -> None:
    await db.execute(
        "insert into taskq.roles (name, description, repositories, kind) values ('odd', $1, $2, 'agent')",
        HOSTILE,
        [HOSTILE],
    )
    id = await queue.enqueue("resize", {"repository": HOSTILE}, name=HOSTILE)
    await queue.save_template(HOSTILE, {"role": HOSTILE, "name": HOSTILE, "payload": {HOSTILE: HOSTILE}})
    task = dict.fromkeys(("role", "name", "objective", "repository", "payload", "run_at", "delay"), HOSTILE)
    for page in (
        await http.get("/new", params={"template": HOSTILE}),
        await http.get("/new", params={"role": HOSTILE, "name": HOSTILE, "depends_on": HOSTILE}),
        await http.post(
            "/new", data=typed({**task, "depends_on": [str(id), HOSTILE]}, do="check", cost=HOSTILE)
        ),
        await http.post("/new/preview", data=typed({"role": "odd", "name": HOSTILE, "objective": HOSTILE})),
        await http.get("/new/tasks", params={"find": "<script>"}),
        await http.get("/new/tasks", params={"find": "<script", "place": HOSTILE}),
    ):
        assert page.status_code in (200, 422) and "alert(1)" in page.text
        assert "<script>alert" not in page.text and "<img" not in page.text


async def test_a_person_dispatches_a_mission_in_a_browser(dsn: str, db: asyncpg.Connection) -> None:
    await populate(db)
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto("/new")
        await no_serious_fault(page)
        await page.evaluate("document.documentElement.dataset.theme = 'light'")
        await page.get_by_role("button", name="Dispatch").click()
        await page.get_by_role("alert").wait_for()
        await expect(page.get_by_label("Role")).to_be_focused()

        await page.get_by_label("Role").select_option("SABINE_ARCHITECT")
        await page.get_by_text("Turns an objective into a design").wait_for()
        await page.get_by_label("Name", exact=False).first.fill("Refunds within a day")
        await page.get_by_label("Objective").fill(
            "Refunds reach the customer **within a day**.\n\n- keep the ledger exact"
        )
        await page.locator("#preview strong", has_text="within a day").wait_for()
        await page.get_by_placeholder("Find existing tasks").fill("Fair rate limits")
        await page.locator("#t0-found input").first.check()
        await expect(page.locator("[data-picked] input:checked")).to_have_count(1)
        await page.get_by_role("button", name="Add a task").click()
        await expect(page.locator("#t1-role")).to_be_focused()
        await page.locator("#t1-role").select_option("qa-security-sabine")
        await page.locator("#t1-objective").fill("Try to pay a refund twice.")
        await page.get_by_role("button", name="Dry run").click()
        await page.get_by_text("Nothing was written").wait_for()
        await no_serious_fault(page)
        await page.evaluate("scrollTo(0, 0)")
        await photograph(page, "new-dark")
        await page.evaluate("document.documentElement.dataset.theme = 'light'")
        await photograph(page, "new-light")
        await page.route("**/new", lambda route: route.fulfill(status=503, body="away"))
        await page.get_by_role("button", name="Dispatch").click()
        await page.get_by_text("The server answered 503.").wait_for()
        await page.unroute("**/new")
        await page.get_by_role("button", name="Dispatch").click()
        await page.wait_for_url("**/missions/*")
    made = await db.fetch(
        "select * from taskq.tasks where created_by = $1 and created_at > now() - interval '1 min'", getuser()
    )
    assert len({row["mission_id"] for row in made}) == 1 and len(made) == 2
    root, other = sorted(made, key=lambda row: row["name"] is None)
    assert other["depends_on"] == [root["id"]] and len(root["depends_on"]) == 1
