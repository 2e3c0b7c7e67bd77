"""A product's page on an origin of its own, with `everlink.js` from the API, checked by its integrity."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.async_api import Page

from tests.e2e.hosted import connections, until_broken

PAGE = """<!doctype html>
<title>A product's page</title>
<script src="{url}" integrity="{integrity}" crossorigin="anonymous"></script>
<button>Connect</button>
<script>
  let wanted, outcome, everlink, tokens;
  const told = [];
  const seen = (error) => ({{ ...error, name: error.name, code: error.code, message: error.message }});

  function begin(options) {{
    everlink = new Everlink(options);
    everlink.on("connected", (detail) => told.push(["connected", detail]));
    everlink.on("disconnected", (detail) => told.push(["disconnected", detail]));
    everlink.on("error", (error) => told.push(["error", error.code]));
    everlink.on("tokens", (given) => {{ tokens = given; told.push(["tokens"]); }});
  }}

  function connect(...given) {{
    outcome = everlink.connect(...given).catch(seen);
  }}

  document.querySelector("button").addEventListener("click", () => connect(...wanted));

  async function connectAtOnce(token, known) {{
    begin({{ token }});
    if (known) await everlink.getApps();
    connect("sandbox");
    console.info((await outcome).code);
  }}

  const query = new URLSearchParams(location.search);
  if (query.size) connectAtOnce(query.get("token"), query.has("known"));
</script>
"""


@dataclass
class ScriptPage:
    """The page, as one linked account's customer uses it."""

    page: Page
    product: httpx.AsyncClient
    account: str

    async def call(self, method: str, *arguments: Any) -> Any:
        return await self.page.evaluate("([method, given]) => everlink[method](...given)", [method, list(arguments)])

    async def failure(self, method: str, *arguments: Any) -> Any:
        told = "([method, given]) => everlink[method](...given).then(() => null, seen)"
        return await self.page.evaluate(told, [method, list(arguments)])

    async def click(self, slug: str = "sandbox", fields: dict[str, str] | None = None, **options: Any) -> None:
        """A real click, and `connect()` in it."""
        await self.page.evaluate("(given) => { wanted = given }", [slug, fields or {}, options])
        await self.page.click("button")

    async def open(self, slug: str = "sandbox", **options: Any) -> Page:
        """A click, and the window that it opens."""
        async with self.page.expect_popup() as opened:
            await self.click(slug, **options)
        return await opened.value

    async def outcome(self) -> Any:
        """What `connect()` has answered or failed with."""
        try:
            async with asyncio.timeout(40):
                return await self.page.evaluate("() => outcome")
        except TimeoutError:
            pytest.fail(f"connect() has no outcome; told: {await self.told()}")

    async def told(self) -> Any:
        return await self.page.evaluate("() => told")

    async def until_told(self, event: str) -> Any:
        async with asyncio.timeout(40):
            while True:
                for one, *detail in await self.told():
                    if one == event:
                        return detail[0] if detail else None
                await asyncio.sleep(0.05)

    async def connections(self) -> list[dict[str, Any]]:
        return await connections(self.product, self.account)

    async def until_broken(self) -> None:
        [connection] = await self.connections()
        await until_broken(self.product, connection["id"])
