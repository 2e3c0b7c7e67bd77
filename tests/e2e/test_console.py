"""The operator's page in a real browser: from signing in to an event that is sent once more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.async_api import Browser, Page, Route, expect

from dev.listener import Listener
from dev.stack import Stack
from tests.e2e import axe
from tests.e2e.hosted import linked

ACCOUNT = "console"
ELSEWHERE = "http://chat.example/"


@pytest.fixture
async def page(stack: Stack, browser: Browser) -> AsyncIterator[Page]:
    """An operator's browser, and what it complains of."""
    context = await browser.new_context(base_url=stack.addresses.api)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    yield page
    await context.close()
    assert [text for text in complaints if "status of 40" not in text] == []


async def revoked_connection(stack: Stack, product: httpx.AsyncClient, account: str) -> dict[str, Any]:
    """Connected through real consent, revoked at the sandbox, and known to need its customer."""
    customer = await linked(stack, product, account)
    await customer.break_consent(await customer.connect())
    [connection] = await customer.connections()
    return connection


async def fail_deliveries(product: httpx.AsyncClient, connection: str, endpoint: str) -> None:
    """The endpoint answers nothing good, and is disabled: what waits to be tried again has failed."""
    path = f"/v1/webhook-endpoints/{endpoint}"
    async with asyncio.timeout(60):
        while not await statuses(product, connection, endpoint, "attempts") >= {1}:
            await asyncio.sleep(0.1)
        await product.patch(path, json={"is_enabled": False})
        while await statuses(product, connection, endpoint, "status") != {"failed"}:
            await asyncio.sleep(0.1)
    await product.patch(path, json={"is_enabled": True})


async def statuses(product: httpx.AsyncClient, connection: str, endpoint: str, what: str) -> set[object]:
    found = (await product.get(f"/v1/connections/{connection}/deliveries")).json()
    return {one[what] for one in found if one["endpoint_id"] == endpoint}


async def sign_in(page: Page, key: str, *, allow_changes: bool = False) -> None:
    """By the keyboard alone: the field has the focus."""
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(key)
    if allow_changes:
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_operator_finds_a_broken_connection_and_sends_its_event_once_more(
    stack: Stack, product: httpx.AsyncClient, page: Page
) -> None:
    async with Listener() as listener:
        endpoint, listener.failing = await listener.subscribe(product), True
        connection = await revoked_connection(stack, product, ACCOUNT)
        await fail_deliveries(product, connection["id"], endpoint)
        listener.failing = False

        await page.goto("/console")
        await sign_in(page, product.headers["x-api-key"], allow_changes=True)
        await page.get_by_role("navigation", name="By status").get_by_role("link", name="Need their customer").click()
        await page.get_by_label("Reason").select_option("access was revoked at the provider")
        await page.get_by_label("Linked account").fill(ACCOUNT)
        await page.get_by_role("button", name="Filter").click()
        row = page.get_by_role("row").filter(has_text=ACCOUNT)
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text("Access was revoked at the provider.")
        await row.click()  # anywhere in it

        assert page.url.endswith(f"/console/connections/{connection['id']}")
        picture = page.get_by_role("img", name="The life of this connection")
        await expect(picture).to_be_visible()
        await expect(picture.locator(".phase.reauth_required rect").first).to_be_visible()
        await expect(picture.locator("use[href='#m-connected']")).to_be_visible()
        await expect(picture.locator("use[href='#m-expired']")).to_be_visible()
        happened = page.get_by_role("table").first.get_by_role("row")
        await expect(happened.nth(1)).to_contain_text("Expired")
        await expect(happened.nth(1)).to_contain_text("Access was revoked at the provider")
        workflow = page.get_by_role("link", name="Workflow in Temporal")
        await expect(workflow).to_have_attribute("href", connection["workflow_url"])
        async with httpx.AsyncClient() as anyone:
            assert (await anyone.get(connection["workflow_url"])).status_code == 200

        host = httpx.URL(listener.url).netloc.decode()
        failed = page.get_by_role("row").filter(has_text="Connection Expired").filter(has_text=host)
        await expect(failed).to_contain_text("Failed")
        await failed.get_by_role("button", name="Replay Connection Expired").click()
        await expect(page.get_by_role("status")).to_have_text("The event is being sent once more.")
        event = await listener.wait_for("Connection Expired", "sandbox", ACCOUNT)
        assert event["connection_id"] == connection["id"]
        async with asyncio.timeout(20):
            while not await failed.get_by_text("Delivered").count():
                await page.reload()
        await product.delete(f"/v1/webhook-endpoints/{endpoint}")

        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("API key")).to_be_focused()
        await page.go_back()  # nothing is kept of what was seen
        await expect(page.get_by_text(connection["id"])).to_have_count(0)


async def test_a_link_from_a_chat_leads_on_to_its_page(stack: Stack, product: httpx.AsyncClient, page: Page) -> None:
    """The cookie is strict, and so not shown to it: who has signed in goes on with one click."""
    goal = f"{stack.addresses.api}/console/applications"

    async def chat(route: Route) -> None:
        await route.fulfill(body=f'<a href="{goal}">look</a>', content_type="text/html")

    await page.route(ELSEWHERE, chat)
    await page.goto("/console/applications")
    await sign_in(page, product.headers["x-api-key"])
    assert page.url == goal
    await expect(page.get_by_role("heading", name="Sandbox", exact=True)).to_be_visible()
    await page.goto(ELSEWHERE)
    await page.get_by_role("link", name="look").click()
    await page.get_by_role("link", name="go on to the page").click()
    await expect(page.get_by_role("heading", name="Sandbox", exact=True)).to_be_visible()


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (1280, "dark"), (320, "light")])
async def test_pages_are_for_everybody_on_every_screen(
    stack: Stack,
    product: httpx.AsyncClient,
    browser: Browser,
    axe_script: Path,
    width: int,
    colours: Literal["light", "dark"],
) -> None:
    connection = await revoked_connection(stack, product, f"{ACCOUNT}-{width}-{colours}-{'x' * 200}")
    context = await browser.new_context(
        base_url=stack.addresses.api,
        viewport={"width": width, "height": 844},
        color_scheme=colours,
        bypass_csp=True,  # for the script that looks
    )
    page = await context.new_page()
    async with Listener() as listener:
        endpoint = await listener.subscribe(product)
        await page.goto("/console")
        assert await axe.violations(page, axe_script) == []
        await sign_in(page, product.headers["x-api-key"], allow_changes=True)
        of = f"/connections/{connection['id']}"
        for path in ("", of, "/applications", "/endpoints", f"/endpoints/{endpoint}", "/connections/con_0"):
            await page.goto(f"/console{path}")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert await axe.violations(page, axe_script) == [], path
        await product.delete(f"/v1/webhook-endpoints/{endpoint}")
    await context.close()
