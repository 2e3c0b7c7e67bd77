"""No page that a customer reads is hard to use for people with disabilities, as far as axe-core can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from dev.stack import Stack
from tests.e2e import axe
from tests.e2e.framed_page import FramedPage, product_origin
from tests.e2e.hosted import KEYS, Linked, card, consent, linked, oauth_url, until_broken

ENVIRONMENTS = {
    "light": {"viewport": {"width": 1280, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True},
    "arabic": {"viewport": {"width": 390, "height": 844}, "locale": "ar", "color_scheme": "dark"},
}


@pytest.fixture(params=ENVIRONMENTS)
async def page(request: pytest.FixtureRequest, browser: Browser) -> AsyncIterator[Page]:
    options: dict[str, Any] = ENVIRONMENTS[request.param]
    context = await browser.new_context(bypass_csp=True, reduced_motion="reduce", **options)
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def customer(request: pytest.FixtureRequest, stack: Stack, product: httpx.AsyncClient) -> Linked:
    return await linked(stack, product, request.node.name[:60])


async def test_list_of_what_is_there_to_connect(customer: Linked, page: Page, axe_script: Path) -> None:
    await customer.product.put("/v1/applications/twilio", json={})
    await page.goto(await customer.link())
    assert await axe.violations(page, axe_script) == []
    for name in (KEYS, "Twilio"):
        await card(page, name).locator("summary").click()
    assert await axe.violations(page, axe_script) == []
    twilio = card(page, "Twilio")
    await twilio.get_by_label("Account SID").fill("wrong")
    await twilio.get_by_label("Auth token").fill("wrong")
    await twilio.locator("button").click()
    await expect(twilio.locator("[aria-invalid=true]")).to_have_count(1)
    assert await axe.violations(page, axe_script) == []


async def test_list_of_what_is_connected_and_what_is_broken(customer: Linked, page: Page, axe_script: Path) -> None:
    async with customer.customer("grace") as grace:
        number, key = await grace.create_key()
        by_key, by_consent = await customer.save_key(key), await customer.connect()
        await page.goto(await customer.link())
        await expect(page.locator(".connected article")).to_have_count(2)
        assert await axe.violations(page, axe_script) == []
        await grace.delete_key(number)
    await until_broken(customer.product, by_key)
    await customer.break_consent(by_consent)
    await page.reload()
    await expect(page.locator(".broken article")).to_have_count(2)
    assert await axe.violations(page, axe_script) == []


@pytest.mark.parametrize("colour", ["#ffcc00", "#101010", "#ff5a5f"])
async def test_organizations_own_colour(customer: Linked, page: Page, axe_script: Path, colour: str) -> None:
    connection = await customer.connect()
    await customer.break_consent(connection)
    await customer.product.put("/v1/settings", json={"brand_colour": colour, "return_urls": ["https://a.example/"]})
    try:
        await page.goto(await customer.link(return_url="https://a.example/"))
        assert await axe.violations(page, axe_script) == []
    finally:
        await customer.product.put("/v1/settings", json={"brand_colour": None, "return_urls": []})


async def test_messages(customer: Linked, page: Page, axe_script: Path) -> None:
    api = customer.stack.addresses.api
    await page.goto(await customer.link())
    await card(page).locator("button").click()
    await consent(page, allow=False)
    await expect(page.locator(".mark.bad")).to_be_visible()
    assert await axe.violations(page, axe_script) == []
    await page.locator(".actions a").first.click()
    await card(page).locator("button").click()
    await consent(page)
    await expect(page.locator(".notice")).to_be_visible()
    assert await axe.violations(page, axe_script) == []
    for path in ("/connect/start/nothing", "/connect/nothing", "/api/v1/sandbox/callback?state=x"):
        await page.goto(api + path)
        await expect(page.locator(".mark.bad")).to_be_visible()
        assert await axe.violations(page, axe_script) == []
    await page.goto(await oauth_url(customer.product, customer.account))
    await consent(page)
    await expect(page.locator(".mark.good")).to_be_visible()
    assert await axe.violations(page, axe_script) == []


async def test_list_in_a_frame(customer: Linked, page: Page, axe_script: Path, tmp_path: Path) -> None:
    with product_origin(customer.stack, tmp_path) as origin:
        await customer.product.put("/v1/settings", json={"allowed_origins": [origin]})
        framed = FramedPage(page, customer.product, customer.account, origin)
        await framed.show((await framed.session())["session"])
        button = framed.card("Sandbox").locator("button")
        await expect(button).to_be_visible()
        assert await axe.violations(page, axe_script) == []
        assert await axe.violations(framed.inner, axe_script) == []
        async with page.expect_popup() as opened:
            await button.click()
        window = await opened.value
        await expect(framed.frame.locator(".elsewhere")).to_be_visible()
        assert await axe.violations(framed.inner, axe_script) == []
        await consent(window, allow=False)
        await framed.until_told("error")
        assert await axe.violations(framed.inner, axe_script) == []
        await framed.frame.get_by_role("button").last.click()
        await framed.until_told("closed")
        await customer.product.put("/v1/settings", json={"allowed_origins": []})
