"""The seed's API: the object as the seed shows it, through a connection's life."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from providers.entry import CatalogEntry
from store.database import utc_now
from store.tables import CONNECTIONS
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink, until_status

LIST = "/api/v2/public/application"
TEXT = "..."  # the application's own: its icon, its description
# An application whose authentication has expired, as the seed's documentation shows it.
EXAMPLE: dict[str, Any] = {
    "name": "Slack",
    "icon": TEXT,
    "description": TEXT,
    "auth_type": "oauth2",
    "tags": ["Communication"],
    "version": {"_v": "1.0.0", "description": TEXT},
    "connected": True,
    "connected_accounts": [{"identifier": "Cobalt", "connectedAt": "2023-05-31T07:45:59.841Z"}],
    "slug": "slack",
    "reauth_required": True,
}
FURTHER = {"app_id", "type", "ecosystem", "auth_type_options", "auth_input_map"}
SEED = {name: type(value) for name, value in EXAMPLE.items()}
FIELD = {"name", "label", "placeholder", "required", "type", "options", "multiple", "help_text"}


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


async def connected_slack(everlink: Everlink, product: httpx.AsyncClient, **values: Any) -> None:
    """What the store has of a connected workspace: there is no Slack here to connect to."""
    key = await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert key is not None
    row = {
        "id": f"con_{uuid4().hex}",
        **key.scope.columns,
        "linked_account_id": "acme",
        "slug": "slack",
        "auth_type": "oauth2",
        "health": "ok",
        "sequence": 2,
        "status_since": utc_now(),
        "connected_at": datetime(2023, 5, 31, 7, 45, 59, 841_000, tzinfo=UTC),
        "created_at": utc_now(),
    }
    async with everlink.made.database.writing() as writing:
        await writing.execute(CONNECTIONS.insert().values({**row, **values}))


async def test_example_of_the_seed_is_answered_field_by_field(everlink: Everlink, product: httpx.AsyncClient) -> None:
    client = {"client_id": "slack-client", "client_secret": "slack-secret"}
    assert (await product.put("/v1/applications/slack", json=client)).status_code == 200
    reason = {"status": "reauth_required", "reason": "access_revoked"}
    await connected_slack(everlink, product, identifier="Cobalt", **reason)
    slack = await application(product, "slack")
    assert set(slack) == set(EXAMPLE) | FURTHER
    [account] = slack["connected_accounts"]
    assert {name: account[name] for name in ("status", "auth_type")} == {"status": "expired", "auth_type": "oauth2"}
    shown = {name: slack[name] for name in EXAMPLE}
    shown["connected_accounts"] = [{name: account[name] for name in EXAMPLE["connected_accounts"][0]}]
    assert slack["icon"].startswith("data:image/") and slack["version"]["description"] == slack["description"] != ""
    assert shown == {
        **EXAMPLE,
        "icon": slack["icon"],
        "description": slack["description"],
        "version": {**EXAMPLE["version"], "description": slack["description"]},
    }

    await connected_slack(everlink, product, identifier="Refold", status="active")
    both = await application(product, "slack")
    assert both["connected"] is True and both["reauth_required"] is True
    statuses = {account["identifier"]: account["status"] for account in both["connected_accounts"]}
    assert statuses == {"Cobalt": "expired", "Refold": "active"}


async def test_flag_goes_when_the_dead_one_of_two_accounts_reconnects(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    ada, grace = [await everlink.connect(product, name) for name in ("ada", "grace")]
    async with everlink.customer("ada") as customer:
        await customer.revoke()
    assert (await product.post(f"/v1/connections/{ada}/report", json={})).status_code == 202
    await until_status(product, ada, "reauth_required")
    one_dead = await application(product)
    assert (one_dead["connected"], one_dead["reauth_required"]) == (True, True)
    statuses = {account["connection_id"]: account["status"] for account in one_dead["connected_accounts"]}
    assert statuses == {ada: "expired", grace: "active"}
    assert await everlink.connect(product, "ada") == ada
    both = await application(product)
    assert both["reauth_required"] is False
    assert {account["status"] for account in both["connected_accounts"]} == {"active"}


async def test_form_of_a_key_has_every_field_of_the_seed(product: httpx.AsyncClient) -> None:
    key = await application(product, "sandbox-key")
    [field] = key["auth_input_map"]
    assert set(field) == FIELD and key["auth_type_options"] == {"keybased": [field]}
    assert (field["name"], field["required"], field["multiple"], field["options"]) == ("api_key", True, False, [])
    oauth2 = await application(product)
    assert (oauth2["auth_input_map"], oauth2["auth_type_options"]) == ([], {"oauth2": []})


async def test_two_accounts_of_one_application_stand_side_by_side(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await everlink.connect(product, "ada")
    await everlink.connect(product, "grace")
    accounts = (await application(product))["connected_accounts"]
    assert sorted(account["identifier"] for account in accounts) == ["ada@acme.example", "grace@globex.example"]


@pytest.mark.parametrize(
    ("query", "slugs"),
    [
        ("", ["atlassian", "sandbox", "sandbox-key", "slack"]),
        ("auth_type=keybased", ["sandbox-key"]),
        ("auth_type=odd", []),
        ("slug=sandbox", ["sandbox"]),
        ("slug=sand", []),
        ("tags=Communication", ["slack"]),
        ("tags=communication,productivity", ["atlassian", "slack"]),
        ("tags=Communication&tags=%20Productivity", ["atlassian", "slack"]),
        ("tags=Development&auth_type=oauth2", ["atlassian", "sandbox"]),
        ("tags=", ["atlassian", "sandbox", "sandbox-key", "slack"]),
        ("tags=nothing", []),
        ("ecosystem=atlassian", ["atlassian"]),
        ("ecosystem=Atlassian&tags=Communication", []),
        ("ecosystem=", ["atlassian", "sandbox", "sandbox-key", "slack"]),
    ],
)
async def test_filters_narrow_the_list(product: httpx.AsyncClient, query: str, slugs: list[str]) -> None:
    for slug in ("slack", "atlassian"):
        assert (await product.put(f"/v1/applications/{slug}", json={"client_id": "ours"})).status_code == 200
    assert [item["slug"] for item in (await product.get(f"{LIST}?{query}")).json()] == slugs


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
        ({"api_key": "line\r\nbreak: 1"}, "invalid_fields"),  # no header could carry either
        ({"api_key": "schlüssel"}, "invalid_fields"),
    ],
)
async def test_key_that_is_no_key_is_a_422(product: httpx.AsyncClient, body: object, code: str) -> None:
    answer = await product.put(SAVE_KEY, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, code)


async def test_choice_is_shown_with_its_options_and_nothing_else_is_taken(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = everlink.made.catalog.get("sandbox-key")
    assert entry is not None
    site = {"name": "site", "label": "Site", "type": "select", "options": ["eu", "us"], "required": False}
    changed = CatalogEntry.model_validate({**entry.model_dump(), "fields": [*entry.model_dump()["fields"], site]})
    monkeypatch.setitem(everlink.made.catalog._entries, "sandbox-key", changed)
    field = (await application(product, "sandbox-key"))["auth_input_map"][1]
    assert (field["type"], field["options"], field["required"]) == ("select", ["eu", "us"], False)
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    refused = await product.put(SAVE_KEY, json={"api_key": key, "site": "planted"})
    assert (refused.status_code, refused.json()["error_code"]) == (422, "invalid_fields")
    assert refused.json()["wrong"] == ["site"] and "planted" not in refused.text
    for fields in ({}, {"site": ""}, {"site": "eu"}):
        assert (await product.put(SAVE_KEY, json={"api_key": key, **fields})).json() == {"success": True}


@pytest.mark.parametrize(("auth_type", "left"), [("", 0), ("oauth2", 0), ("keybased", 1)])
async def test_disconnecting_by_auth_type_where_an_empty_one_is_none(
    everlink: Everlink, product: httpx.AsyncClient, auth_type: str, left: int
) -> None:
    await everlink.connect(product)
    path = "/api/v2/public/linked-account/integration/sandbox"
    assert (await product.delete(path, params={"auth_type": "magic"})).status_code == 422
    assert (await product.delete(path, params={"auth_type": auth_type})).status_code == 200
    assert len((await application(product))["connected_accounts"]) == left


async def test_removing_what_is_not_there_is_fine(everlink: Everlink, product: httpx.AsyncClient) -> None:
    path = "/api/v2/public/linked-account/integration/sandbox"
    assert (await product.delete(path)).status_code == 200
    connection = await everlink.connect(product)
    assert (await product.delete(path)).json()["account_id"] == "acme"
    await until_status(product, connection, "disconnected")
    assert (await application(product))["connected"] is False
