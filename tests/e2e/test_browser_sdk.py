"""A product's page with the published browser SDK, unmodified, told nothing but another `baseUrl`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page

from dev.stack import Stack
from sandbox.customer import Customer
from tests.e2e import cobalt
from tests.e2e.hosted import log_in
from tests.e2e.origins import serving


@pytest.fixture(scope="session")
def page_origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("cobalt")
    cobalt.unpack(folder)
    with serving(folder) as origin:
        yield origin


@dataclass
class Sdk:
    """The SDK on its page, for one linked account."""

    page: Page
    product: httpx.AsyncClient
    account: str

    async def call(self, method: str, *arguments: Any) -> Any:
        """Neither the SDK nor Playwright gives a request up that is never answered."""
        async with asyncio.timeout(30):
            return await self.page.evaluate("([method, given]) => cobalt[method](...given)", [method, list(arguments)])

    async def connect_in_pop_up(self, name: str = "ada", *, allow: bool = True) -> Any:
        """`connect("sandbox")`, and what the customer does in the window that opens."""
        async with self.page.expect_popup() as opened:
            await self.page.evaluate("() => { window.outcome = cobalt.connect('sandbox') }")
        window = await opened.value
        await log_in(window, name)
        if not allow:
            await window.close()
            return await self._outcome(window)
        await window.click("button[name=allow]")
        outcome = await self._outcome(window)
        if not window.is_closed():  # the SDK has asked for it
            await window.wait_for_event("close")
        return outcome

    async def _outcome(self, window: Page) -> Any:
        """What the SDK made of it: it asks for as long as the window is open, whatever that shows."""
        try:
            async with asyncio.timeout(60):
                return await self.page.evaluate("() => window.outcome")
        except TimeoutError:
            shown = "closed" if window.is_closed() else await window.inner_text("body")
            pytest.fail(
                f"the SDK has no answer; the window is {shown}; the app is {await self.call('getApp', 'sandbox')}"
            )

    async def connections(self) -> list[dict[str, Any]]:
        listed = await self.product.get("/v1/connections", params={"linked_account_id": self.account})
        found: list[dict[str, Any]] = listed.json()["connections"]
        return found

    async def until_flagged(self, slug: str) -> None:
        [connection] = await self.connections()
        await self.product.post(f"/v1/connections/{connection['id']}/report", json={})
        async with asyncio.timeout(30):
            while not (await self.call("getApp", slug))["reauth_required"]:
                await asyncio.sleep(0.1)


@pytest.fixture
async def sdk(
    request: pytest.FixtureRequest, stack: Stack, product: httpx.AsyncClient, browser: Browser, page_origin: str
) -> AsyncIterator[Sdk]:
    account = request.node.name[:60]
    await product.post("/api/v2/public/linked-account", json={"account_id": account})
    given = await product.post("/api/v2/public/session-token", json={"linked_account_id": account})
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(page_origin)
    await page.evaluate(
        "([token, baseUrl]) => { window.cobalt = new exports.Cobalt({ token, baseUrl }) }",
        [given.json()["token"], stack.addresses.api],
    )
    yield Sdk(page, product, account)
    await context.close()


async def test_page_of_another_origin_reads_applications(sdk: Sdk) -> None:
    every, one = await sdk.call("getApp"), await sdk.call("getApp", "sandbox")
    assert [app["slug"] for app in every] == ["sandbox", "sandbox-key"] and one in every
    assert (one["auth_type"], one["connected"], one["reauth_required"]) == ("oauth2", False, False)
    assert (await sdk.call("getAccountDetails"))["linked_account"]["account_id"] == sdk.account
    with pytest.raises(Exception, match="Not Found"):
        await sdk.call("getApp", "nothing")


async def test_customer_connects_loses_access_and_connects_again(stack: Stack, sdk: Sdk) -> None:
    assert await sdk.connect_in_pop_up(allow=False) is False
    assert await sdk.connect_in_pop_up() is True
    [connection] = await sdk.connections()
    app = await sdk.call("getApp", "sandbox")
    assert (app["connected"], app["connected_accounts"][0]["identifier"]) == (True, "ada@acme.example")
    async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
        await ada.revoke()
    await sdk.until_flagged("sandbox")
    assert await sdk.connect_in_pop_up() is True
    [again] = await sdk.connections()
    assert (again["id"], again["status"]) == (connection["id"], "active")
    await sdk.call("disconnect", "sandbox")
    assert (await sdk.call("getApp", "sandbox"))["connected"] is False


async def test_customer_gives_keys_good_and_bad(stack: Stack, sdk: Sdk) -> None:
    async with Customer(stack.addresses.sandbox, "grace", "grace-password") as grace:
        number, key = await grace.create_key()
        with pytest.raises(Exception, match="Unprocessable"):
            await sdk.call("connect", "sandbox-key", {"api_key": "sk_sandbox_wrong"})
        assert await sdk.connections() == []
        assert await sdk.call("connect", "sandbox-key", {"api_key": key}) is True
        [connection] = await sdk.connections()
        await grace.delete_key(number)
        await sdk.until_flagged("sandbox-key")
        _, key = await grace.create_key()
        assert await sdk.call("connect", "sandbox-key", {"api_key": key}) is True
    [again] = await sdk.connections()
    assert (again["id"], again["status"]) == (connection["id"], "active")
    assert (await sdk.call("getApp", "sandbox-key"))["reauth_required"] is False
    await sdk.call("disconnect", "sandbox-key")
    assert (await sdk.call("getApp", "sandbox-key"))["connected"] is False


async def test_sdk_on_an_origin_that_was_not_named_gets_nothing(sdk: Sdk) -> None:
    try:
        await sdk.product.put("/v1/settings", json={"allowed_origins": ["https://app.acme.example"]})
        with pytest.raises(Exception, match="Failed to fetch"):
            await sdk.call("getApp")
        origin = await sdk.page.evaluate("() => location.origin")
        await sdk.product.put("/v1/settings", json={"allowed_origins": [origin]})
        assert len(await sdk.call("getApp")) == 2
    finally:
        await sdk.product.put("/v1/settings", json={"allowed_origins": []})
