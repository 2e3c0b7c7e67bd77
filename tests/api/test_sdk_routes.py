"""What the seed's browser SDK asks for, with a session token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.conftest import Everlink, until_status
from tests.api.test_sessions import bearer, session

APPS = "/api/v2/f-sdk/application"
INTEGRATE = "/api/v1/sandbox/integrate"
SAVE = "/api/v2/app/sandbox-key/save"
REMOVE = "/api/v1/linked-acc/integration"


@pytest.fixture
async def browser(everlink: Everlink, product: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    token = (await session(product))["token"]
    async with httpx.AsyncClient(base_url=everlink.url, headers=bearer(token), timeout=40) as client:
        yield client


async def consent(everlink: Everlink, browser: httpx.AsyncClient, name: str = "ada") -> None:
    link = (await browser.get(INTEGRATE, params={"domain": "acme", "other": "x"})).json()["auth_url"]
    async with everlink.customer(name) as customer:
        assert (await customer.consent(link)).status_code == 200


async def new_key(everlink: Everlink, name: str = "ada") -> str:
    async with everlink.customer(name) as customer:
        return (await customer.create_key())[1]


async def test_browser_sees_what_the_products_server_sees(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    for _ in range(2):
        listed = (await browser.get(APPS)).json()
        assert listed == (await product.get("/api/v2/public/application")).json()
        assert (await browser.get(f"{APPS}/sandbox")).json() in listed
        await consent(everlink, browser)
    assert listed[0]["connected_accounts"][0]["identifier"] == "ada@acme.example"


async def test_connecting_again_mends_the_same_connection(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await consent(everlink, browser)
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    async with everlink.customer() as ada:
        await ada.revoke()
    await product.post(f"/v1/connections/{connection['id']}/report", json={})
    await until_status(product, connection["id"], "reauth_required")
    broken = (await browser.get(f"{APPS}/sandbox")).json()
    assert (broken["connected"], broken["reauth_required"]) == (True, True)
    await consent(everlink, browser)
    mended = (await browser.get(f"{APPS}/sandbox")).json()
    assert (mended["connected"], mended["reauth_required"]) == (True, False)
    [again] = (await product.get("/v1/connections")).json()["connections"]
    assert (again["id"], again["status"]) == (connection["id"], "active")


async def test_saving_a_key_mends_the_same_connection(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    async with everlink.customer() as ada:
        number, key = await ada.create_key()
        saved = (await browser.post(SAVE, json={"api_key": key})).json()
        [connection] = (await product.get("/v1/connections")).json()["connections"]
        assert saved == {"success": True, "connection_id": connection["id"]}
        await ada.delete_key(number)
    await product.post(f"/v1/connections/{connection['id']}/report", json={})
    await until_status(product, connection["id"], "reauth_required")
    assert (await browser.post(SAVE, json={"api_key": key})).status_code == 422
    assert (await browser.get(f"{APPS}/sandbox-key")).json()["reauth_required"] is True
    assert (await browser.post(SAVE, json={"api_key": await new_key(everlink)})).json() == saved
    assert (await browser.get(f"{APPS}/sandbox-key")).json()["reauth_required"] is False
    [again] = (await product.get("/v1/connections")).json()["connections"]
    assert (again["id"], again["status"]) == (connection["id"], "active")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"api_key": "sk_sandbox_planted"}, "credentials_refused"),
        ({}, "invalid_fields"),
        ({"api_key": "x", "org_id": "another"}, "invalid_fields"),
        ({"api_key": False}, "invalid_request"),
        ("planted", "invalid_request"),
    ],
)
async def test_key_that_is_refused_is_a_422(
    product: httpx.AsyncClient, browser: httpx.AsyncClient, body: object, code: str
) -> None:
    answer = await browser.post(SAVE, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, code)
    assert "planted" not in answer.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_disconnecting_ends_every_account_of_the_application(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    assert (await browser.delete(f"{REMOVE}/sandbox")).status_code == 200  # nothing was there
    await consent(everlink, browser, "ada")
    await consent(everlink, browser, "grace")
    await browser.post(SAVE, json={"api_key": await new_key(everlink)})
    other = await browser.delete(f"{REMOVE}/sandbox", params={"auth_type": "keybased"})
    assert other.json()["account_id"] == "acme"
    assert len((await browser.get(f"{APPS}/sandbox")).json()["connected_accounts"]) == 2
    assert (await browser.delete(f"{REMOVE}/sandbox", params={"auth_type": "oauth2"})).status_code == 200
    assert (await browser.get(f"{APPS}/sandbox")).json()["connected"] is False
    assert (await browser.get(f"{APPS}/sandbox-key")).json()["connected"] is True
    assert (await browser.delete(f"{REMOVE}/sandbox", params={"auth_type": "magic"})).status_code == 422
    assert (await browser.delete(f"{REMOVE}/sandbox", params={"auth_type": ""})).status_code == 200


async def test_browser_reaches_no_other_linked_account(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "other"})
    theirs = {"linked_account_id": "other"}
    saved = await product.put(
        "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key",
        json={"api_key": await new_key(everlink)},
        headers=theirs,
    )
    assert saved.status_code == 200
    for way in ({"headers": theirs}, {"params": theirs}):
        assert (await browser.get(f"{APPS}/sandbox-key", **way)).json()["connected"] is False
        assert (await browser.delete(f"{REMOVE}/sandbox-key", **way)).json()["account_id"] == "acme"
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    assert (connection["linked_account_id"], connection["status"]) == ("other", "active")


async def test_key_for_a_connection_is_of_its_account(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    first = (await browser.post(SAVE, json={"api_key": await new_key(everlink)})).json()["connection_id"]
    query = {"connection_id": first}
    other = await browser.post(SAVE, json={"api_key": await new_key(everlink, "grace")}, params=query)
    assert (other.status_code, other.json()["error_code"]) == (409, "different_account")
    again = await browser.post(SAVE, json={"api_key": await new_key(everlink)}, params=query)
    assert again.json()["connection_id"] == first
    [only] = (await product.get("/v1/connections")).json()["connections"]
    assert (only["id"], only["status"]) == (first, "active")


async def test_key_for_a_connection_that_is_not_this_accounts_is_not_kept(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "other"})
    key = await new_key(everlink)
    save = "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key"
    await product.put(save, json={"api_key": key}, headers={"linked_account_id": "other"})
    [theirs] = (await product.get("/v1/connections")).json()["connections"]
    by_consent = await everlink.connect(product)
    for wrong in (theirs["id"], by_consent, "con_" + "0" * 32):
        answer = await browser.post(SAVE, json={"api_key": key}, params={"connection_id": wrong})
        assert (answer.status_code, answer.json()["error_code"]) == (404, "connection_not_found")
    assert len((await product.get("/v1/connections")).json()["connections"]) == 2


async def test_what_is_not_there_and_what_cannot_be(browser: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", f"{APPS}/nothing"),
        ("GET", "/api/v1/nothing/integrate"),
        ("GET", "/api/v1/slack/integrate"),  # in the catalog, and not enabled
        ("POST", "/api/v1/nothing/integrate"),
        ("POST", "/api/v2/app/nothing/save"),
    ):
        answer = await browser.request(method, path, json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "application_not_found"), path
    machine = await browser.post(INTEGRATE, json={"client_id": "a"})
    assert (machine.status_code, machine.json()["error_code"]) == (400, "not_machine_to_machine")
    keys = await browser.get("/api/v1/sandbox-key/integrate")
    assert (keys.status_code, keys.json()["error_code"]) == (400, "not_oauth2")
