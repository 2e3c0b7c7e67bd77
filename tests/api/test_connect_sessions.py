"""`POST /v1/connect-sessions`: what the page of a link shows, in which language, and where it leads."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from textwrap import indent
from typing import Any

import httpx
import pytest

from dev.config import ROOT
from everlink import Client
from store.database import utc_now
from tests.api.conftest import Everlink
from tests.api.test_connect_attempts import broken
from tests.api.test_hosted import KEYS, PAGE, browser, card, cards, new_key, submit

SESSIONS = "/v1/connect-sessions"
BACK = "https://app.acme.example/integrations"
LOGO = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4="

__all__ = ["browser"]  # a fixture


async def open_session(product: httpx.AsyncClient, browser: httpx.AsyncClient, **wishes: Any) -> httpx.Response:
    made = await product.post(SESSIONS, json={"linked_account_id": "acme", **wishes})
    assert made.status_code == 201, made.text
    page = await browser.get(made.json()["url"])
    assert (page.status_code, page.url.path) == (200, PAGE)
    return page


async def test_client_makes_a_link_that_opens_once(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    async with Client(everlink.url, product.headers["x-api-key"]) as client:
        made = await client.connect_sessions.create("acme", applications=["sandbox"], locale="de")
    assert made.url == f"{everlink.url}/connect/{made.session}" and made.session not in repr(made)
    assert timedelta(minutes=14) < made.expires_at - utc_now() <= timedelta(minutes=15)
    page = await browser.get(made.url)
    assert cards(page) == ["Sandbox"] and "Ihre Verbindungen" in page.text
    async with httpx.AsyncClient(follow_redirects=True) as other:
        assert (await other.get(made.url)).status_code == 404


async def test_code_of_the_documentation_runs(everlink: Everlink, product: httpx.AsyncClient) -> None:
    page = (ROOT / "docs" / "reconnect.md").read_text()
    for wishes in re.findall(r"```http\nPUT /v1/settings\n\n(.*?)```", page, re.DOTALL):
        wishes = wishes.replace("data:image/svg+xml;base64,...", LOGO)
        assert (await product.put("/v1/settings", json=json.loads(wishes))).status_code == 200
    hosted, embedded = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = f"async def documented():\n{indent(hosted + indent(embedded, '    '), '    ')}    return session\n"
    code = code.replace("https://everlink.internal", everlink.url).replace("pk_...", product.headers["x-api-key"])
    named: dict[str, Any] = {}
    exec(code, named)
    assert (await named["documented"]()).url.startswith(f"{everlink.url}/connect/")


async def test_answer_is_kept_nowhere_and_says_when_the_link_ends(product: httpx.AsyncClient) -> None:
    made = await product.post(SESSIONS, json={"linked_account_id": "acme"})
    assert made.headers["cache-control"] == "no-store" and set(made.json()) == {"id", "session", "url", "expires_at"}
    assert datetime.fromisoformat(made.json()["expires_at"]) > utc_now()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"linked_account_id": "nobody"}, 404, "linked_account_not_found"),
        ({"linked_account_id": "acme", "applications": ["nothing"]}, 404, "application_not_found"),
        ({"linked_account_id": "acme", "applications": ["slack"]}, 404, "application_not_found"),  # not enabled
        ({"linked_account_id": "acme", "applications": "sandbox"}, 422, "invalid_request"),
        ({"linked_account_id": "acme", "return_url": BACK}, 422, "return_url_not_allowed"),
        ({"linked_account_id": "acme", "embed_origin": "https://app.acme.example"}, 422, "embed_origin_not_allowed"),
        ({"linked_account_id": "acme", "embed_origin": "null"}, 422, "embed_origin_not_allowed"),
        ({"linked_account_id": "acme", "locale": "../de"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_is_refused(product: httpx.AsyncClient, body: object, status: int, code: str) -> None:
    answer = await product.post(SESSIONS, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


async def test_embed_origin_is_one_that_the_settings_name(product: httpx.AsyncClient) -> None:
    origin = "https://app.acme.example"
    await product.put("/v1/settings", json={"allowed_origins": [origin]})
    given = {"linked_account_id": "acme", "embed_origin": origin}
    assert (await product.post(SESSIONS, json=given)).status_code == 201


async def test_page_connects_nothing_that_it_does_not_show(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    page = await open_session(product, browser, applications=["sandbox"])
    assert cards(page) == ["Sandbox"]
    _, key = await new_key(everlink)
    refused = await submit(browser, "sandbox-key", {"api_key": key})
    assert refused.status_code == 404 and "There is no such application." in refused.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


@pytest.mark.parametrize(
    ("locale", "header", "language", "title"),
    [
        (None, None, "en", "Your connections"),
        (None, "de-AT,en;q=0.5", "de", "Ihre Verbindungen"),
        ("ar", "de", "ar", "حساباتك المرتبطة"),
        ("fr", "de", "de", "Ihre Verbindungen"),
        ("fr", "es", "en", "Your connections"),
    ],
)
async def test_page_is_in_the_language_of_the_session_or_of_the_browser(
    product: httpx.AsyncClient,
    browser: httpx.AsyncClient,
    locale: str | None,
    header: str | None,
    language: str,
    title: str,
) -> None:
    if header is not None:
        browser.headers["accept-language"] = header
    page = await open_session(product, browser, locale=locale)
    direction = "rtl" if language == "ar" else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in page.text and f"<h1>{title}</h1>" in page.text
    assert page.headers["content-language"] == language


async def test_page_looks_like_the_organization(product: httpx.AsyncClient, browser: httpx.AsyncClient) -> None:
    await product.put("/v1/settings", json={"brand_colour": "#FFCC00", "logo": LOGO, "return_urls": [BACK]})
    page = await open_session(product, browser, return_url=BACK)
    nonce = page.headers["content-security-policy"].split("'nonce-")[1].split("'")[0]
    assert f'<style nonce="{nonce}">:root {{ --brand: #ffcc00; --on-brand: #000000;' in page.text
    assert f'<img src="{LOGO}" alt="">' in page.text and f'<a href="{BACK}">Back to Acme</a>' in page.text
    assert nonce not in (await browser.get(PAGE)).text  # each page has one of its own


async def test_key_with_a_return_url_leads_back_to_the_product(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.put("/v1/settings", json={"return_urls": [BACK]})
    await open_session(product, browser, return_url=BACK)
    saved = await submit(browser, "sandbox-key", {"api_key": (await new_key(everlink))[1]})
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    there = f"{BACK}?status=connected&application=sandbox-key&connection_id={connection['id']}"
    assert saved.headers["refresh"] == f"1; url={there}"
    assert there.replace("&", "&amp;") in saved.text and f"{KEYS} is connected." in saved.text
    scripted = await submit(
        browser, "sandbox-key", {"api_key": (await new_key(everlink))[1]}, headers={"accept": "application/json"}
    )
    assert (scripted.status_code, scripted.json()) == (201, {"connection_id": connection["id"], "next": there})


async def test_customer_stays_while_something_else_needs_them(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.put("/v1/settings", json={"return_urls": [BACK]})
    await broken(everlink, product)
    key = {"api_key": (await new_key(everlink))[1]}
    page = await open_session(product, browser, return_url=BACK)
    assert 'datetime="' in card(page, "Sandbox") and "Stopped working" in card(page, "Sandbox")
    stays = await submit(browser, "sandbox-key", key)
    assert (stays.url.path, stays.url.query) == (PAGE, b"connected=sandbox-key")
    assert f"{KEYS} is connected." in stays.text and "close this window" not in stays.text
    only_keys = await open_session(product, browser, return_url=BACK, applications=["sandbox-key"])
    assert cards(only_keys) == [KEYS]
    leaves = await submit(browser, "sandbox-key", key)
    assert leaves.headers["refresh"].startswith(f"1; url={BACK}?")


async def test_without_a_return_url_the_window_can_be_closed(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await open_session(product, browser)
    saved = await submit(browser, "sandbox-key", {"api_key": (await new_key(everlink))[1]})
    assert f"{KEYS} is connected. You can close this window." in saved.text
    invented = await browser.get(PAGE, params={"connected": "sandbox"})
    assert "is connected" not in invented.text  # for what is not


async def test_script_is_told_in_the_readers_words_which_field_is_wrong(
    product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await open_session(product, browser, locale="de")
    scripted = {"accept": "application/json"}
    empty = await submit(browser, "sandbox-key", {}, headers=scripted)
    assert (empty.status_code, empty.json()["error_code"]) == (422, "invalid_fields")
    assert empty.json()["fields"] == {"api_key": "Bitte ausfüllen."}
    refused = await submit(browser, "sandbox-key", {"api_key": "planted"}, headers=scripted)
    assert (refused.status_code, refused.json()["error_code"]) == (422, "credentials_refused")
    assert refused.json()["message"] == f"{KEYS} nimmt diese Angaben nicht an. Es wurde nichts gespeichert."
    assert refused.json()["fields"] == {"api_key": f"{KEYS} nimmt das nicht an."} and "planted" not in refused.text
    browser.cookies.clear()
    gone = await browser.post(f"{PAGE}/sandbox-key", headers=scripted)
    assert (gone.status_code, gone.json()["error_code"]) == (401, "session_expired")


async def test_script_is_given_the_way_to_the_provider(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await open_session(product, browser)
    answer = await submit(browser, "sandbox", {}, headers={"accept": "application/json"})
    assert answer.status_code == 201 and set(answer.json()) == {"id", "connect_url"}
    assert answer.json()["connect_url"].startswith(f"{everlink.url}/connect/start/")


async def test_what_is_no_secret_stays_typed_in(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    assert (await product.put("/v1/applications/twilio", json={})).status_code == 200
    await open_session(product, browser)
    page = await submit(browser, "twilio", {"sid": 'wrong"<sid>', "token": "planted-token"})
    shown = card(page, "Twilio")
    assert page.status_code == 422 and 'value="wrong&#34;&lt;sid&gt;"' in shown and "planted-token" not in page.text
    wrong = shown.split('id="twilio-sid"')[1].split("</div>")[0]
    assert 'aria-invalid="true"' in wrong and 'aria-describedby="twilio-sid-help twilio-sid-wrong"' in wrong
    assert '<p class="wrong" id="twilio-sid-wrong">This does not look right. Please check it.</p>' in wrong
    assert "<details" in shown and " open>" in shown
