"""The example product in a real browser: its customer loses access and gets back in, each of the three ways."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from dev.config import ROOT
from dev.stack import Stack
from tests.e2e import axe
from tests.e2e.hosted import consent

SOON = 30_000  # ms; a machine that is busy with other tests is slow
IN_A_POP_UP, ON_A_PAGE, IN_A_FRAME = "in a pop-up", "on Everlink", "here, in a frame"


@pytest.fixture(scope="module")
async def example(stack: Stack) -> AsyncIterator[str]:
    """`make example` beside the stack that runs."""
    port = str(random.randrange(20_000, 32_000))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dev.example",
        env={**os.environ, "EVERLINK_STATE_DIR": str(stack.config.state), "EXAMPLE_PORT": port},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
    assert said == [f"using the stack that runs in {stack.config.state}", f"open http://localhost:{port}"]
    yield said[1].removeprefix("open ")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.fixture
async def page(example: str, browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(SOON)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    await page.goto(example)
    yield page
    await context.close()
    assert [text for text in complaints if text.startswith("error") or "Content Security Policy" in text] == []


async def in_a_pop_up(page: Page, button: Locator) -> None:
    async with page.expect_popup() as opened:
        await button.click()
    await consent(await opened.value)


async def connect(page: Page, way: str) -> None:
    button = page.get_by_role("button", name=way)
    if way == IN_A_POP_UP:
        await in_a_pop_up(page, button)
        await says(page, "Connected. You never left this page.")
    elif way == ON_A_PAGE:
        await button.click()
        await page.get_by_role("button", name="onnect").click()
        await consent(page)
        await says(page, "Welcome back. Your account is connected.")
    else:
        await button.click()
        frame = page.locator("everlink-connect").frame_locator("iframe")
        await in_a_pop_up(page, frame.get_by_role("button", name="onnect"))
        await says(page, "Connected, in a frame of this page.")
        await expect(page.locator("everlink-connect")).to_have_count(0)
    await shows(page, "Connected")


async def says(page: Page, words: str) -> None:
    await expect(page.get_by_role("status")).to_have_text(words, timeout=SOON)


async def shows(page: Page, state: str) -> None:
    await expect(page.locator(".card .state")).to_have_text(state, timeout=SOON)


async def hears(page: Page, *events: str) -> None:
    """The newest webhooks, the latest last."""
    newest = page.locator(".log strong")
    for place, event in enumerate(reversed(events)):
        await expect(newest.nth(place)).to_have_text(event, timeout=SOON)


async def connection_id(page: Page) -> str | None:
    return await page.locator(".account code").get_attribute("title")


async def disconnect(page: Page) -> None:
    await page.get_by_role("button", name="Disconnect").click()
    await shows(page, "Not connected")
    await hears(page, "Connection Deleted")


@pytest.mark.parametrize("way", [IN_A_POP_UP, ON_A_PAGE, IN_A_FRAME])
async def test_customer_gets_back_in_with_one_click(page: Page, way: str) -> None:
    await connect(page, way)
    await hears(page, "Connection Created")
    before = await connection_id(page)

    await page.get_by_role("button", name="Play the customer").click()
    await says(page, "Ada has revoked access at the sandbox. Neither Everlink nor this product was told.")
    await shows(page, "Connected")
    await page.get_by_role("button", name="Sync now").click()
    await shows(page, "Reconnect needed")
    await hears(page, "Connection Created", "Connection Expired")
    await expect(page.locator(".card")).to_contain_text("access was revoked at the provider")

    await connect(page, way)
    await hears(page, "Connection Created", "Connection Expired", "Connection Reauthenticated")
    assert before is not None and await connection_id(page) == before
    await page.get_by_role("button", name="Sync now").click()
    await says(page, "Synced the profile of Ada Lovelace.")

    await disconnect(page)


async def test_everlink_finds_out_by_itself(page: Page) -> None:
    await connect(page, IN_A_POP_UP)
    await page.get_by_role("button", name="Play the customer").click()
    await shows(page, "Reconnect needed")
    await hears(page, "Connection Expired")
    await connect(page, IN_A_POP_UP)
    await disconnect(page)


async def test_webhook_of_somebody_else_is_refused(example: str, page: Page) -> None:
    forged = {"webhook-id": "forged", "webhook-timestamp": "0", "webhook-signature": "v1,AAAA"}
    async with httpx.AsyncClient(base_url=example) as somebody:
        answer = await somebody.post("/webhooks/everlink", headers=forged, json={"event": "Connection Forged"})
    assert answer.status_code == 401
    await page.reload()
    await expect(page.locator(".log strong", has_text="Forged")).to_have_count(0)


async def test_page_fits_a_phone(page: Page) -> None:
    await page.set_viewport_size({"width": 320, "height": 700})
    assert await page.evaluate("document.documentElement.scrollWidth") == 320


async def test_page_is_not_hard_to_use(example: str, browser: Browser, axe_script: Path) -> None:
    context = await browser.new_context(bypass_csp=True)
    page = await context.new_page()
    await page.goto(example)
    await connect(page, IN_A_POP_UP)
    await page.get_by_role("button", name="Play the customer").click()
    await page.get_by_role("button", name="Sync now").click()
    await shows(page, "Reconnect needed")
    assert await axe.violations(page, axe_script) == []
    await page.emulate_media(color_scheme="dark")
    assert await axe.violations(page, axe_script) == []
    await connect(page, IN_A_POP_UP)
    await disconnect(page)
    assert await axe.violations(page, axe_script) == []
    await context.close()
