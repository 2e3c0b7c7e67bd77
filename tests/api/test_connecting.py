"""Connecting in a browser: what is granted, what is refused, and what the customer reads."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.trouble import Trouble
from store.database import utc_now
from tests.api.conftest import OAUTH_URL, Everlink, until_status

CALLBACK = "/api/v1/sandbox/callback"


async def depart(everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient) -> dict[str, str]:
    """Open a link up to the provider's door; answers what the browser was sent there with."""
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    sent = await browser.get(link)
    assert sent.status_code == 303 and sent.headers["location"].startswith(everlink.sandbox)
    return {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["location"]).query).items()}


@pytest.fixture
async def browser(everlink: Everlink) -> httpx.AsyncClient:
    client = httpx.AsyncClient(base_url=everlink.url, timeout=30)
    everlink.clients.append(client)
    return client


async def test_consent_is_asked_with_pkce_and_state(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    query = await depart(everlink, product, browser)
    assert query["code_challenge_method"] == "S256" and len(query["code_challenge"]) == 43
    assert len(query["state"]) >= 40 and query["scope"] == "read write"
    again = await depart(everlink, product, browser)
    assert again["state"] != query["state"] and again["code_challenge"] != query["code_challenge"]


async def test_denial_is_a_readable_page_and_connects_nothing(everlink: Everlink, product: httpx.AsyncClient) -> None:
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer() as ada:
        page = await ada.consent(link, allow=False)
    assert page.status_code == 400 and "was not granted" in page.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_page_tells_no_secret_and_is_locked_down(everlink: Everlink, product: httpx.AsyncClient) -> None:
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer() as ada:
        page = await ada.consent(link)
    query = parse_qs(page.url.query.decode())
    assert page.status_code == 200 and query["code"][0] not in page.text and query["state"][0] not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "no-referrer"


async def test_reconnect_keeps_the_id_and_refuses_another_account(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product, "ada")
    link = (await product.post(f"/v1/connections/{connection}/reconnect")).json()["connect_url"]
    async with everlink.customer("grace") as grace:
        page = await grace.consent(link)
    assert page.status_code == 409 and "another account" in page.text
    [only] = (await product.get("/v1/connections")).json()["connections"]
    assert (only["id"], only["identifier"], only["sequence"]) == (connection, "ada@acme.example", 1)
    async with everlink.customer("ada") as ada:
        assert (await ada.consent(link)).status_code == 200
    found = await until_status(product, connection, "active")
    assert found["sequence"] == 2


async def test_link_may_be_opened_twice_and_after_its_work(everlink: Everlink, product: httpx.AsyncClient) -> None:
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer() as one, everlink.customer() as other:
        assert (await one.consent(link)).status_code == 200
        page = await other.consent(link)
    assert page.status_code == 200 and "has done its work" in page.text
    assert len((await product.get("/v1/connections")).json()["connections"]) == 1


async def test_two_tabs_that_both_finish_leave_one_working_connection(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    links = [(await product.get(OAUTH_URL)).json()["auth_url"] for _ in range(2)]
    async with everlink.customer() as ada:
        for link in links:
            assert (await ada.consent(link)).status_code == 200
    [only] = (await product.get("/v1/connections")).json()["connections"]
    token = (await product.get(f"/v1/connections/{only['id']}/token")).json()["access_token"]
    async with httpx.AsyncClient() as provider:
        me = await provider.get(f"{everlink.sandbox}/api/me", headers={"authorization": f"Bearer {token}"})
    assert me.status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"state": None},
        {"state": "forged"},
        {"state": "å"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"code": None},
        {"code": "forged"},
        {"error": "access_denied"},
        {"error": "<b>oops</b>", "code": None},
    ],
    ids=str,
)
async def test_callback_that_is_not_right_connects_nothing(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, change: dict[str, str | None]
) -> None:
    query = await depart(everlink, product, browser)
    answer = {"state": query["state"], "code": "code", "iss": f"{everlink.sandbox}/o", **change}
    page = await browser.get(CALLBACK, params={name: value for name, value in answer.items() if value is not None})
    assert page.status_code in (400, 502) and "Not connected" in page.text and "<b>" not in page.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_state_belongs_to_one_browser_one_application_once(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    answer = {"state": (await depart(everlink, product, browser))["state"], "code": "x", "iss": f"{everlink.sandbox}/o"}
    async with httpx.AsyncClient(base_url=everlink.url) as stranger:
        assert "another browser" in (await stranger.get(CALLBACK, params=answer)).text
        stranger.cookies.set("everlink_browser", "guess")
        assert "used before" in (await stranger.get(CALLBACK, params=answer)).text
    other = CALLBACK.replace("sandbox", "sandbox-key")
    assert (await browser.get(other, params=answer)).status_code == 400
    cookie, now = browser.cookies["everlink_browser"], utc_now()
    ticket = await everlink.made.tickets.arrived(answer["state"], cookie, "sandbox", now)
    assert ticket is not None and ticket.error_code == Trouble.INVALID_ANSWER  # nobody waits for it
    assert "used before" in (await browser.get(CALLBACK, params=answer)).text  # used up by the attempt
    twice = f"{CALLBACK}?state=a&state=b&code=x"
    assert "not valid" in (await browser.get(twice)).text


async def test_expired_state_and_link_are_refused(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = await depart(everlink, product, browser)
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=20))
    page = await browser.get(CALLBACK, params={"state": query["state"], "code": "x", "iss": f"{everlink.sandbox}/o"})
    assert page.status_code == 400 and "expired" in page.text
    assert (await browser.get(link)).status_code == 404


async def test_description_of_the_provider_is_never_shown(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    query = await depart(everlink, product, browser)
    page = await browser.get(
        CALLBACK,
        params={"state": query["state"], "error": "server_error", "error_description": "<script>planted</script>"},
    )
    assert page.status_code == 400 and "planted" not in page.text and "has trouble right now" in page.text


async def test_unreachable_provider_is_a_readable_page(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = await depart(everlink, product, browser)
    entry = everlink.made.catalog.get("sandbox")
    assert entry is not None and entry.oauth2 is not None
    closed = entry.oauth2.model_copy(update={"token_url": "http://127.0.0.1:9/o/token/"})
    gone = entry.model_copy(update={"oauth2": closed})
    monkeypatch.setattr(everlink.made.catalog, "get", {"sandbox": gone}.get)
    page = await browser.get(CALLBACK, params={"state": query["state"], "code": "x", "iss": f"{everlink.sandbox}/o"})
    assert page.status_code == 502 and "cannot be reached right now" in page.text
