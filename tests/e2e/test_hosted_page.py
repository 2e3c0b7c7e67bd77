"""The hosted page in a real browser: a customer connects, and mends what broke, whatever they click."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, Response, Route, expect

from dev.stack import Stack
from tests.e2e.hosted import KEYS, SESSION, Linked, card, consent, linked, log_in
from tests.e2e.origins import serving

PHONE = {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True}
LIGHT_ENOUGH = 60_000  # bytes, without icons
APPLICATIONS = [
    *("airtable", "asana", "box", "calendly", "discord", "dropbox", "figma", "github", "gitlab", "google"),
    *("harvest", "hubspot", "intercom", "linear", "mailchimp", "notion", "shopify", "stripe"),
]


@pytest.fixture
async def customer(request: pytest.FixtureRequest, stack: Stack, product: httpx.AsyncClient) -> Linked:
    return await linked(stack, product, request.node.name[:60])


@asynccontextmanager
async def window(browser: Browser, **options: Any) -> AsyncIterator[Page]:
    """A browser of its own, which must not have to refuse anything that our pages do."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    await context.close()
    assert [text for text in complaints if "Content Security Policy" in text] == []


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with window(browser) as page:
        yield page


async def test_customer_connects_and_mends_with_one_click(customer: Linked, page: Page) -> None:
    link = await customer.link()
    await page.goto(link)
    assert page.url.endswith(SESSION) and link.rsplit("/", 1)[1] not in page.url
    await card(page).get_by_role("button", name="Connect Sandbox").click()
    await consent(page)
    await expect(page.get_by_role("status").filter(has_text="Sandbox is connected.")).to_contain_text(
        "close this window"
    )
    await expect(card(page)).to_contain_text("Ada Lovelace")
    assert page.url.endswith(SESSION)
    [connection] = await customer.connections()
    await customer.break_consent(connection["id"])
    await page.reload()
    broken = page.get_by_role("region", name="Needs your attention")
    await expect(broken).to_contain_text("Access was revoked at the provider.")
    await expect(broken.locator("time")).to_have_text("1 minute ago")
    await broken.get_by_role("button", name="Reconnect Sandbox").click()
    await consent(page)
    await expect(page.get_by_text("Sandbox is connected.")).to_be_visible()
    await expect(broken).to_have_count(0)
    [mended] = await customer.connections()
    assert (mended["id"], mended["status"]) == (connection["id"], "active")


async def test_customer_comes_back_to_the_product(customer: Linked, page: Page, tmp_path: Path) -> None:
    (tmp_path / "back.html").write_text("<!doctype html><title>The product</title>")
    connection = await customer.connect()
    await customer.break_consent(connection)
    with serving(tmp_path) as product:
        back = f"{product}/back.html"
        await customer.product.put("/v1/settings", json={"return_urls": [back]})
        try:
            await page.goto(await customer.link(return_url=back))
            assert await page.get_by_role("link", name="Back to").get_attribute("href") == back
            await card(page).get_by_role("button").click()
            await consent(page)
            await page.wait_for_url(f"{back}?*")
            assert page.url == f"{back}?status=connected&application=sandbox&connection_id={connection}"
        finally:
            await customer.product.put("/v1/settings", json={"return_urls": []})


async def test_customer_who_denies_can_try_again(customer: Linked, page: Page) -> None:
    await page.goto(await customer.link())
    await card(page).get_by_role("button").click()
    await consent(page, allow=False)
    await expect(page.get_by_role("heading", name="Not connected")).to_be_visible()
    await expect(page.get_by_text("Access to Sandbox was not granted.")).to_be_visible()
    assert await customer.connections() == []
    await page.get_by_role("link", name="Try again").click()
    await card(page).get_by_role("button").click()
    await consent(page)
    await expect(card(page)).to_contain_text("Connected")


async def test_link_that_expired_says_what_to_do(stack: Stack, customer: Linked, page: Page) -> None:
    link = await customer.link()
    with sqlite3.connect(stack.config.state / "everlink.sqlite3", timeout=10) as database:
        before = "UPDATE connect_session SET expires_at = '2020-01-01 00:00:00.000000' WHERE linked_account_id = ?"
        database.execute(before, (customer.account,))
    await page.goto(link)
    await expect(page.get_by_role("heading", name="No longer valid")).to_be_visible()
    await expect(page.get_by_text("Please ask for a new one where you found it.")).to_be_visible()


async def test_link_opens_in_one_browser_however_often(customer: Linked, browser: Browser, page: Page) -> None:
    link = await customer.link()
    await page.goto(link)
    await page.goto(link)  # people click twice
    await expect(card(page)).to_be_visible()
    async with window(browser) as other:
        await other.goto(link)
        await expect(other.get_by_text("expired or was opened before")).to_be_visible()
        await other.goto(page.url)
        await expect(other.get_by_text("Please open it again from where you came.")).to_be_visible()


async def test_two_tabs_make_one_connection(customer: Linked, page: Page) -> None:
    await page.goto(await customer.link())
    other = await page.context.new_page()
    await other.goto(page.url)
    await card(page).get_by_role("button").click()
    await log_in(page)
    await card(other).get_by_role("button").click()
    for tab in (other, page):
        await tab.locator("button[name=allow]").click()
        await expect(tab.get_by_text("Sandbox is connected.")).to_be_visible()
    [connection] = await customer.connections()
    assert connection["status"] == "active"


async def test_back_button_leads_to_a_list_that_works(customer: Linked, page: Page) -> None:
    await page.goto(await customer.link())
    await card(page).get_by_role("button").click()
    await page.locator("input[name=password]").wait_for()
    await page.go_back()
    await expect(card(page).get_by_role("button")).to_be_enabled()
    assert page.url.endswith(SESSION)
    await card(page).get_by_role("button").click()
    await consent(page)
    await expect(page.get_by_text("Sandbox is connected.")).to_be_visible()
    await page.go_back()  # to what the provider makes of a consent that was given
    await page.goto(customer.stack.addresses.api + SESSION)
    await expect(card(page)).to_contain_text("Ada Lovelace")
    [connection] = await customer.connections()
    assert connection["status"] == "active"


async def test_double_click_is_one_click(customer: Linked, page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    await page.goto(await customer.link())
    await card(page).get_by_role("button").dblclick()
    await page.locator("input[name=password]").wait_for()
    assert [url.rsplit("/", 1)[1] for url in sent] == ["sandbox"]


async def test_key_is_checked_without_leaving_the_page(customer: Linked, page: Page) -> None:
    async with customer.customer("grace") as grace:
        _, key = await grace.create_key()
    await page.goto(await customer.link())
    await page.evaluate("window.stayed = true")
    keys = card(page, KEYS)
    await keys.get_by_text(KEYS).click()
    field = keys.get_by_role("textbox", name="API key")
    await field.fill("sk_sandbox_wrong")
    answers = asyncio.Event()

    async def late(route: Route) -> None:
        await answers.wait()
        await route.continue_()

    await page.route(f"**{SESSION}/sandbox-key", late)
    await keys.get_by_role("button", name="Connect").dblclick()
    await expect(keys.get_by_role("status")).to_have_text(f"Checking with {KEYS}…")
    answers.set()
    await expect(keys.get_by_role("alert")).to_contain_text("does not accept these details. Nothing has been saved.")
    await expect(field).to_have_value("sk_sandbox_wrong")
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description(re.compile("does not accept this"))
    await field.fill(key)
    await field.press("Enter")
    await expect(page.locator(".notice")).to_have_text(f"{KEYS} is connected. You can close this window.")
    await expect(page.locator(".notice")).to_be_focused()
    await expect(card(page, KEYS)).to_contain_text("Connected")
    assert await page.evaluate("window.stayed") and page.url.endswith(SESSION)
    assert len(await customer.connections()) == 1


async def test_provider_that_hangs_up_is_told_in_the_form(customer: Linked, page: Page) -> None:
    await page.goto(await customer.link())
    await page.route(f"**{SESSION}/sandbox", lambda route: route.abort())
    await card(page).get_by_role("button").click()
    await expect(card(page).get_by_role("alert")).to_contain_text("Please try again in a minute.")
    await page.unroute(f"**{SESSION}/sandbox")
    await card(page).get_by_role("button").click()
    await page.locator("input[name=password]").wait_for()


async def test_list_that_does_not_come_is_loaded_as_a_page(customer: Linked, page: Page) -> None:
    async with customer.customer("grace") as grace:
        _, key = await grace.create_key()
    await page.goto(await customer.link())
    keys = card(page, KEYS)
    await keys.get_by_text(KEYS).click()
    await keys.get_by_role("textbox", name="API key").fill(key)

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, content_type="application/json", body='{"error_code": "too_many_requests"}')

    await page.route(f"**{SESSION}?connected=*", refuse, times=1)
    await keys.get_by_role("button", name="Connect").click()
    await expect(page.get_by_text(f"{KEYS} is connected.")).to_be_visible()


async def test_keyboard_alone_is_enough(customer: Linked, page: Page) -> None:
    connection = await customer.connect()
    await customer.break_consent(connection)
    await page.goto(await customer.link())
    await tab_to(page, f"#{connection}-go")
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.keyboard.press("Enter")
    await page.locator("input[name=username]").wait_for()
    await tab_to(page, "input[name=username]")
    await page.keyboard.type("ada")
    await tab_to(page, "input[name=password]")
    await page.keyboard.type("ada-password")
    await page.keyboard.press("Enter")
    await page.locator("button[name=allow]").wait_for()
    await tab_to(page, "button[name=allow]")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Sandbox is connected.")).to_be_visible()
    assert [one["status"] for one in await customer.connections()] == ["active"]


async def tab_to(page: Page, selector: str) -> None:
    for _ in range(30):
        if await page.evaluate("one => document.activeElement.matches(one)", selector):
            return
        await page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {selector}")


async def test_small_phone_shows_everything(customer: Linked, browser: Browser) -> None:
    connection = await customer.connect()
    await customer.break_consent(connection)
    async with window(browser, **PHONE) as phone:
        for locale in ("en", "de", "ar"):
            await phone.goto(await customer.link(locale=locale))
            assert await phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), locale
            for button in await phone.get_by_role("button").all():
                box = await button.bounding_box()
                assert box is not None and box["height"] >= 24 and 0 <= box["x"] <= 320 - box["width"], locale
        await phone.locator(f"[id='{connection}-go']").tap()
        await consent(phone)
        await expect(phone.locator(".notice")).to_be_visible()


async def test_dark_mode_is_dark(customer: Linked, browser: Browser) -> None:
    brightness = "() => Math.max(...getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number))"
    for scheme, is_dark in (("dark", True), ("light", False)):
        async with window(browser, color_scheme=scheme) as page:
            await page.goto(await customer.link())
            assert (await page.evaluate(brightness) < 40) == is_dark
            await page.goto(f"{customer.stack.addresses.api}/connect/nothing")
            assert (await page.evaluate(brightness) < 40) == is_dark


async def test_everything_works_without_a_script(customer: Linked, browser: Browser) -> None:
    async with customer.customer("grace") as grace:
        _, key = await grace.create_key()
    async with window(browser, java_script_enabled=False) as page:
        await page.goto(await customer.link())
        await card(page).get_by_role("button").click()
        await consent(page)
        await expect(page.get_by_text("Sandbox is connected.")).to_be_visible()
        keys = card(page, KEYS)
        await keys.get_by_text(KEYS).click()
        await keys.get_by_role("textbox", name="API key").fill("sk_sandbox_wrong")
        await keys.get_by_role("button", name="Connect").click()
        await expect(keys.get_by_role("alert")).to_contain_text("does not accept these details.")
        await keys.get_by_role("textbox", name="API key").fill(key)
        await keys.get_by_role("button", name="Connect").click()
        await expect(page.get_by_text(f"{KEYS} is connected.")).to_be_visible()
    assert sorted(one["slug"] for one in await customer.connections()) == ["sandbox", "sandbox-key"]


async def test_page_is_light_and_asks_no_other_host(customer: Linked, page: Page) -> None:
    for slug in APPLICATIONS:
        assert (await customer.product.put(f"/v1/applications/{slug}", json={"client_id": "x"})).status_code == 200
    try:
        await page.context.clear_cookies()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        await page.goto(await customer.link())
        await page.wait_for_load_state("networkidle")
        assert await page.get_by_role("article").count() >= 2 + len(APPLICATIONS)
        api = customer.stack.addresses.api
        loaded = [answer for answer in answers if not answer.url.startswith("data:")]
        assert {answer.url[: len(api)] for answer in loaded} == {api}
        bodies = [await answer.body() for answer in loaded if answer.status == 200]
        assert len(bodies) == 3  # the page, its style and its script
        assert sum(len(re.sub(rb'src="data:[^"]*"', b"", body)) for body in bodies) < LIGHT_ENOUGH
    finally:
        for slug in APPLICATIONS:
            await customer.product.delete(f"/v1/applications/{slug}")


async def test_no_secret_is_in_an_address_or_the_page(customer: Linked, page: Page) -> None:
    seen: list[str] = []
    page.on("framenavigated", lambda frame: seen.append(frame.url))
    link = await customer.link()
    await page.goto(link)
    secret, source = link.rsplit("/", 1)[1], await page.content()
    [cookie] = await _cookies(page.context)
    assert secret not in source and cookie["value"] not in source
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    assert [url for url in seen if secret in url] == []
    assert await page.evaluate("document.cookie") == "" and await page.evaluate("history.length") <= 2


async def _cookies(context: BrowserContext) -> list[Any]:
    return [cookie for cookie in await context.cookies() if cookie["name"] == "everlink_session"]
