"""The seed's API: the object as the seed shows it, through a connection's life."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink, until_status

LIST = "/api/v2/public/application"
SEED = {
    "name": str,
    "icon": str,
    "description": str,
    "auth_type": str,
    "tags": list,
    "version": dict,
    "connected": bool,
    "connected_accounts": list,
    "slug": str,
    "reauth_required": bool,
}


async def application(product: httpx.AsyncClient, slug: str = "sandbox") -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in (await product.get(LIST)).json() if item["slug"] == slug)
    assert found == (await product.get(f"{LIST}/{slug}")).json()
    return found


async def test_object_has_every_field_of_the_seed_through_a_life(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    before = await application(product)
    assert {name: type(before[name]) for name in SEED} == SEED
    assert set(before["version"]) == {"_v", "description"}
    assert (before["connected"], before["connected_accounts"], before["reauth_required"]) == (False, [], False)

    connection = await everlink.connect(product)
    connected = await application(product)
    assert connected["connected"] is True and connected["reauth_required"] is False
    [account] = connected["connected_accounts"]
    assert account["identifier"] == "ada@acme.example" and account["status"] == "active"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", account["connectedAt"])

    async with everlink.customer() as ada:
        await ada.revoke()
    assert (await product.post(f"/v1/connections/{connection}/report", json={})).status_code == 202
    await until_status(product, connection, "reauth_required")
    expired = await application(product)
    assert expired["connected"] is True and expired["reauth_required"] is True
    assert expired["connected_accounts"][0]["status"] == "expired"

    assert await everlink.connect(product) == connection
    again = await application(product)
    assert again["reauth_required"] is False and again["connected_accounts"][0]["status"] == "active"


async def test_two_accounts_of_one_application_stand_side_by_side(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await everlink.connect(product, "ada")
    await everlink.connect(product, "grace")
    accounts = (await application(product))["connected_accounts"]
    assert sorted(account["identifier"] for account in accounts) == ["ada@acme.example", "grace@globex.example"]


async def test_filters_narrow_the_list(product: httpx.AsyncClient) -> None:
    listed = (await product.get(LIST, params={"auth_type": "keybased"})).json()
    assert [item["slug"] for item in listed] == ["sandbox-key"]
    assert [item["slug"] for item in (await product.get(LIST, params={"slug": "sandbox"})).json()] == ["sandbox"]


async def test_linked_account_by_query_and_the_header_wins(product: httpx.AsyncClient) -> None:
    del product.headers["linked_account_id"]
    missing = await product.get(LIST)
    assert (missing.status_code, missing.json()["error_code"]) == (400, "linked_account_id_missing")
    assert (await product.get(LIST, params={"linked_account_id": "acme"})).status_code == 200
    both = await product.get(LIST, params={"linked_account_id": "acme"}, headers={"linked_account_id": "nobody"})
    assert (both.status_code, both.json()["error_code"]) == (404, "linked_account_not_found")


async def test_unknown_application_is_a_404(product: httpx.AsyncClient) -> None:
    for path in (f"{LIST}/nothing", OAUTH_URL.replace("sandbox", "nothing")):
        answer = await product.get(path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "application_not_found")


async def test_key_is_stored_only_after_the_provider_accepted_it(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    refused = await product.put(SAVE_KEY, json={"api_key": "sk_sandbox_planted"})
    assert (refused.status_code, refused.json()["error_code"]) == (422, "credentials_refused")
    assert "planted" not in refused.text
    assert (await product.get("/v1/connections")).json()["connections"] == []
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    assert (await product.put(SAVE_KEY, json={"api_key": key})).json() == {"success": True}
    assert (await application(product, "sandbox-key"))["connected"] is True
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    token = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    assert token["fields"] == {"api_key": key} and token["access_token"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_fields"),
        ({"api_key": ""}, "invalid_fields"),
        ({"api_key": "x", "org_id": "another"}, "invalid_fields"),
        ({"api_key": False}, "invalid_request"),
        ({"api_key": {"a": 1}}, "invalid_request"),
        ([1], "invalid_request"),
        ({"api_key": "line\r\nbreak: 1"}, "credentials_refused"),
        ({"api_key": "schlüssel"}, "credentials_refused"),
    ],
)
async def test_key_that_is_no_key_is_a_422(product: httpx.AsyncClient, body: object, code: str) -> None:
    answer = await product.put(SAVE_KEY, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, code)


async def test_removing_what_is_not_there_is_fine(everlink: Everlink, product: httpx.AsyncClient) -> None:
    path = "/api/v2/public/linked-account/integration/sandbox"
    assert (await product.delete(path)).status_code == 200
    connection = await everlink.connect(product)
    assert (await product.delete(path)).json()["account_id"] == "acme"
    await until_status(product, connection, "disconnected")
    assert (await application(product))["connected"] is False
