"""Fewer scopes granted than asked: nothing is connected, the grant is given back, and the customer reads what lacks."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from everlink import Client
from tests.api.conftest import OAUTH_URL, Everlink
from tests.api.provider import OUR_CLIENT, Provider
from tests.api.test_refusals import error_codes
from tests.api.test_sites import SHOP_URL, consent

SANDBOX = "/v1/applications/sandbox"


async def set_up(product: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    answer = await product.put(SANDBOX, json=values)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def connections(product: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await product.get("/v1/connections")).json()["connections"]
    return found


@pytest.fixture
async def shop(product: httpx.AsyncClient) -> str:
    """A link to connect there; one of the scopes that it grants is required."""
    credentials = {"client_id": OUR_CLIENT[0], "client_secret": OUR_CLIENT[1], "required_scopes": ["orders"]}
    assert (await product.put("/v1/applications/shop", json=credentials)).status_code == 200
    params = {"site": f"site-{uuid4().hex[:8]}"}
    return str((await product.get(SHOP_URL, params=params)).json()["auth_url"])


async def test_fewer_scopes_granted_than_asked_connect_nothing_and_leave_no_grant(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await set_up(product, scopes=["read"], required_scopes=["read", "write", "<admin>"])
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer("grace") as grace:
        before = await grace.live_tokens()
        page = await grace.consent(link)
        assert page.status_code == 400 and "allow these as well: write, &lt;admin&gt;." in page.text
        assert await grace.live_tokens() == before
        assert await connections(product) == []
        await set_up(product, scopes=["read", "write"], required_scopes=["write", "read"])
        assert (await grace.consent(link)).status_code == 200  # the same link
    [only] = await connections(product)
    assert only["status"] == "active"


async def test_missing_scope_is_named_though_the_account_cannot_be_told_without_it(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await set_up(product, scopes=["write"], required_scopes=["read"])
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer() as ada:
        page = await ada.consent(link)
    assert page.status_code == 400 and "allow these as well: read." in page.text
    assert await connections(product) == []


async def test_reconnect_with_fewer_scopes_leaves_the_connection_as_it_was(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    await set_up(product, scopes=["read"], required_scopes=["write"])
    link = (await product.post(f"/v1/connections/{connection}/reconnect")).json()["connect_url"]
    async with everlink.customer() as ada:
        assert (await ada.consent(link)).status_code == 400
    [only] = await connections(product)
    assert (only["id"], only["status"], only["sequence"]) == (connection, "active", 1)
    assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["verdict"] == "ok"


@pytest.mark.parametrize(
    ("said", "connects"),
    [
        (None, True),
        ("orders", True),
        ("products,orders", True),
        ("products orders", True),
        ("products", False),
        ("orders_read", False),
        ("", False),
    ],
)
async def test_provider_that_says_no_scope_has_granted_what_was_asked(
    product: httpx.AsyncClient,
    sites: Provider,
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    connects: bool,
) -> None:
    monkeypatch.setattr(sites, "scope", said)
    account = f"of-{uuid4().hex}"
    page = await consent(sites, shop, account)
    assert page.status_code == (200 if connects else 400)
    assert [one["identifier"] for one in await connections(product)] == ([account] if connects else [])
    assert (account in sites.tokens.values()) is connects  # what is not kept is revoked


async def test_refresh_that_comes_with_fewer_scopes_flags_nobody(
    product: httpx.AsyncClient, sites: Provider, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "scope", "orders products")
    assert (await consent(sites, shop, f"of-{uuid4().hex}")).status_code == 200
    [only] = await connections(product)
    monkeypatch.setattr(sites, "scope", "products")
    assert (await product.post(f"/v1/connections/{only['id']}/refresh")).json()["verdict"] == "ok"
    [same] = await connections(product)
    assert (same["status"], same["sequence"]) == ("active", only["sequence"])


async def test_attempt_remembers_what_was_the_matter(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await set_up(product, scopes=["read"], required_scopes=["write"])
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer() as ada:
        await ada.consent(link)
    assert await error_codes(everlink, product) == ["scopes_missing"]


async def test_required_scopes_are_kept_until_they_are_taken_back(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    assert (await product.get(SANDBOX)).json()["required_scopes"] == []
    assert (await set_up(product, required_scopes=["read", "write"]))["required_scopes"] == ["read", "write"]
    assert (await set_up(product, scopes=["read"]))["required_scopes"] == ["read", "write"]
    assert (await set_up(product, required_scopes=None))["required_scopes"] == []
    async with Client(everlink.url, product.headers["x-api-key"]) as client:
        assert (await client.applications.enable("sandbox", required_scopes=("read",))).required_scopes == ["read"]
        assert (await client.applications.enable("sandbox", required_scopes=())).required_scopes == []


@pytest.mark.parametrize("scope", ["", " ", "read write", "read,write", "a" * 256, 5, None])
async def test_required_scope_that_no_answer_could_hold_is_refused(product: httpx.AsyncClient, scope: object) -> None:
    answer = await product.put(SANDBOX, json={"required_scopes": ["read", scope]})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
