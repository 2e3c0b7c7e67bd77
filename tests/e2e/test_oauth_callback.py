"""The provider's answer in real browsers: reloaded, gone back from, in two tabs, in another one, with markup in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.e2e.hosted import connections, log_in, oauth_url

CONNECTED = "Connected"
NOT_CONNECTED = "Not connected"
NewContext = Callable[[], Awaitable[BrowserContext]]


@pytest.fixture
async def account(product: httpx.AsyncClient) -> str:
    """A linked account of the test's own."""
    account = f"callback-{uuid4().hex[:12]}"
    assert (await product.post("/api/v2/public/linked-account", json={"account_id": account})).status_code == 200
    return account


@pytest.fixture
async def link(product: httpx.AsyncClient, account: str) -> str:
    return await oauth_url(product, account)


@pytest.fixture
async def another_browser(browser: Browser) -> AsyncIterator[NewContext]:
    """Browsers that know nothing of each other, and complain of no page of ours."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def new() -> BrowserContext:
        context = await browser.new_context()
        context.on("console", lambda message: complaints.append(message.text))
        contexts.append(context)
        return context

    yield new
    for context in contexts:
        await context.close()
    assert [text for text in complaints if "Content Security Policy" in text] == []


async def to_consent(page: Page, link: str, name: str = "ada") -> None:
    """Up to the question whether to allow, logged in on the way."""
    await page.goto(link)
    await log_in(page, name)


async def allow(page: Page) -> None:
    await page.click("button[name=allow]")


async def shows(page: Page, title: str) -> None:
    await expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()


async def answered(page: Page) -> str:
    """The callback's address as the provider gives it to this browser, which does not go there."""
    form: dict[str, str] = await page.locator("form", has=page.locator("button[name=allow]")).evaluate(
        "form => Object.fromEntries(new FormData(form, form.querySelector('button[name=allow]')))"
    )
    origin = urlsplit(page.url)
    headers = {"referer": page.url, "origin": f"{origin.scheme}://{origin.netloc}"}
    answer = await page.context.request.post(page.url, form=dict(form), headers=headers, max_redirects=0)
    assert answer.status == 302
    return answer.headers["location"]


def changed(url: str, **values: str) -> str:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **values}
    return urlunsplit(parts._replace(query=urlencode(query)))


async def test_another_browsers_state_connects_nothing_and_spoils_nothing(
    product: httpx.AsyncClient, account: str, link: str, another_browser: NewContext
) -> None:
    mine, theirs = await another_browser(), await another_browser()
    page, thief = await mine.new_page(), await theirs.new_page()
    await to_consent(page, link)
    answer = await answered(page)
    await thief.goto(answer)  # it was never marked
    await shows(thief, NOT_CONNECTED)
    await to_consent(thief, await oauth_url(product, account), "grace")
    await thief.goto(answer)  # it has a mark of its own
    await shows(thief, NOT_CONNECTED)
    assert await connections(product, account) == []
    await page.goto(answer)
    await shows(page, CONNECTED)


async def test_replayed_state_by_reload_and_back_button_stays_connected(
    product: httpx.AsyncClient, account: str, link: str, another_browser: NewContext
) -> None:
    page = await (await another_browser()).new_page()
    await to_consent(page, link)
    await allow(page)
    await shows(page, CONNECTED)
    [connection] = await connections(product, account)
    await page.reload()
    await shows(page, CONNECTED)
    await page.go_back()  # to the question
    await page.locator("button[name=allow]").wait_for()
    await allow(page)
    await shows(page, CONNECTED)
    await page.goto(link)  # to the very start
    await shows(page, CONNECTED)
    assert await connections(product, account) == [connection]
    assert (await product.get(f"/v1/connections/{connection['id']}/token")).status_code == 200


async def test_double_click_on_allow_connects_once(
    product: httpx.AsyncClient, account: str, link: str, another_browser: NewContext
) -> None:
    page = await (await another_browser()).new_page()
    await to_consent(page, link)
    await page.dblclick("button[name=allow]")
    await shows(page, CONNECTED)
    [connection] = await connections(product, account)
    assert connection["sequence"] == 1
    assert (await product.get(f"/v1/connections/{connection['id']}/token")).status_code == 200


async def test_two_tabs_that_both_finish_leave_one_working_connection(
    product: httpx.AsyncClient, account: str, link: str, another_browser: NewContext
) -> None:
    context = await another_browser()
    tabs = [await context.new_page() for _ in range(2)]
    for tab in tabs:
        await to_consent(tab, link)
    await asyncio.gather(*(allow(tab) for tab in tabs))
    for tab in tabs:
        await shows(tab, CONNECTED)
    [connection] = await connections(product, account)
    assert (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()["verdict"] == "ok"


async def test_html_in_error_description_is_neither_shown_nor_run(
    product: httpx.AsyncClient, account: str, link: str, another_browser: NewContext
) -> None:
    page = await (await another_browser()).new_page()
    await to_consent(page, link)
    answer = await answered(page)
    markup = "<script>window.planted = 1</script><img src=x onerror='window.planted = 1'>"
    await page.goto(changed(answer, error="access_denied", error_description=markup, error_uri="javascript:planted()"))
    await shows(page, NOT_CONNECTED)
    assert "planted" not in await page.content()
    assert await page.evaluate("window.planted") is None
    assert await connections(product, account) == []


async def test_a_different_account_on_reconnect_is_named_and_changes_nothing(
    product: httpx.AsyncClient, account: str, link: str, another_browser: NewContext
) -> None:
    page = await (await another_browser()).new_page()
    await to_consent(page, link)
    await allow(page)
    await shows(page, CONNECTED)
    [connection] = await connections(product, account)
    again = (await product.post(f"/v1/connections/{connection['id']}/reconnect")).json()["connect_url"]
    wrong = await (await another_browser()).new_page()
    await to_consent(wrong, again, "grace")
    await allow(wrong)
    await shows(wrong, NOT_CONNECTED)
    text = await wrong.locator("main").inner_text()
    assert str(connection["display_name"] or connection["identifier"]) in text and "grace" in text.casefold()
    assert await connections(product, account) == [connection]
    assert (await product.get(f"/v1/connections/{connection['id']}/token")).status_code == 200
    await to_consent(page, again)  # the right one tries the same link
    await allow(page)
    await shows(page, CONNECTED)
    [mended] = await connections(product, account)
    assert (mended["id"], mended["status"]) == (connection["id"], "active")
