"""Where customers may be sent back to: what settings take, what a request may name, and what is added to it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.api.conftest import Everlink
from tests.api.test_hosted import PAGE

SESSIONS = "/v1/connect-sessions"
GOOD = [
    "https://app.acme.example",
    "https://app.acme.example/",
    "https://app.acme.example:8443/integrations?tab=1&of=%C3%BC",
    "http://localhost:3000/back",
    "http://127.0.0.1:3000/back?a=?/",
    "http://[::1]/back",
]
HOSTILE = [
    "http://app.acme.example/back",
    "javascript:alert(1)",
    "JavaScript:alert(1)//https://app.acme.example/",
    "data:text/html,hello",
    "//evil.example/back",
    "/back",
    "https:/evil.example",
    "https:evil.example",
    "https://user@app.acme.example/back",
    "https://app.acme.example@evil.example/back",
    "https://app.acme.example:pass@evil.example/back",
    "https://app.acme.example/back#fragment",
    "https://app.acme.example/back#",
    "https://app.acme.example\\@evil.example/",
    "https:\\\\evil.example\\back",
    "https://app.acme.example/\\evil",
    "https://app.acme.example/a\tb",
    "https://app.acme.example/a\nb",
    "https://app.acme.example/a\r\nset-cookie: a=b",
    "https://app.acme.example/a b",
    " https://app.acme.example/back",
    "https://app.acme.example/back ",
    "https://app.acme.example/back\n",
    "https://app.acme.example/\x7f",
    "https://app.acme.example/\u202e",
    "https://\u0430pp.acme.example/back",  # a letter of another alphabet
    "https://app.acme.example/ü",
    'https://app.acme.example/">',
    "https://APP.acme.example/back",
    "https://app.acme.example:443/back",
    "https://app.acme.example:/back",
    "https://*.acme.example/back",
    "https://",
    "",
    "http://localhost.evil.example/",
    "http://127.0.0.1.evil.example/",
    "https://app.acme.example/" + "a" * 2000,
]
LIKE = "https://app.acme.example/back"
UNLIKE = [
    "https://app.acme.example/back/",
    "https://app.acme.example/back?",
    "https://app.acme.example/back?a=1",
    "https://app.acme.example/Back",
    "https://app.acme.example/bac",
    "https://app.acme.example/%62ack",
    "https://app.acme.example/x/../back",
    "https://app.acme.example./back",
    "http://app.acme.example/back",
]


@pytest.mark.parametrize("url", GOOD)
async def test_settings_take_exact_addresses(product: httpx.AsyncClient, url: str) -> None:
    answer = await product.put("/v1/settings", json={"return_urls": [url, url]})
    assert (answer.status_code, answer.json()["return_urls"]) == (200, [url])
    session = await product.post(SESSIONS, json={"linked_account_id": "acme", "return_url": url})
    assert session.status_code == 201


@pytest.mark.parametrize("url", HOSTILE)
async def test_settings_take_no_address_that_browsers_read_otherwise(product: httpx.AsyncClient, url: str) -> None:
    answer = await product.put("/v1/settings", json={"return_urls": [LIKE, url]})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert (await product.get("/v1/settings")).json()["return_urls"] == []


@pytest.mark.parametrize("url", [*HOSTILE, *UNLIKE])
async def test_session_leads_only_where_the_settings_say(product: httpx.AsyncClient, url: str) -> None:
    await product.put("/v1/settings", json={"return_urls": [LIKE]})
    session = await product.post(SESSIONS, json={"linked_account_id": "acme", "return_url": url})
    assert session.status_code == 422
    assert session.json()["error_code"] in ("return_url_not_allowed", "invalid_request")


@pytest.mark.parametrize("url", ["https://evil.example/", UNLIKE[0], "javascript:alert(1)"])
async def test_reconnect_leads_only_where_the_settings_say(
    everlink: Everlink, product: httpx.AsyncClient, url: str
) -> None:
    connection = await everlink.connect(product)
    await product.put("/v1/settings", json={"return_urls": [LIKE]})
    refused = await product.post(f"/v1/connections/{connection}/reconnect", json={"return_url": url})
    assert (refused.status_code, refused.json()["error_code"]) == (422, "return_url_not_allowed")


async def test_reconnect_leads_back_to_the_product_with_what_came_of_it(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    back = f"{everlink.url}/healthz?tab=1"
    await product.put("/v1/settings", json={"return_urls": [back]})
    answer = await product.post(f"/v1/connections/{connection}/reconnect", json={"return_url": back})
    async with everlink.customer() as ada:
        there = await ada.consent(answer.json()["connect_url"])
    assert there.url.path == "/healthz" and there.history[-1].headers["referrer-policy"] == "no-referrer"
    assert parse_qs(urlsplit(str(there.url)).query) == {
        "tab": ["1"],
        "status": ["connected"],
        "application": ["sandbox"],
        "connection_id": [connection],
    }


async def test_denied_consent_offers_the_way_back_and_takes_nobody_there(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    await product.put("/v1/settings", json={"return_urls": [LIKE]})
    answer = await product.post(f"/v1/connections/{connection}/reconnect", json={"return_url": LIKE})
    async with everlink.customer() as ada:
        page = await ada.consent(answer.json()["connect_url"], allow=False)
    assert page.status_code == 400 and "was not granted" in page.text
    assert f'href="{LIKE}"' in page.text and "Back to <bdi>" not in page.text and "Back to Acme" in page.text
    assert PAGE not in page.text  # no page of ours lives in this browser
