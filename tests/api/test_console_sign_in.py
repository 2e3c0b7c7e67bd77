"""The operator's page: who gets in, and for how long."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from api.limits import FAILURE_COST, RateLimits
from everlink.contract import KeyScope
from store.database import utc_now
from store.scope import Scope
from store.tables import CONSOLE_SESSIONS
from tests.api.conftest import Everlink
from tests.api.console import HOME, NEVER, PAGES, browser, operator, scope, sign_in, token, visitor

__all__ = ["browser", "scope"]  # fixtures


async def test_a_key_that_may_read_is_traded_for_a_cookie(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = product.headers["x-api-key"]
    first = await browser.post(HOME, data={"api_key": f" {key}\n"}, follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, HOME)
    cookie = first.headers["set-cookie"]
    for part in ("everlink_console=", "HttpOnly", "SameSite=strict", "Path=/console", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie and "Domain" not in cookie
    secret = browser.cookies["everlink_console"]
    for path in PAGES:
        page = await browser.get(path)
        assert page.status_code == 200 and "Sign out" in page.text and "Read-only" in page.text
        assert key not in page.text and key.split("_")[2] not in page.text and secret not in page.text
    async with everlink.made.database.reading() as reading:
        rows = (await reading.execute(select(CONSOLE_SESSIONS))).all()
    assert secret not in str(rows) and key.split("_")[2] not in str(rows)
    monkeypatch.setattr(everlink.made.settings, "public_url", "https://everlink.example")
    async with visitor(everlink) as other:
        other.headers["origin"] = "https://everlink.example"
        secured = await other.post(HOME, data={"api_key": key}, follow_redirects=False)
    assert "Secure" in secured.headers["set-cookie"]


@pytest.mark.parametrize(
    "given", ["", "wrong", "tk_000000000000_x", "é", "x" * 501, "\x00", "of the other environment"]
)
async def test_no_other_key_gets_in(product: httpx.AsyncClient, browser: httpx.AsyncClient, given: str) -> None:
    other = product.headers["x-api-key"].replace("tk_", "pk_")
    page = await sign_in(browser, other if given.startswith("of the") else given)
    assert page.status_code == (422 if len(given) > 500 else 401)
    assert not browser.cookies and "text/html" in page.headers["content-type"]
    assert not given or given not in page.text
    assert (await browser.get(HOME)).status_code == 401


async def test_a_key_without_the_scope_is_told_so(everlink: Everlink, scope: Scope, browser: httpx.AsyncClient) -> None:
    scopes = [one for one in KeyScope if one is not KeyScope.READ]
    key = await everlink.made.api_keys.add(scope, "blind", utc_now(), scopes=scopes)
    page = await sign_in(browser, key)
    assert page.status_code == 403 and "lacks the scope" in page.text and not browser.cookies


async def test_guessing_keys_is_slow(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = everlink.made.settings.model_copy(update={"address_rate_limit": f"{3 * FAILURE_COST}/hour"})
    monkeypatch.setattr(everlink.made, "limits", RateLimits(limits))
    heard = [(await sign_in(browser, "tk_000000000000_wrong")).status_code for _ in range(5)]
    assert heard[:3] == [401, 401, 401] and heard[3:] == [429, 429]


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example"])
async def test_no_other_site_signs_anybody_in(
    product: httpx.AsyncClient, browser: httpx.AsyncClient, origin: str | None
) -> None:
    del browser.headers["origin"]
    headers = {"origin": origin} if origin else {}
    page = await browser.post(HOME, data={"api_key": product.headers["x-api-key"]}, headers=headers)
    assert page.status_code == 403 and not browser.cookies


@pytest.mark.parametrize(
    ("asked", "led_to"),
    [
        ("/console/applications", "/console/applications"),
        ("/console?status=active", "/console?status=active"),
        ("https://evil.example", HOME),
        ("//evil.example", HOME),
        ("/console.evil.example", HOME),
        ("/console/\\evil", HOME),
        ("/console/\r\nset-cookie: a=b", HOME),
        ("", HOME),
    ],
)
async def test_signing_in_leads_to_the_page_that_was_asked_for_and_to_no_other_site(
    product: httpx.AsyncClient, browser: httpx.AsyncClient, asked: str, led_to: str
) -> None:
    form = {"api_key": product.headers["x-api-key"], "next": asked}
    answer = await browser.post(HOME, data=form, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == led_to


async def test_page_that_was_asked_for_stands_in_the_form(everlink: Everlink, browser: httpx.AsyncClient) -> None:
    page = await browser.get("/console/applications?a=%22%3E%3Cscript%3E", headers={"sec-fetch-site": "cross-site"})
    assert page.status_code == 401
    assert 'name="next" value="/console/applications?a=%22%3E%3Cscript%3E"' in page.text
    assert "go on to the page" in page.text  # a strict cookie is not shown to a link on another site's page
    assert "go on to the page" not in (await browser.get(HOME)).text


@pytest.mark.parametrize("cookie", ["", "wrong", "x" * 4000, '"\\000"', "%00", "' OR 1=1"])
async def test_page_without_the_right_cookie(browser: httpx.AsyncClient, cookie: str) -> None:
    for path in (*PAGES, f"/console/connections/{NEVER}", "/console/endpoints/we_1"):
        page = await browser.get(path, headers={"cookie": f"everlink_console={cookie}"})
        assert page.status_code == 401 and "API key" in page.text


# The end of a session


async def test_session_ends_with_its_key(everlink: Everlink, scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    made = everlink.made
    revoked = await made.api_keys.add(scope, "revoked", utc_now())
    expires = await made.api_keys.add(scope, "expires", utc_now(), expires_at=utc_now() + timedelta(hours=1))
    for key in (revoked, expires):
        async with visitor(everlink) as browser:
            assert (await sign_in(browser, key)).status_code == 200
            if key is revoked:
                await made.api_keys.revoke(key.split("_")[1], utc_now())
            else:
                monkeypatch.setattr(made, "clock", lambda: utc_now() + timedelta(hours=1, seconds=1))
            assert (await browser.get(HOME)).status_code == 401


async def test_session_ends_after_twelve_hours(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await operator(browser, product)
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(hours=11, minutes=59))
    assert (await browser.get(HOME)).status_code == 200
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(hours=12, seconds=1))
    assert (await browser.get(HOME)).status_code == 401


async def test_signing_out_ends_the_session_for_whoever_has_its_cookie(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product)
    stolen = browser.cookies["everlink_console"]
    assert (await browser.post("/console/sign-out")).status_code == 403  # without the page's token
    left = await browser.post("/console/sign-out", data={"token": await token(browser)})
    assert left.status_code == 401 and not browser.cookies
    assert (await browser.get(HOME, headers={"cookie": f"everlink_console={stolen}"})).status_code == 401
