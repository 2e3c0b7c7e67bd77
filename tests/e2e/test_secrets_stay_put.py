"""A customer's whole way, and where its secrets are seen: in no address after the exchange, no page and no log."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
from playwright.async_api import Browser, BrowserContext, Error, Request, Response, expect

from dev.stack import Stack
from tests.e2e.hosted import KEYS, card, consent, linked, oauth_url

LOGS = ("api", "worker")
START = "/connect/start/"
# The way there and back; the sandbox's own login has the way to its question in its address.
ON_THE_WAY = (START, "/api/v1/sandbox/callback", "/o/", "/accounts/login")


@dataclass
class Witness:
    """What a browser asks for, what it says where it comes from, and the pages that it gets of us."""

    ours: str
    addresses: list[str] = field(default_factory=list)
    referrers: list[str] = field(default_factory=list)  # told to us
    pages: list[str] = field(default_factory=list)
    _reading: list[asyncio.Task[None]] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", self._asked)
        context.on("response", lambda response: self._reading.append(asyncio.create_task(self._read(response))))

    def _asked(self, request: Request) -> None:
        self.addresses.append(request.url)
        if request.url.startswith(self.ours):
            self.referrers.append(request.headers.get("referer", ""))

    async def _read(self, response: Response) -> None:
        is_page = "text/html" in response.headers.get("content-type", "")
        if response.url.startswith(self.ours) and is_page and not 300 <= response.status < 400:
            with suppress(Error):  # it has been left before it could be read
                self.pages.append((await response.body()).decode())

    async def finish(self) -> None:
        await asyncio.gather(*self._reading)

    def starts(self) -> set[str]:
        """The secrets of the links to a provider."""
        paths = [urlsplit(one).path for one in self.addresses]
        return {path.removeprefix(START) for path in paths if path.startswith(START)}

    def queries(self, name: str) -> set[str]:
        return {value for one in self.addresses for value in parse_qs(urlsplit(one).query).get(name, ())}


async def test_no_secret_is_seen_where_it_has_no_business(
    stack: Stack, product: httpx.AsyncClient, browser: Browser
) -> None:
    customer = await linked(stack, product, f"secrets-{uuid4().hex[:12]}")
    wrong = f"sk_sandbox_{uuid4().hex}"
    async with customer.customer() as ada:
        _, key = await ada.create_key()
    context, seen = await browser.new_context(), Witness(stack.addresses.api)
    seen.watch(context)
    page = await context.new_page()

    # Hosted: a key that is refused, one that is taken, consent denied and given.
    link = await customer.link()
    await page.goto(link)
    keys = card(page, KEYS)
    await keys.get_by_text(KEYS).click()
    for typed, told in ((wrong, "does not accept these details."), (key, f"{KEYS} is connected.")):
        await keys.get_by_role("textbox", name="API key").fill(typed)
        await keys.get_by_role("button", name="Connect").click()
        await expect(page.get_by_text(told)).to_be_visible()
    await card(page).get_by_role("button", name="Connect Sandbox").click()
    await consent(page, allow=False)
    await page.get_by_role("link", name="Try again").click()
    await card(page).get_by_role("button", name="Connect Sandbox").click()
    await consent(page)
    await expect(page.get_by_role("status").filter(has_text="Sandbox is connected.")).to_be_visible()
    # Plain: a link without a page, and its end loaded again.
    plain = await oauth_url(product, customer.account)
    await page.goto(plain)
    await consent(page)
    await expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible()
    await page.reload()
    await page.goto(plain)
    await expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible()
    await seen.finish()

    tokens = set()
    for connection in await customer.connections():
        if connection["auth_type"] == "oauth2":
            found = await product.get(f"/v1/connections/{connection['id']}/token")
            tokens.add(str(found.json()["access_token"]))
    cookies = {cookie["value"] for cookie in await context.cookies(stack.addresses.api)}
    await context.close()
    assert len(tokens) == 1 and len(cookies) >= 2 and len(seen.pages) >= 5
    kept = {wrong, key, product.headers["x-api-key"], "sandbox-secret", *tokens, *cookies}
    starts, states, codes = seen.starts(), seen.queries("state"), seen.queries("code")
    passing = {link.rsplit("/", 1)[1], plain.rsplit("/", 1)[1], *starts, *states, *codes}
    assert len(starts) == 3 and len(states) == 3 and len(codes) == 2

    assert [one for one in seen.addresses if any(secret in one for secret in kept)] == []
    exchanged = [one for one in seen.addresses if one != link and not urlsplit(one).path.startswith(ON_THE_WAY)]
    assert exchanged and [one for one in exchanged if any(secret in one for secret in passing)] == []
    assert [one for one in seen.referrers if any(secret in one for secret in kept | passing)] == []
    for page_source in seen.pages:
        assert [secret for secret in kept | passing if secret in page_source] == []
    for name in LOGS:
        log = (stack.config.state / "logs" / f"{name}.log").read_text()
        assert [secret for secret in kept | passing if secret in log] == []
