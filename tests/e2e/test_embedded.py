"""The embedded page in a real browser: a product's page of another site, its element, and consent in a pop-up."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from dev.config import ROOT
from dev.stack import Stack
from sandbox.customer import Customer
from tests.chromium import CHROMIUM, QUIET
from tests.e2e.framed_page import PAGE, FramedPage, product_origin
from tests.e2e.hosted import log_in, until_broken
from tests.e2e.origins import serving


@pytest.fixture(scope="session")
def origin(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with product_origin(stack, tmp_path_factory.mktemp("product")) as served:
        yield served


@pytest.fixture
async def framed(
    request: pytest.FixtureRequest, product: httpx.AsyncClient, browser: Browser, origin: str
) -> AsyncIterator[FramedPage]:
    account = f"framed-{request.node.name}"[:60]
    await product.post("/api/v2/public/linked-account", json={"account_id": account})
    assert (await product.put("/v1/settings", json={"allowed_origins": [origin]})).status_code == 200
    context = await browser.new_context()
    page = FramedPage(await context.new_page(), product, account, origin)
    complaints: list[str] = []
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield page
    await context.close()
    await product.put("/v1/settings", json={"allowed_origins": []})
    expected = ("Failed to load resource", "Framing ")
    assert [text for text in complaints if not text.startswith(expected)] == []


async def answer(window: Page, *, allow: bool = True) -> None:
    """The customer signs in where they have to, and consents or not; the window closes."""
    await log_in(window)
    async with window.expect_event("close"):
        await window.click("button[name=allow]" if allow else "button:not([name=allow])", no_wait_after=True)


async def test_customer_connects_in_a_window_and_reconnects_what_was_revoked(stack: Stack, framed: FramedPage) -> None:
    session = await framed.session()
    await framed.show(session["session"])
    window = await framed.opened("Sandbox", "Connect")
    await expect(framed.frame.get_by_text("Continue in the window that has opened.")).to_be_visible()
    await answer(window)
    told = await framed.until_told("connected")
    [connection] = await framed.connections()
    assert told == {"application": "sandbox", "connection_id": connection["id"]}
    await expect(framed.frame.get_by_text("Sandbox is connected.")).to_be_focused()
    await expect(framed.card("Sandbox").get_by_text("Ada Lovelace")).to_be_visible()
    assert all(session["session"] not in frame.url for frame in framed.page.frames)

    async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
        await ada.revoke()
    await until_broken(framed.product, connection["id"])
    await framed.show((await framed.session())["session"])
    await expect(framed.card("Sandbox").get_by_text("Access was revoked at the provider.")).to_be_visible()
    await answer(await framed.opened("Sandbox", "Reconnect"))
    assert await framed.until_told("connected") == told
    [mended] = await framed.connections()
    assert (mended["id"], mended["status"]) == (connection["id"], "active")

    await expect(framed.frame.get_by_text("Sandbox is connected.")).to_be_focused()
    await framed.frame.get_by_role("button", name="Done").click()
    assert await framed.until_told("closed") == {}
    assert [event for event, _ in await framed.told()] == ["connected", "closed"]


async def test_customer_who_denies_reads_it_in_the_frame_and_may_try_again(framed: FramedPage) -> None:
    await framed.show((await framed.session())["session"])
    await answer(await framed.opened("Sandbox", "Connect"), allow=False)
    told = await framed.until_told("error")
    assert (told["application"], told["error_code"]) == ("sandbox", "access_denied")
    await expect(framed.card("Sandbox").get_by_role("alert")).to_have_text(told["message"])
    await answer(await framed.opened("Sandbox", "Try again"))
    await framed.until_told("connected")


async def test_window_that_is_closed_is_told(framed: FramedPage) -> None:
    await framed.show((await framed.session())["session"])
    window = await framed.opened("Sandbox", "Connect")
    await window.wait_for_url("**/login**")
    await window.close()
    assert (await framed.until_told("error"))["error_code"] == "window_closed"
    await expect(framed.card("Sandbox").get_by_role("alert")).to_contain_text("was closed")
    await answer(await framed.opened("Sandbox", "Try again"))
    await framed.until_told("connected")


async def test_window_that_is_cancelled_closes_and_is_no_error(framed: FramedPage) -> None:
    await framed.show((await framed.session())["session"])
    window = await framed.opened("Sandbox", "Connect")
    await window.wait_for_url("**/login**")
    async with window.expect_event("close"):
        await framed.card("Sandbox").get_by_role("button", name="Cancel").click()
    await expect(framed.card("Sandbox").get_by_role("button", name="Connect")).to_be_focused()
    assert await framed.told() == []


async def test_blocked_window_is_told_and_a_plain_link_opens_it(framed: FramedPage) -> None:
    await framed.page.context.add_init_script("window.open = () => null")
    await framed.show((await framed.session())["session"])
    card = framed.card("Sandbox")
    await card.get_by_role("button", name="Connect").click()
    await expect(card.get_by_text("Your browser has blocked the window.")).to_be_visible()
    assert (await framed.until_told("error"))["error_code"] == "popup_blocked"
    async with framed.page.context.expect_page() as opened:
        await card.get_by_role("link", name="Open it yourself").click()
    await answer(await opened.value)  # nobody but the window's own page closes it
    await framed.until_told("connected")
    await expect(card.get_by_text("Ada Lovelace")).to_be_visible()


async def test_key_is_typed_into_the_frame(stack: Stack, framed: FramedPage) -> None:
    async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
        _, key = await ada.create_key()
    await framed.show((await framed.session())["session"])
    card = framed.card("Sandbox (API key)")
    await card.get_by_text("Connect").first.click()
    field, connect = card.get_by_role("textbox", name="API key"), card.get_by_role("button", name="Connect")
    await field.fill("sk_sandbox_wrong")
    await connect.click()
    told = await framed.until_told("error")
    assert (told["application"], told["error_code"]) == ("sandbox-key", "credentials_refused")
    await expect(card.get_by_role("alert")).to_have_text(told["message"])
    await field.fill(key)
    await connect.click()
    assert (await framed.until_told("connected"))["application"] == "sandbox-key"
    await expect(framed.frame.get_by_text("Sandbox (API key) is connected.")).to_be_visible()


async def test_page_of_another_origin_cannot_frame_it(framed: FramedPage, stack: Stack, tmp_path: Path) -> None:
    session = (await framed.session())["session"]
    (tmp_path / "index.html").write_text(PAGE.format(api=stack.addresses.api))
    with serving(tmp_path) as other:
        framed.origin = other
        async with framed.page.expect_event("console", lambda message: "frame-ancestors" in message.text):
            await framed.show(session, loads=False)
        assert await framed.frame.locator("main").count() == 0


async def test_element_hears_only_its_own_frame(framed: FramedPage) -> None:
    await framed.show((await framed.session())["session"])
    await expect(framed.card("Sandbox")).to_be_visible()
    await framed.page.evaluate(
        """async () => {
          const lie = { source: "everlink", type: "connected", application: "sandbox", connection_id: "con_x" };
          window.postMessage(lie, "*");
          const other = document.createElement("iframe");
          other.srcdoc = `<script>parent.postMessage(${JSON.stringify(lie)}, "*")</` + "script>";
          document.body.append(other);
          await new Promise((heard) => addEventListener("message", ({ source }) =>
            source === other.contentWindow && setTimeout(heard)));
        }"""
    )
    await framed.frame.get_by_role("button", name="Done").click()
    await framed.until_told("closed")
    assert [event for event, _ in await framed.told()] == ["closed"]


async def test_browser_that_keeps_no_cookies_in_frames_opens_a_window_of_its_own(
    framed: FramedPage, tmp_path: Path
) -> None:
    blocked = {"cookies": {f"*,{framed.origin}": {"setting": 2}}}  # on this page, of whatever site
    (tmp_path / "Default").mkdir()
    settings = {"profile": {"content_settings": {"exceptions": blocked}}}
    (tmp_path / "Default/Preferences").write_text(json.dumps(settings))
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(tmp_path, executable_path=CHROMIUM, args=QUIET)
        framed.page = await context.new_page()
        await framed.show((await framed.session())["session"])
        async with context.expect_page() as opened:
            await framed.frame.get_by_role("link", name="Open in a window of its own").click()
        window = await opened.value
        await window.wait_for_url("**/connect/session")
        card = window.get_by_role("article", name="Sandbox", exact=True)
        await card.get_by_role("button", name="Connect").click()
        await window.wait_for_url("**/login**")
        assert await framed.told() == []
        await context.close()


async def test_link_that_was_opened_elsewhere_is_told(framed: FramedPage, browser: Browser) -> None:
    session = (await framed.session())["session"]
    await framed.show(session)
    await expect(framed.card("Sandbox")).to_be_visible()
    await framed.show(session)  # the page is loaded again: this browser has the cookie
    await expect(framed.card("Sandbox")).to_be_visible()
    await framed.page.context.clear_cookies()
    await framed.show(session)
    assert (await framed.until_told("error"))["error_code"] == "session_expired"
    await expect(framed.frame.get_by_text("This page has expired.")).to_be_visible()


async def test_element_that_is_removed_takes_its_window_with_it(framed: FramedPage) -> None:
    await framed.show((await framed.session())["session"])
    window = await framed.opened("Sandbox", "Connect")
    await window.wait_for_url("**/login**")
    async with window.expect_event("close"):
        await framed.page.evaluate("() => document.querySelector('everlink-connect').remove()")
    assert await framed.told() == []


async def test_provider_that_cuts_its_window_off_from_the_frame(stack: Stack, framed: FramedPage) -> None:
    async def cut_off(route: Route) -> None:
        answered = await route.fetch(max_redirects=0)
        headers = {**answered.headers, "cross-origin-opener-policy": "same-origin"}
        await route.fulfill(response=answered, headers=headers)

    await framed.page.context.route(f"{stack.addresses.sandbox}/**/login**", cut_off)
    await framed.show((await framed.session())["session"])
    window = await framed.opened("Sandbox", "Connect")
    await log_in(window)
    assert await window.evaluate("() => opener === null")  # it looks closed to whoever has opened it
    await window.click("button[name=allow]")
    await framed.until_told("connected")
    await expect(framed.card("Sandbox").get_by_text("Ada Lovelace")).to_be_visible()


@pytest.mark.parametrize("policy", ["same-origin-allow-popups", "same-origin"])
async def test_page_that_is_cut_off_from_windows_itself(
    stack: Stack, framed: FramedPage, tmp_path: Path, policy: str
) -> None:
    (tmp_path / "index.html").write_text(PAGE.format(api=stack.addresses.api))
    with serving(tmp_path, {"cross-origin-opener-policy": policy}) as framed.origin:
        await framed.product.put("/v1/settings", json={"allowed_origins": [framed.origin]})
        await framed.show((await framed.session())["session"])
        if policy == "same-origin-allow-popups":
            window = await framed.opened("Sandbox", "Connect")
        else:  # the frame cannot see the window that it has opened, and gives the customer a link
            async with framed.page.context.expect_page():  # this window, which is not the one below
                await framed.card("Sandbox").get_by_role("button", name="Connect").click()
            link = framed.card("Sandbox").get_by_role("link", name="Open it yourself")
            await expect(link).to_be_visible()
            async with framed.page.context.expect_page() as opened:
                await link.click()
            window = await opened.value
        await answer(window)
        await framed.until_told("connected")


async def test_another_session_is_another_page_and_two_live_side_by_side(framed: FramedPage) -> None:
    await framed.show((await framed.session(locale="en"))["session"])
    await expect(framed.frame.get_by_role("heading", name="Your connections")).to_be_visible()
    other = (await framed.session(locale="de"))["session"]
    first = next(frame.url for frame in framed.page.frames if "/connect/frame/" in frame.url)
    await framed.page.evaluate(
        "(one) => document.querySelector('everlink-connect').setAttribute('session', one)", other
    )
    await expect(framed.frame.get_by_role("heading", name="Ihre Verbindungen")).to_be_visible()
    await framed.page.evaluate(
        """(url) => { document.querySelector("everlink-connect").shadowRoot.querySelector("iframe").src = url }""",
        first,
    )
    await expect(framed.frame.get_by_role("heading", name="Your connections")).to_be_visible()


async def test_frame_that_does_not_load_is_told_and_shows_what_the_element_holds(framed: FramedPage) -> None:
    await framed.page.clock.install()
    await framed.page.context.route("**/connect/*", lambda route: route.abort())
    await framed.show((await framed.session())["session"], loads=False)
    await framed.page.clock.fast_forward(15_001)
    told = await framed.until_told("error")
    assert (told["application"], told["error_code"]) == (None, "frame_timeout")
    await expect(framed.page.get_by_text(told["message"])).to_be_visible()
    await framed.page.evaluate("() => { document.querySelector('everlink-connect').textContent = 'Try later' }")
    await expect(framed.page.get_by_text("Try later")).to_be_visible()
    await expect(framed.page.get_by_text(told["message"])).to_be_hidden()


async def test_frame_is_as_high_as_what_it_shows(framed: FramedPage) -> None:
    await framed.page.set_viewport_size({"width": 390, "height": 844})
    await framed.show((await framed.session())["session"])
    await expect(framed.card("Sandbox")).to_be_visible()
    fits = """() => {
      const frame = document.querySelector("everlink-connect").shadowRoot.querySelector("iframe");
      return frame.offsetHeight;
    }"""
    before = await framed.frame.locator("body").evaluate("(body) => body.offsetHeight")
    await framed.page.wait_for_function(f"(height) => ({fits})() === height", arg=before)
    await framed.card("Sandbox (API key)").get_by_text("Connect").first.click()
    await framed.page.wait_for_function(f"(before) => ({fits})() > before", arg=before)
    assert await framed.frame.locator("html").evaluate("(html) => html.scrollHeight <= html.clientHeight")


async def test_keyboard_alone_is_enough(framed: FramedPage) -> None:
    await framed.show((await framed.session())["session"])
    await expect(framed.card("Sandbox")).to_be_visible()
    await framed.page.evaluate("() => document.querySelector('everlink-connect').focus()")
    await framed.page.keyboard.press("Tab")
    await expect(framed.card("Sandbox").get_by_role("button", name="Connect")).to_be_focused()
    async with framed.page.expect_popup() as opened:
        await framed.page.keyboard.press("Enter")
    await answer(await opened.value)
    await expect(framed.frame.get_by_text("Sandbox is connected.")).to_be_focused()
    done = framed.frame.get_by_role("button", name="Done")
    for _ in range(8):
        await framed.page.keyboard.press("Tab")
        if await done.evaluate("(button) => button === document.activeElement"):
            break
    await framed.page.keyboard.press("Space")
    await framed.until_told("closed")


async def test_code_of_the_documentation_runs(stack: Stack, framed: FramedPage, tmp_path: Path) -> None:
    embedded = (ROOT / "docs" / "reconnect.md").read_text().split("\n## Embedded")[1].split("\n## ")[0]
    [code] = re.findall(r"```html\n(.*?)```", embedded, re.DOTALL)
    code = code.replace("https://everlink.product.example", stack.addresses.api)
    with serving(tmp_path) as origin:
        framed.origin = origin
        await framed.product.put("/v1/settings", json={"allowed_origins": [origin]})
        code = code.replace('session="..."', f'session="{(await framed.session())["session"]}"')
        (tmp_path / "index.html").write_text(f"<!doctype html>\n{code}")
        await framed.page.goto(origin)
        async with framed.page.expect_console_message(lambda said: said.text.startswith("sandbox con_")):
            await answer(await framed.opened("Sandbox", "Connect"))
        await expect(framed.frame.get_by_text("Sandbox is connected.")).to_be_focused()
        await framed.frame.get_by_role("button", name="Done").click()
        await expect(framed.page.locator("everlink-connect")).to_have_count(0)


@pytest.mark.parametrize(
    ("page", "customer", "seen"),
    [("light", "dark", "light"), ("dark", "light", "dark"), ("light dark", "dark", "dark")],
)
async def test_frame_is_light_or_dark_as_the_page_around_it(
    framed: FramedPage, page: str, customer: Literal["light", "dark"], seen: str
) -> None:
    await framed.page.emulate_media(color_scheme=customer)
    await framed.show((await framed.session())["session"], color_scheme=page)
    await expect(framed.card("Sandbox")).to_be_visible()
    ground = {"light": "rgb(245, 246, 248)", "dark": "rgb(14, 17, 22)"}[seen]
    await expect(framed.frame.locator("body")).to_have_css("background-color", ground)
