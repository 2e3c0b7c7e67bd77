"""What an operator sees in Temporal's own Web UI, in a real browser."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import httpx
from playwright.async_api import Browser, Page, expect

from dev.stack import Stack
from sandbox.customer import Customer

ACCOUNT = "[web-ui](https://evil.example) ![x](https://evil.example/x.png)"
COLUMNS = ("ConnectionStatus", "Application", "LinkedAccount")


async def revoked_connection(stack: Stack, product: httpx.AsyncClient) -> str:
    """Connect, revoke at the sandbox, report; answers the connection's page in the Web UI."""
    account = {"linked_account_id": ACCOUNT}
    await product.post("/api/v2/public/linked-account", json={"account_id": ACCOUNT})
    async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
        link = await product.get("/api/v2/public/linked-account/integration/oauth-url/sandbox", headers=account)
        await ada.consent(link.json()["auth_url"])
        await ada.revoke()
    found = (await product.get("/v1/connections", params=account)).json()["connections"][0]
    assert (await product.post(f"/v1/connections/{found['id']}/report", json={})).status_code == 202
    return str(found["workflow_url"])


async def test_operator_finds_and_reads_a_broken_connection(
    stack: Stack, product: httpx.AsyncClient, browser: Browser
) -> None:
    page_url = await revoked_connection(stack, product)
    page = await browser.new_page(viewport={"width": 1600, "height": 1000})
    await _list_shows_it(stack, page)
    await page.goto(page_url)
    await page.get_by_text("User Metadata").first.click()
    details = page.frame_locator("iframe").nth(2)  # it shows Markdown in frames: summary, details, current details
    await expect(details.get_by_text("reauth_required")).to_be_visible()
    words = "Waiting for: the customer to reconnect (access was revoked at the provider)"
    await expect(details.get_by_text(words)).to_be_visible()
    await expect(details.get_by_text("Connection Expired")).to_be_visible()
    for frame, links in ((page.frame_locator("iframe").nth(0), 0), (details, 1)):
        await expect(frame.get_by_text(ACCOUNT)).to_be_visible()  # as it is: no link of its own, no picture
        await expect(frame.get_by_role("img")).to_have_count(0)
        await expect(frame.get_by_role("link")).to_have_count(links)
    async with page.context.expect_page() as opened:
        await details.get_by_role("link").click()
    console = await opened.value
    await expect(console).to_have_url(re.compile(f"^{stack.addresses.api}/console"))
    await console.close()
    await page.get_by_role("tab", name="Timeline").or_(page.get_by_text("Timeline")).first.click()
    await expect(page.get_by_text("refresh due").first).to_be_visible()
    await expect(page.get_by_text("waiting for the customer to reconnect").first).to_be_visible()
    await page.close()


async def _list_shows_it(stack: Stack, page: Page) -> None:
    query = f'ConnectionStatus="reauth_required" AND LinkedAccount="{ACCOUNT}" AND Application="sandbox"'
    await page.goto(f"{stack.addresses.web_ui}/namespaces/default/workflows?{urlencode({'query': query})}")
    await page.get_by_test_id("workflows-summary-table-configuration-button").click()
    for column in COLUMNS:
        await page.get_by_label(f"Add {column} column").click()
    await page.keyboard.press("Escape")
    row = page.get_by_role("row").filter(has_text="connection/con_")
    await expect(row).to_have_count(1)
    for shown in ("reauth_required", "sandbox", ACCOUNT):
        await expect(row.get_by_text(shown, exact=True).first).to_be_visible()
