"""Logging in, in a real browser: a token is pasted, some doors stay shut, and it ends when the token does."""

from __future__ import annotations

import re

import asyncpg
from playwright.async_api import Page, expect

from mission_control import chromium, looking, no_serious_fault, photograph, serving
from taskq import Queue
from web_client import make_token


async def test_a_person_logs_in_is_refused_without_the_scope_and_logs_out(
    dsn: str, queue: Queue, db: asyncpg.Connection
) -> None:
    task = await queue.enqueue("resize")
    token = await make_token(dsn, "ada", "read")
    async with serving(dsn) as control, chromium() as browser, looking(browser, control.url) as page:
        await page.goto("/?from=a-link")
        await expect(page).to_have_url(re.compile(r"/login\?next=%2F%3Ffrom%3Da-link$"))
        await expect(page.get_by_label("Token")).to_be_focused()
        await no_serious_fault(page)
        await in_the_light(page, "login-light")

        await log_in(page, "tq_" + "x" * 43)
        await expect(page.get_by_label("Token")).to_have_accessible_description(re.compile("opens nothing"))
        await expect(page.get_by_label("Token")).to_have_value("")
        await no_serious_fault(page)
        await in_the_light(page, "login-wrong-light")

        await log_in(page, token)
        await expect(page).to_have_url(re.compile(r"/\?from=a-link$"))
        await page.get_by_role("rowheader", name="resize").wait_for()
        assert token not in await page.content()
        assert await page.evaluate("document.cookie") == ""
        await expect(page.get_by_role("link", name="New mission")).to_have_count(0)

        refused = await page.goto(f"/tasks/{task}/cancel")
        assert refused is not None and refused.status == 403
        await expect(page.locator("main")).to_contain_text("scope operate")
        await no_serious_fault(page)

        # a link on another site: the browser keeps the cookie back, and yet it leads to the page
        await page.goto(control.url.replace("127.0.0.1", "localhost") + "/login")
        await page.evaluate("url => location.assign(url)", f"{control.url}/?again")
        await page.get_by_role("rowheader", name="resize").wait_for()

        await page.locator("summary", has_text="ada").click()
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(re.compile(r"/login$"))
        await page.go_back()
        await expect(page.get_by_label("Token")).to_be_visible()
        assert await db.fetchval("select count(*) from taskq.sessions") == 0

        # whose token is revoked is led out of the page that is open
        await page.goto("/")
        await log_in(page, token)
        await expect(page.locator("#live")).to_have_attribute("data-state", "on")
        await db.execute("select taskq.revoke_token('ada')")
        await make_token(dsn, "another", "read")
        await expect(page).to_have_url(re.compile(r"/login\?next=%2F$"), timeout=20_000)


async def log_in(page: Page, token: str) -> None:
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()


async def in_the_light(page: Page, name: str) -> None:
    await page.evaluate("document.documentElement.dataset.theme = 'light'")
    await photograph(page, name)
