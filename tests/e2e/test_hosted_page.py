"""The hosted page in a real browser: a customer connects, and mends what broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from dev.stack import Stack
from sandbox.customer import Customer

ACCOUNT = "hosted-page"


@pytest.fixture
async def page(product: httpx.AsyncClient, browser: Browser) -> AsyncIterator[Page]:
    """A phone's browser on the page, and what it complains of."""
    await product.post("/api/v2/public/linked-account", json={"account_id": ACCOUNT})
    given = await product.post("/api/v2/public/session-token", json={"linked_account_id": ACCOUNT})
    bearer = {"authorization": f"Bearer {given.json()['token']}"}
    hosted = (await product.post("/api/v2/public/connect-url", json={}, headers=bearer)).json()["hosted_url"]
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    await page.goto(hosted)
    assert page.url.endswith("/connect/session") and hosted.rsplit("/", 1)[1] not in page.url
    yield page
    await context.close()
    assert [text for text in complaints if "Content Security Policy" in text] == []


async def connections(product: httpx.AsyncClient) -> list[dict[str, str]]:
    listed = await product.get("/v1/connections", params={"linked_account_id": ACCOUNT, "status": "active"})
    found: list[dict[str, str]] = listed.json()["connections"]
    return found


async def consent(page: Page) -> None:
    password, allow = page.locator("input[name=password]"), page.locator("button[name=allow]")
    await password.or_(allow).wait_for()
    if await password.count():
        await page.fill("input[name=username]", "ada")
        await password.fill("ada-password")
        await page.click("button.primary")
    await allow.click()
    await page.get_by_role("link", name="Back to your applications").click()


async def test_customer_connects_and_mends(stack: Stack, product: httpx.AsyncClient, page: Page) -> None:
    sandbox = page.get_by_role("region", name="Sandbox", exact=True)
    await sandbox.get_by_role("button", name="Connect").click()
    await consent(page)
    await expect(sandbox.get_by_text("Connected")).to_be_visible()
    [connection] = await connections(product)
    async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
        await ada.revoke()
        _, key = await ada.create_key()
    assert (await product.post(f"/v1/connections/{connection['id']}/report", json={})).status_code == 202
    again = sandbox.get_by_role("button", name="Reconnect")
    async with asyncio.timeout(30):
        while not await again.count():
            await page.reload()
    await expect(sandbox.get_by_text("Access was revoked at the provider.")).to_be_visible()
    await again.click()
    await consent(page)
    await expect(sandbox.get_by_text("Connected")).to_be_visible()
    [mended] = await connections(product)
    assert mended["id"] == connection["id"]

    keys = page.get_by_role("region", name="Sandbox (API key)")
    await keys.get_by_role("textbox", name="API key").fill("sk_sandbox_wrong")
    await keys.get_by_role("button", name="Connect").click()
    await expect(keys.get_by_role("alert")).to_have_text("The provider does not accept these credentials.")
    await keys.get_by_role("textbox", name="API key").fill(key)
    await keys.get_by_role("button", name="Connect").click()
    await expect(keys.get_by_text("Connected")).to_be_visible()
    assert len(await connections(product)) == 2
