"""everlink.js in a real browser that blocks pop-ups, on a page of another origin, with real consent at the sandbox."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.async_api import Browser, Page, Route, expect

from api.wording import Words
from dev.config import ROOT
from dev.stack import Stack
from sandbox.customer import Customer
from tests.chromium import CHROMIUM, chromium
from tests.e2e.hosted import consent, log_in
from tests.e2e.origins import serving
from tests.e2e.script_page import PAGE, ScriptPage

POLLS = "**/v1/connect-attempts/*"
EVERYTHING = "**/v1/connect-attempts*"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("product")


@pytest.fixture(scope="module")
def page_origin(folder: Path) -> Iterator[str]:
    with serving(folder) as origin:
        yield origin


@pytest.fixture(scope="module")
async def blocking() -> AsyncIterator[Browser]:
    """A browser as customers have it: windows open in a click, and else not at all."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    async with chromium(without=["--disable-popup-blocking"]) as launched:
        yield launched


@pytest.fixture
async def script(
    request: pytest.FixtureRequest,
    stack: Stack,
    product: httpx.AsyncClient,
    blocking: Browser,
    page_origin: str,
    folder: Path,
) -> AsyncIterator[ScriptPage]:
    account = request.node.name[:60]
    await product.post("/api/v2/public/linked-account", json={"account_id": account})
    given = (await product.post("/api/v2/public/session-token", json={"linked_account_id": account})).json()
    release = (await product.get("/sdk/everlink.json")).json()
    (folder / "index.html").write_text(PAGE.format(**release))
    context = await blocking.new_context()
    page = await context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    await page.goto(page_origin)
    await page.evaluate("(token) => begin({ token })", given["token"])
    yield ScriptPage(page, product, account)
    await context.close()
    assert broken == []


async def revoke(stack: Stack, name: str = "ada") -> None:
    async with Customer(stack.addresses.sandbox, name, f"{name}-password") as customer:
        await customer.revoke()


async def connect(script: ScriptPage) -> str:
    await consent(await script.open())
    return str((await script.outcome())["connectionId"])


async def until_closed(window: Page) -> None:
    if not window.is_closed():
        await window.wait_for_event("close")


async def test_customer_connects_loses_access_and_gets_back_in(stack: Stack, script: ScriptPage) -> None:
    apps = await script.call("getApps")
    [sandbox] = [app for app in apps if app["slug"] == "sandbox"]
    assert sandbox["connected"] is False
    window = await script.open()
    await consent(window)
    connected = await script.outcome()
    await until_closed(window)
    [connection] = await script.connections()
    assert connected == {"application": "sandbox", "connectionId": connection["id"]}
    assert await script.told() == [["connected", connected]]

    await revoke(stack)
    await script.until_broken()
    window = await script.open()
    await consent(window)
    assert await script.outcome() == connected
    [again] = await script.connections()
    assert (again["id"], again["status"]) == (connection["id"], "active")
    assert (await script.call("getApp", "sandbox"))["reauth_required"] is False

    await script.call("disconnect", "sandbox")
    assert (await script.call("getApp", "sandbox"))["connected"] is False
    assert (await script.told())[-1] == ["disconnected", {"application": "sandbox"}]


async def test_customer_who_denies_is_told_of_and_may_try_again(script: ScriptPage) -> None:
    window = await script.open()
    await consent(window, allow=False)
    failure = await script.outcome()
    assert (failure["name"], failure["code"], failure["application"]) == ("EverlinkError", "access_denied", "sandbox")
    assert failure["message"] == Words("en")("trouble.access_denied", application="Sandbox")
    await until_closed(window)
    assert await script.connections() == [] and await script.told() == [["error", "access_denied"]]
    assert await connect(script)


async def test_another_account_does_not_take_the_place_of_the_one_before(stack: Stack, script: ScriptPage) -> None:
    before = await connect(script)
    await revoke(stack)
    await script.until_broken()
    await script.page.context.clear_cookies()
    await consent(await script.open(), "grace")
    assert (await script.outcome())["code"] == "different_account"
    await script.page.context.clear_cookies()
    assert await connect(script) == before
    [connection] = await script.connections()
    assert connection["identifier"] == "ada@acme.example"


async def test_named_connection_is_mended(stack: Stack, script: ScriptPage) -> None:
    before = await connect(script)
    await script.page.context.clear_cookies()
    await consent(await script.open(connectionId=before), "grace")
    assert (await script.outcome())["code"] == "different_account"
    assert (await script.failure("connect", "sandbox", {}, {"connectionId": "con_none"}))["status"] == 404


@pytest.mark.parametrize("known", [True, False])
async def test_window_that_the_browser_blocks_is_told_of(script: ScriptPage, known: bool) -> None:
    """No click: a real browser opens no window then."""
    query = {"token": await session_token(script), **({"known": "1"} if known else {})}
    async with script.page.expect_console_message() as told:  # to ask the page would count as a click
        await script.page.goto(f"{script.page.url}?{urlencode(query)}")
    assert (await told.value).text == "popup_blocked" and len(script.page.context.pages) == 1


async def test_window_that_is_closed_is_told_of(script: ScriptPage) -> None:
    window = await script.open()
    await log_in(window)
    await window.close()
    assert (await script.outcome())["code"] == "window_closed"
    assert await script.told() == [["error", "window_closed"]]
    assert await connect(script)


async def test_customer_who_finishes_in_a_window_that_looked_closed_is_told_of(script: ScriptPage) -> None:
    """As a provider's cross-origin opener policy makes it look."""
    await isolate(script)
    window = await script.open()
    await log_in(window)
    assert (await script.outcome())["code"] == "window_closed"
    await window.click("button[name=allow]")
    connected = await script.until_told("connected")
    [connection] = await script.connections()
    assert connected == {"application": "sandbox", "connectionId": connection["id"]}


async def test_window_that_looks_closed_is_waited_for_while_the_customer_is_not_back(script: ScriptPage) -> None:
    await script.page.evaluate("document.hasFocus = () => false")
    await isolate(script)
    await consent(await script.open())
    assert set(await script.outcome()) == {"application", "connectionId"}


async def isolate(script: ScriptPage) -> None:
    """The provider's pages cut themselves off from whoever opened them."""

    async def cut(route: Route) -> None:
        response = await route.fetch(max_redirects=0)
        await route.fulfill(
            response=response, headers={**response.headers, "cross-origin-opener-policy": "same-origin"}
        )

    await script.page.context.route("**/accounts/login/**", cut)
    await script.page.context.route("**/o/authorize/**", cut)


async def test_signal_that_is_aborted_ends_it_and_closes_the_window(script: ScriptPage) -> None:
    await script.page.evaluate("aborts = new AbortController()")
    async with script.page.expect_popup() as opened:
        await script.page.evaluate("connect('sandbox', {}, { signal: aborts.signal })")
    window = await opened.value
    await log_in(window)
    await script.page.evaluate("aborts.abort()")
    assert (await script.outcome())["name"] == "AbortError"
    await until_closed(window)
    assert await script.told() == []
    await script.page.evaluate("connect('sandbox', {}, { signal: aborts.signal })")
    assert (await script.outcome())["name"] == "AbortError" and len(script.page.context.pages) == 1


async def test_time_that_is_over_ends_it_and_closes_the_window(script: ScriptPage) -> None:
    window = await script.open(timeout=2000)
    assert (await script.outcome())["code"] == "timeout"
    await until_closed(window)


@pytest.mark.parametrize("trouble", ["offline", "503", "429"])
async def test_polls_that_fail_are_sent_again(script: ScriptPage, trouble: str) -> None:
    failed = 0

    async def fail(route: Route) -> None:
        nonlocal failed
        if failed == 3:
            await route.continue_()
            return
        failed += 1
        if trouble == "offline":
            await route.abort()
        else:
            headers = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}
            status = int(trouble)
            await route.fulfill(status=status, headers={**headers, "retry-after": "1"}, body="<h1>Oh</h1>")

    await script.page.route(POLLS, fail)
    await consent(await script.open())
    assert set(await script.outcome()) == {"application", "connectionId"} and failed == 3


async def test_poll_that_is_refused_ends_it(script: ScriptPage) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=404, json={"error_code": "connect_attempt_not_found", "message": "there is none"})

    await script.page.route(POLLS, refuse)
    window = await script.open()
    failure = await script.outcome()
    assert (failure["code"], failure["status"]) == ("connect_attempt_not_found", 404)
    await until_closed(window)


async def test_window_whose_closing_the_browser_forgets_is_closed(script: ScriptPage) -> None:
    """As Chromium did once in a while where a window was on its way to the provider just then."""
    await script.page.evaluate(
        """() => {
          const open = window.open;
          window.open = (...given) => {
            const real = open(...given);
            const told = { close: () => { told.close = () => real.close(); } };
            return new Proxy({}, { get: (_, name) => told[name] ?? real[name] });
          };
        }"""
    )
    await script.page.route(POLLS, lambda route: route.fulfill(status=404, json={"error_code": "none", "message": ""}))
    window = await script.open()
    assert (await script.outcome())["code"] == "none"
    await until_closed(window)


async def test_server_that_is_away_is_told_of(script: ScriptPage) -> None:
    await script.page.route(EVERYTHING, lambda route: route.abort())
    window = await script.open()
    assert (await script.outcome())["code"] == "network_error"
    await until_closed(window)


async def test_second_connect_shows_the_window_of_the_first(script: ScriptPage) -> None:
    window = await script.open()
    await script.page.evaluate("first = outcome; 0")
    await log_in(window)
    await script.click()
    assert len(script.page.context.pages) == 2
    await window.click("button[name=allow]")
    assert await script.outcome() == await script.page.evaluate("first")
    assert len(await script.connections()) == 1 and len(await script.told()) == 1


async def test_connect_right_after_its_window_was_closed_opens_another(script: ScriptPage) -> None:
    window = await script.open()
    await log_in(window)
    await script.page.evaluate("first = outcome; 0")
    await window.close()
    assert await connect(script)
    assert (await script.page.evaluate("first"))["code"] == "window_closed"
    assert [event for event, _ in await script.told()] == ["error", "connected"]


@pytest.mark.parametrize("known", [True, False])
async def test_customer_gives_keys_good_and_bad(stack: Stack, script: ScriptPage, known: bool) -> None:
    """A window is opened, and closed, only while it is not known that none is needed."""
    windows: list[Page] = []
    script.page.context.on("page", lambda page: windows.append(page))
    if known:
        await script.call("getApps")
    await script.click("sandbox-key", {"api_key": "sk_sandbox_wrong"})
    refused = await script.outcome()
    assert (refused["code"], refused["status"], refused["fields"]) == ("credentials_refused", 422, ["api_key"])
    assert refused["reason"] == "credentials_invalid" and len(refused["requestId"]) == 32
    await script.click("sandbox-key", {"key": "sk_sandbox_wrong"})
    wrong = await script.outcome()
    assert (wrong["code"], wrong["fields"]) == ("invalid_fields", ["api_key", "key"])
    async with Customer(stack.addresses.sandbox, "grace", "grace-password") as grace:
        _, key = await grace.create_key()
    await script.click("sandbox-key", {"api_key": key})
    connected = await script.outcome()
    [connection] = await script.connections()
    assert connected == {"application": "sandbox-key", "connectionId": connection["id"]}
    async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
        _, other = await ada.create_key()
    await script.click("sandbox-key", {"api_key": other}, connectionId=connection["id"])
    assert (await script.outcome())["code"] == "different_account"
    assert await script.connections() == [connection]
    assert len(windows) == (0 if known else 1) and len(script.page.context.pages) == 1


async def test_application_that_is_not_there_is_told_of(script: ScriptPage) -> None:
    window = await script.open("nothing else")
    failure = await script.outcome()
    assert (failure["code"], failure["status"]) == ("application_not_found", 404)
    await until_closed(window)
    assert (await script.failure("getApp", "nothing"))["code"] == "application_not_found"


async def session_token(script: ScriptPage, **query: Any) -> str:
    wanted = {"linked_account_id": script.account}
    given = await script.product.post("/api/v2/public/session-token", json=wanted, params=query)
    return str(given.json()["token"])


async def test_session_token_that_has_ended_is_renewed_once_for_all_who_need_it(script: ScriptPage) -> None:
    wanted = {"linked_account_id": script.account}
    given = (await script.product.post("/api/v2/public/session-token", json=wanted)).json()
    await script.page.evaluate("(refreshToken) => begin({ token: 'st_ended', refreshToken })", given["refresh_token"])
    lost = 0

    async def lose(route: Route) -> None:
        """The first answer is lost on its way, after the server has renewed the pair."""
        nonlocal lost
        await route.fetch()
        lost += 1
        await route.abort()

    await script.page.route("**/v1/session-tokens/refresh", lose, times=1)
    assert (await script.failure("getApps"))["code"] == "network_error" and lost == 1
    both = await script.page.evaluate("Promise.all([everlink.getApps(), everlink.getApp('sandbox')])")
    assert both[1] in both[0] and await script.told() == [["tokens"]]
    tokens = await script.page.evaluate("tokens")
    assert set(tokens) == {"token", "refreshToken", "expiresIn"} and tokens["token"].startswith("st_")
    assert await connect(script)
    assert [event for event, *_ in await script.told()] == ["tokens", "connected"]


async def test_session_token_that_ends_while_the_customer_consents_is_renewed(script: ScriptPage) -> None:
    wanted = {"linked_account_id": script.account}
    given = (
        await script.product.post("/api/v2/public/session-token", json=wanted, params={"force_refresh": True})
    ).json()
    await script.page.evaluate(
        "(given) => begin(given)", {"token": given["token"], "refreshToken": given["refresh_token"]}
    )
    ended = {"error_code": "invalid_session_token", "message": "it has ended"}
    headers = {"access-control-allow-origin": "*"}
    await script.page.route(POLLS, lambda route: route.fulfill(status=401, json=ended, headers=headers), times=1)
    await consent(await script.open())
    assert set(await script.outcome()) == {"application", "connectionId"}
    assert [event for event, *_ in await script.told()] == ["tokens", "connected"]


async def test_session_token_that_has_ended_is_told_of(script: ScriptPage) -> None:
    await script.page.evaluate("begin({ token: 'st_ended' })")
    failure = await script.failure("getApps")
    assert (failure["code"], failure["status"]) == ("invalid_session_token", 401)
    await script.page.evaluate("begin({ token: 'st_ended', refreshToken: 'sr_ended' })")
    assert (await script.failure("getApps"))["code"] == "invalid_refresh_token"


async def test_page_of_an_origin_that_was_not_named_gets_nothing(script: ScriptPage) -> None:
    try:
        await script.product.put("/v1/settings", json={"allowed_origins": ["https://app.acme.example"]})
        assert (await script.failure("getApps"))["code"] == "network_error"
        origin = await script.page.evaluate("location.origin")
        await script.product.put("/v1/settings", json={"allowed_origins": [origin]})
        assert "sandbox" in {app["slug"] for app in await script.call("getApps")}
    finally:
        await script.product.put("/v1/settings", json={"allowed_origins": []})


async def test_mistakes_of_the_page_are_told_at_once(script: ScriptPage) -> None:
    mistakes = (
        "new Everlink({})",
        "everlink.on('conected', () => {})",
        "everlink.connect('sandbox', {}, { timeout: -1 })",
    )
    for mistake in mistakes:
        with pytest.raises(Exception, match="TypeError"):
            await script.page.evaluate(mistake)
    assert len(script.page.context.pages) == 1


async def test_listener_that_fails_harms_nobody_and_one_that_has_ended_hears_nothing(script: ScriptPage) -> None:
    await script.page.evaluate(
        "heard = []; onerror = (message) => { heard.push(message); return true };"
        "everlink.on('disconnected', () => { throw new Error('planted') });"
        "everlink.on('disconnected', () => heard.push('heard'));"
        "everlink.on('disconnected', () => heard.push('ended'))()"
    )
    await script.call("disconnect", "sandbox")
    assert await script.page.evaluate("heard") == ["Uncaught Error: planted", "heard"]


async def test_many_windows_at_once_are_each_their_own(script: ScriptPage) -> None:
    """The same application on two objects, say of two parts of a page."""
    token = await session_token(script)
    await script.page.evaluate("(token) => { other = new Everlink({ token }) }", token)
    window = await script.open()
    await log_in(window)
    async with script.page.expect_popup() as opened:
        await script.page.evaluate("second = other.connect('sandbox').catch(seen); 0")
    second = await opened.value
    await log_in(second)
    await asyncio.gather(second.click("button[name=allow]"), window.click("button[name=allow]"))
    assert await script.outcome() == await script.page.evaluate("second")


async def test_code_of_the_documentation_runs(stack: Stack, script: ScriptPage, folder: Path) -> None:
    seamless = (ROOT / "docs" / "reconnect.md").read_text().split("\n## Seamless")[1]
    load, use = re.findall(r"```html\n(.*?)```", seamless, re.DOTALL)
    load = load.replace("https://everlink.product.example", stack.addresses.api)
    wanted = {"linked_account_id": script.account}
    pair = (await script.product.post("/api/v2/public/session-token", json=wanted)).json()
    given = f"const token = '{pair['token']}', refreshToken = '{pair['refresh_token']}';"
    (folder / "documented.html").write_text(f"<!doctype html>\n{load}<script>{given}</script>\n{use}")
    page = script.page
    await page.goto(f"{page.url}documented.html")
    row = page.get_by_role("listitem").filter(has_text=re.compile("^Sandbox (?!.API)"))
    async with page.expect_popup() as opened:
        await row.get_by_role("button", name="Connect").click()
    await consent(await opened.value)
    await expect(page.get_by_role("status")).to_have_text("Sandbox is connected.")
    await expect(row.get_by_role("button")).to_have_text("Connect another")
    page.on("dialog", lambda dialog: dialog.accept("sk_sandbox_wrong"))
    await page.get_by_role("listitem").filter(has_text="API key").get_by_role("button").click()
    await expect(page.get_by_role("status")).to_have_text("the provider does not accept these credentials")
