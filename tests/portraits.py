"""How a page looks: in light, in dark and on a phone, without a serious fault or sideways scrolling."""

from __future__ import annotations

from playwright.async_api import Page

from mission_control import no_serious_fault, photograph

DESK, PHONE, NARROWEST = (1360, 900), (390, 844), (320, 640)


async def portray(page: Page, path: str, name: str) -> None:
    """Look at a page in every way, and keep name-light, name-dark and name-phone."""
    await see(page, DESK)
    await page.goto(path)
    await no_serious_fault(page)
    await dress(page, "dark")
    await photograph(page, f"{name}-dark")
    await dress(page, "light")
    await photograph(page, f"{name}-light")
    await see(page, NARROWEST)
    assert await page.evaluate("document.documentElement.scrollWidth") <= NARROWEST[0], f"{path} scrolls"
    await see(page, PHONE)
    await photograph(page, f"{name}-phone")
    await see(page, DESK)
    await page.goto(path)  # axe leaves styles in the page, which the policy would not let move with a morph


async def see(page: Page, size: tuple[int, int]) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})


async def dress(page: Page, theme: str) -> None:
    """Change the colours, as the button does."""
    await page.evaluate(
        "theme => { document.documentElement.dataset.theme = theme;"
        " document.dispatchEvent(new Event('taskq:theme')) }",
        theme,
    )
