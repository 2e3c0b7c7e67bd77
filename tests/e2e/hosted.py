"""A customer and their page: links to it, connections that break, and what is done at the provider."""

from __future__ import annotations

from typing import Any

import httpx
from playwright.async_api import Locator, Page

from dev.stack import Stack
from sandbox.customer import Customer

SESSION = "/connect/session"
KEYS = "Sandbox (API key)"
PATH = "/api/v2/public/linked-account/integration"


class Linked:
    """One linked account of a product, and what happens to what it has connected."""

    def __init__(self, stack: Stack, product: httpx.AsyncClient, account: str) -> None:
        self.stack, self.product, self.account = stack, product, account

    async def link(self, **wishes: Any) -> str:
        made = await self.product.post("/v1/connect-sessions", json={"linked_account_id": self.account, **wishes})
        assert made.status_code == 201, made.text
        return str(made.json()["url"])

    async def connections(self) -> list[dict[str, Any]]:
        return await connections(self.product, self.account)

    async def connect(self, name: str = "ada") -> str:
        """By consent, without a browser; answers the connection's id."""
        async with self.customer(name) as customer:
            assert (await customer.consent(await oauth_url(self.product, self.account))).status_code == 200
        return await self._id("sandbox")

    async def save_key(self, key: str) -> str:
        path = f"{PATH}/save-key-credentials/sandbox-key"
        headers = {"linked_account_id": self.account}
        assert (await self.product.put(path, json={"api_key": key}, headers=headers)).status_code == 200
        return await self._id("sandbox-key")

    async def break_consent(self, connection_id: str, name: str = "ada") -> None:
        async with self.customer(name) as customer:
            await customer.revoke()
        await until_broken(self.product, connection_id)

    def customer(self, name: str = "ada") -> Customer:
        return Customer(self.stack.addresses.sandbox, name, f"{name}-password")

    async def _id(self, slug: str) -> str:
        return str(next(one["id"] for one in await self.connections() if one["slug"] == slug))


async def linked(stack: Stack, product: httpx.AsyncClient, account: str) -> Linked:
    await product.post("/api/v2/public/linked-account", json={"account_id": account, "name": "Globex Ltd."})
    return Linked(stack, product, account)


async def oauth_url(product: httpx.AsyncClient, account: str) -> str:
    """A link to the provider that comes from none of our pages."""
    answer = await product.get(f"{PATH}/oauth-url/sandbox", headers={"linked_account_id": account})
    return str(answer.json()["auth_url"])


async def connections(product: httpx.AsyncClient, account: str) -> list[dict[str, Any]]:
    listed = await product.get("/v1/connections", params={"linked_account_id": account})
    found: list[dict[str, Any]] = listed.json()["connections"]
    return found


async def until_broken(product: httpx.AsyncClient, connection_id: str) -> None:
    """The product reports what its provider has refused."""
    path = f"/v1/connections/{connection_id}"
    assert (await product.post(f"{path}/report", json={})).status_code == 202
    waited = await product.get(f"{path}/wait", params={"status": "reauth_required", "timeout": 30})
    assert waited.json()["status"] == "reauth_required"


def card(page: Page, name: str = "Sandbox") -> Locator:
    return page.get_by_role("article", name=name, exact=True)


async def log_in(page: Page, name: str = "ada") -> None:
    """At the provider, where it asks; then it has its question."""
    password, allow = page.locator("input[name=password]"), page.locator("button[name=allow]")
    await password.or_(allow).wait_for()
    if await password.count():
        await page.fill("input[name=username]", name)
        await password.fill(f"{name}-password")
        await page.click("button.primary")
    await allow.wait_for()


async def consent(page: Page, name: str = "ada", *, allow: bool = True) -> None:
    """At the provider: log in where it asks, and answer."""
    await log_in(page, name)
    await page.get_by_role("button", name="Allow" if allow else "Deny").click()
