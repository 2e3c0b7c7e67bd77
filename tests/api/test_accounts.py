"""Linked accounts of one organization: each sees its own, however many there are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from store.database import utc_now
from store.tables import CONNECTIONS
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink, until_status

APPLICATIONS = "/api/v2/public/application"
ONE = f"{APPLICATIONS}/sandbox"
INTEGRATION = "/api/v2/public/linked-account/integration/sandbox"
MANY = 1100  # more than any page


async def fill(everlink: Everlink, product: httpx.AsyncClient, status: str) -> None:
    """Connections of `acme` that stand before every other in the order of ids."""
    scope = (await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None
    row: dict[str, Any] = {
        **scope.columns,
        "linked_account_id": "acme",
        "slug": "sandbox",
        "auth_type": "oauth2",
        "status": status,
        "health": "ok",
        "sequence": 0,
        "status_since": utc_now(),
        "created_at": utc_now(),
    }
    prefix = f"con_0000{scope.org_id[:20]}"
    rows = [{**row, "id": f"{prefix}{n:08d}", "identifier": f"{n}@many.example"} for n in range(MANY)]
    async with everlink.made.database.writing() as writing:
        await writing.execute(insert(CONNECTIONS), rows)


@pytest.mark.parametrize("status", ["pending", "active"])
async def test_account_with_very_many_connections_shows_all_of_them(
    everlink: Everlink, product: httpx.AsyncClient, status: str
) -> None:
    real = await everlink.connect(product)
    await fill(everlink, product, status)
    alone = (await product.get(ONE)).json()
    [listed] = (await product.get(APPLICATIONS, params={"slug": "sandbox"})).json()
    assert listed == alone and alone["connected"] is True
    shown = [account["connection_id"] for account in alone["connected_accounts"]]
    assert real in shown and len(shown) == (1 if status == "pending" else MANY + 1)


async def test_connection_behind_very_many_is_still_removed(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = await everlink.connect(product)
    await fill(everlink, product, "active")
    removed = []

    async def note(_: object, row: Any, **__: object) -> None:  # a workflow for each would take its time
        removed.append(row.id)

    monkeypatch.setattr("api.temporal.disconnect", note)
    assert (await product.delete(INTEGRATION)).status_code == 200
    assert real in removed and len(set(removed)) == len(removed) == MANY + 1


async def test_one_account_sees_and_removes_nothing_of_another(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    assert (await product.post("/api/v2/public/linked-account", json={"account_id": "other"})).status_code == 200
    other = {"linked_account_id": "other"}
    seen = (await product.get(ONE, headers=other)).json()
    assert (seen["connected"], seen["connected_accounts"], seen["reauth_required"]) == (False, [], False)
    assert (await product.delete(INTEGRATION, headers=other)).json()["account_id"] == "other"
    await until_status(product, connection, "active")
    assert (await product.get(ONE)).json()["connected"] is True
    link = (await product.get(OAUTH_URL, headers=other)).json()["auth_url"]
    async with everlink.customer() as ada:
        assert (await ada.consent(link)).status_code == 200
    [hers] = (await product.get("/v1/connections", params=other)).json()["connections"]
    assert hers["id"] != connection and hers["identifier"] == "ada@acme.example"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", APPLICATIONS), ("GET", ONE), ("GET", OAUTH_URL), ("PUT", SAVE_KEY), ("DELETE", INTEGRATION)],
)
async def test_account_must_be_named_and_known_on_every_route_of_the_seed(
    product: httpx.AsyncClient, method: str, path: str
) -> None:
    body = {"api_key": "planted"} if method == "PUT" else None
    del product.headers["linked_account_id"]
    for headers, status, code in (
        ({}, 400, "linked_account_id_missing"),
        ({"linked_account_id": ""}, 400, "linked_account_id_missing"),
        ({"linked_account_id": "nobody"}, 404, "linked_account_not_found"),
        ({"linked_account_id": "ACME"}, 404, "linked_account_not_found"),
    ):
        answer = await product.request(method, path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code), headers


async def test_account_of_another_organization_is_not_there(everlink: Everlink, product: httpx.AsyncClient) -> None:
    stranger = await everlink.product("Other")
    assert (await stranger.post("/api/v2/public/linked-account", json={"account_id": "theirs"})).status_code == 200
    for path in (ONE, OAUTH_URL):
        answer = await product.get(path, headers={"linked_account_id": "theirs"})
        assert (answer.status_code, answer.json()["error_code"]) == (404, "linked_account_not_found")
