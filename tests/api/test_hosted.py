"""The hosted page: a link that opens once, and what the customer can do from there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from providers.entry import KeyField
from store.database import utc_now
from store.tables import CONNECT_SESSIONS, LINKED_ACCOUNTS
from tests.api.conftest import OAUTH_URL, Everlink, until_status
from tests.api.test_sessions import bearer, session

CONNECT_URL = "/api/v2/public/connect-url"
PAGE = "/connect/session"
KEYS = "Sandbox (API key)"


async def hosted_url(product: httpx.AsyncClient, body: object = None, account: str = "acme") -> str:
    token = (await session(product, account))["token"]
    answer = await product.post(CONNECT_URL, json=body or {}, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["hosted_url"])


@pytest.fixture
async def browser(everlink: Everlink) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has nothing yet; its forms are sent from our own page."""
    async with httpx.AsyncClient(
        base_url=everlink.url, headers={"origin": everlink.url}, timeout=40, follow_redirects=True
    ) as client:
        yield client


async def new_key(everlink: Everlink) -> tuple[int, str]:
    async with everlink.customer() as customer:
        return await customer.create_key()


async def submit(browser: httpx.AsyncClient, slug: str, form: dict[str, str], **kwargs: Any) -> httpx.Response:
    """Send a form of the page, as a browser that shows the page would."""
    hidden = re.search('name="session" value="([0-9a-f]+)"', (await browser.get(PAGE)).text)
    assert hidden is not None
    return await browser.post(f"{PAGE}/{slug}", data={"session": hidden[1], **form}, **kwargs)


def cards(page: httpx.Response) -> list[str]:
    """The names of the applications, in the order of the page."""
    return re.findall(r"<h3[^>]*><bdi>(.+)</bdi></h3>", page.text)


def card(page: httpx.Response, name: str) -> str:
    [found] = [part for part in page.text.split("<article")[1:] if f"<bdi>{name}</bdi></h3>" in part]
    return found.split("</article>")[0]


async def test_link_is_traded_for_a_cookie_that_no_script_and_no_other_site_sees(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = await hosted_url(product)
    first = await browser.get(link, follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, PAGE)
    assert first.headers["cache-control"] == "no-store"
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Max-Age=3600" in cookie
    assert link.rsplit("/", 1)[1] not in cookie
    page = await browser.get(PAGE)
    assert page.status_code == 200 and "Sandbox" in page.text and page.text.count("<script") == 1
    monkeypatch.setattr(everlink.made.settings, "public_url", "https://everlink.example")
    opened = await browser.get(httpx.URL(await hosted_url(product)).path, follow_redirects=False)
    assert "Secure" in opened.headers["set-cookie"] and "Secure" not in cookie
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "frame-ancestors 'none'" in policy
    assert (
        "script-src 'self';" in policy
        and "unsafe" not in policy
        and page.headers["x-content-type-options"] == "nosniff"
    )
    assert page.headers["cross-origin-opener-policy"] == page.headers["cross-origin-resource-policy"] == "same-origin"
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "same-origin")


async def test_link_opens_once_for_one_browser(everlink: Everlink, product: httpx.AsyncClient) -> None:
    link = await hosted_url(product)
    async with httpx.AsyncClient(follow_redirects=True) as first, httpx.AsyncClient(follow_redirects=True) as second:
        assert (await first.get(link)).status_code == 200
        stolen = await second.get(link)
        assert stolen.status_code == 404 and "opened before" in stolen.text and not second.cookies
        assert (await second.get(everlink.url + PAGE)).status_code == 401
        assert (await first.get(link)).status_code == 200  # people click twice
        assert (await first.get(everlink.url + PAGE)).status_code == 200


async def test_another_link_of_another_account_is_not_opened_by_this_ones_cookie(
    product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "other"})
    theirs = await hosted_url(product, account="other")
    async with httpx.AsyncClient() as other:
        await other.get(theirs)
    await browser.get(await hosted_url(product))
    assert (await browser.get(theirs)).status_code == 404


async def test_link_and_page_expire(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, good = await hosted_url(product), await hosted_url(product)
    await browser.get(good)
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=15))
    async with httpx.AsyncClient() as other:
        assert (await other.get(late)).status_code == 404
    assert (await browser.get(PAGE)).status_code == 200
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=61))
    expired = await browser.get(PAGE)
    assert expired.status_code == 401 and "has expired" in expired.text
    assert (await browser.post(f"{PAGE}/sandbox")).status_code == 401


@pytest.mark.parametrize("cookie", ["", "wrong", "x" * 4000, '"\\000"', "%00", "' OR 1=1"])
async def test_page_without_the_right_cookie(browser: httpx.AsyncClient, cookie: str) -> None:
    answer = await browser.get(PAGE, headers={"cookie": f"everlink_session={cookie}"})
    assert answer.status_code == 401 and "has expired" in answer.text


async def test_page_of_an_account_that_is_being_removed_is_gone(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "leaving"})
    await browser.get(await hosted_url(product, account="leaving"))
    async with everlink.made.database.writing() as writing:
        mine = LINKED_ACCOUNTS.c.id == "leaving"
        await writing.execute(update(LINKED_ACCOUNTS).where(mine).values(removed_at=utc_now()))
    assert (await browser.get(PAGE)).status_code == 401


async def test_customer_connects_by_consent_and_mends_what_was_revoked(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "acme", "name": "Acme Inc."})
    await browser.get(await hosted_url(product))
    assert '<bdi>Acme</bdi><bdi class="muted">Acme Inc.</bdi>' in (await browser.get(PAGE)).text  # for whom it is
    await consent_from_page(everlink, browser, {})
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    page = await browser.get(PAGE)
    assert "Connected" in card(page, "Sandbox") and "Ada Lovelace" in card(page, "Sandbox")
    async with everlink.customer() as ada:
        await ada.revoke()
    await product.post(f"/v1/connections/{connection['id']}/report", json={})
    await until_status(product, connection["id"], "reauth_required")
    broken = card(await browser.get(PAGE), "Sandbox")
    assert "Reconnect needed" in broken and "Access was revoked at the provider." in broken
    [again] = re.findall(r'name="connection" value="(con_\w+)"', broken)
    assert again == connection["id"]
    await consent_from_page(everlink, browser, {"connection": again})
    assert "Reconnect needed" not in (await browser.get(PAGE)).text
    [mended] = (await product.get("/v1/connections")).json()["connections"]
    assert (mended["id"], mended["status"]) == (connection["id"], "active")


async def consent_from_page(everlink: Everlink, browser: httpx.AsyncClient, form: dict[str, str]) -> None:
    leaving = await submit(browser, "sandbox", form)
    assert leaving.status_code == 200 and "Taking you to Sandbox…" in leaving.text
    link = leaving.headers["refresh"].removeprefix("0; url=")
    async with everlink.customer() as customer:
        assert (await customer.consent(link)).status_code == 200


async def test_what_needs_a_reconnect_comes_first(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await browser.get(await hosted_url(product))
    assert cards(await browser.get(PAGE)) == ["Sandbox", KEYS]
    number, key = await new_key(everlink)
    saved = await submit(browser, "sandbox-key", {"api_key": key})
    assert saved.url.path == PAGE and "Connected" in card(saved, KEYS)
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    async with everlink.customer() as ada:
        await ada.delete_key(number)
    await product.post(f"/v1/connections/{connection['id']}/report", json={})
    await until_status(product, connection["id"], "reauth_required")
    page = await browser.get(PAGE)
    assert cards(page) == [KEYS, "Sandbox"]
    assert "The provider no longer accepts the key or password." in card(page, KEYS)
    mended = await submit(browser, "sandbox-key", {"api_key": (await new_key(everlink))[1]})
    assert "Connected" in card(mended, KEYS)
    [again] = (await product.get("/v1/connections")).json()["connections"]
    assert (again["id"], again["status"]) == (connection["id"], "active")


async def test_key_of_another_account_mends_nothing(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await browser.get(await hosted_url(product))
    number, key = await new_key(everlink)
    await submit(browser, "sandbox-key", {"api_key": key})
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    async with everlink.customer() as ada:
        await ada.delete_key(number)
    await product.post(f"/v1/connections/{connection['id']}/report", json={})
    await until_status(product, connection["id"], "reauth_required")
    async with everlink.customer("grace") as grace:
        _, other = await grace.create_key()
    form = {"connection": connection["id"], "api_key": other}
    refused = await submit(browser, "sandbox-key", form)
    assert refused.status_code == 409 and "another account than the one that was connected" in card(refused, KEYS)
    assert other not in refused.text
    told = await submit(browser, "sandbox-key", form, headers={"accept": "application/json"})
    assert (told.status_code, told.json()["error_code"]) == (409, "different_account")
    [still] = (await product.get("/v1/connections")).json()["connections"]
    assert (still["id"], still["status"]) == (connection["id"], "reauth_required")
    await submit(browser, "sandbox-key", {**form, "api_key": (await new_key(everlink))[1]})
    [mended] = (await product.get("/v1/connections")).json()["connections"]
    assert (mended["id"], mended["status"]) == (connection["id"], "active")


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"api_key": "sk_sandbox_planted"}, "Sandbox (API key) does not accept these details."),
        ({}, "Please check what you typed in."),
        ({"api_key": "planted", "org_id": "another"}, "Please check what you typed in."),
        ({"api_key": "planted\0"}, "Please check what you typed in."),
        ({"api_key": "planted" * 5000}, "Please check what you typed in."),
        ({"api_key": '"><script>planted</script>'}, "Sandbox (API key) does not accept these details."),
    ],
)
async def test_key_that_is_refused_is_told_in_words(
    product: httpx.AsyncClient, browser: httpx.AsyncClient, form: dict[str, str], words: str
) -> None:
    await browser.get(await hosted_url(product))
    answer = await submit(browser, "sandbox-key", form)
    assert answer.status_code == 422 and words in card(answer, KEYS)
    assert 'role="alert"' in answer.text and "planted" not in answer.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_field_with_options_is_a_choice_and_one_that_is_left_empty_is_none(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = everlink.made.catalog.get("sandbox-key")
    assert entry is not None
    region = KeyField(name="region", label="Region", type="select", options=("eu", "us"), required=False)
    chosen = entry.model_copy(update={"fields": (*entry.fields, region)})
    monkeypatch.setitem(everlink.made.catalog._entries, "sandbox-key", chosen)
    await browser.get(await hosted_url(product))
    shown = card(await browser.get(PAGE), KEYS)
    assert re.findall("<option[^>]*>([a-z]+)<", shown) == ["eu", "us"]
    assert re.findall(r'<span lang="en">([A-Za-z ]+)</span>(?: <span class="muted">(.+)</span>)?', shown) == [
        ("API key", ""),
        ("Region", "(optional)"),
    ]
    _, key = await new_key(everlink)
    refused = await submit(browser, "sandbox-key", {"api_key": key, "region": "mars"})
    assert refused.status_code == 422
    await submit(browser, "sandbox-key", {"api_key": key, "region": ""})
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    token = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    assert token["fields"] == {"api_key": key}


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example"])
async def test_form_of_another_site_does_nothing(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, origin: str | None
) -> None:
    await browser.get(await hosted_url(product))
    del browser.headers["origin"]
    headers = {"origin": origin} if origin else {}
    _, key = await new_key(everlink)
    answer = await submit(browser, "sandbox-key", {"api_key": key}, headers=headers)
    assert answer.status_code == 403 and "did not come from our page" in answer.text
    assert (await submit(browser, "sandbox", {}, headers=headers)).status_code == 403
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_form_of_a_page_that_another_link_has_replaced_does_nothing(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "other"})
    await browser.get(await hosted_url(product))
    old = re.findall('name="session" value="([0-9a-f]+)"', (await browser.get(PAGE)).text)[0]
    await browser.get(await hosted_url(product, account="other"))
    _, key = await new_key(everlink)
    for form in ({"session": old, "api_key": key}, {"api_key": key}):
        answer = await browser.post(f"{PAGE}/sandbox-key", data=form)
        assert answer.status_code == 401 and "has expired" in answer.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_nobody_reconnects_what_is_not_theirs(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    await product.post("/api/v2/public/linked-account", json={"account_id": "other"})
    stranger = await everlink.product("Other")
    for url in (await hosted_url(product, account="other"), await hosted_url(stranger)):
        browser.cookies.clear()
        await browser.get(url)
        for wrong in (connection, "con_" + "0" * 32, ""):
            answer = await submit(browser, "sandbox", {"connection": wrong})
            assert answer.status_code == 404 and "There is no such connection." in answer.text
            assert "refresh" not in answer.headers
    assert (await submit(browser, "nothing", {})).status_code == 404


async def test_provider_that_sends_the_customer_back_leads_back_to_the_page(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    back = 'href="/connect/session"'
    callback = "/api/v1/sandbox/callback?error=access_denied&state=x"
    assert back not in (await browser.get(callback)).text
    await browser.get(await hosted_url(product))
    assert back in (await browser.get(callback)).text


async def test_other_addresses_under_connect_stay_what_they_are(
    product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    assert (await browser.get("/connect/style.css")).headers["content-type"].startswith("text/css")
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    departed = await browser.get(link, follow_redirects=False)
    assert departed.status_code == 303 and "/o/authorize/" in departed.headers["location"]


@pytest.mark.parametrize("secret", ["a", "..%2F..%2Fv1", "%FF", "a" * 3000])
async def test_link_that_nobody_made(browser: httpx.AsyncClient, secret: str) -> None:
    page = await browser.get(f"/connect/{secret}", follow_redirects=False)
    assert page.status_code in (401, 404) and not browser.cookies


async def test_body_is_kept_with_the_link(everlink: Everlink, product: httpx.AsyncClient) -> None:
    body = {"theme": "dark", "nested": {"list": [1, None, "ü"]}}
    await hosted_url(product, body)
    async with everlink.made.database.reading() as reading:
        kept = (await reading.execute(select(CONNECT_SESSIONS.c.body))).scalars().all()
    assert body in kept


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[]", 422), (b'"x"', 422), (b"{", 422), (b'{"a": "\\u0000"}', 422), (b'{"a": "%s"}' % (b"x" * 16_384), 413)],
    ids=["list", "text", "cut", "nul", "long"],
)
async def test_body_that_cannot_be_kept(product: httpx.AsyncClient, body: bytes, status: int) -> None:
    headers = {**bearer((await session(product))["token"]), "content-type": "application/json"}
    answer = await product.post(CONNECT_URL, content=body, headers=headers)
    assert answer.status_code == status and answer.json()["error_code"] in ("invalid_request", "body_too_large")


async def test_link_takes_a_session_token_and_no_key(product: httpx.AsyncClient) -> None:
    answer: Any = await product.post(CONNECT_URL, json={})
    assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_session_token")
