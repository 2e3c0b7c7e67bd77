"""What a product asks for: tokens, keys, endings, applications; alone, at once, and wrongly."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import update
from temporalio.client import WorkflowExecutionStatus

from api import lifecycle
from everlink.contract import ConnectionView, Query, connection_workflow_id
from providers.guard import TargetGuard
from store.database import utc_now
from store.tables import CREDENTIALS
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink

INTEGRATION = "/api/v2/public/linked-account/integration"


@pytest.mark.parametrize("min_ttl", ["nan", "inf", "-1", "3601", "1e400", "soon", ""])
async def test_token_for_a_time_that_is_none_is_a_422(
    everlink: Everlink, product: httpx.AsyncClient, min_ttl: str
) -> None:
    connection = await everlink.connect(product)
    answer = await product.get(f"/v1/connections/{connection}/token", params={"min_ttl": min_ttl})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")


@pytest.mark.parametrize("generation", [0, -1, True, False, "1", 1.5, [1], 10**400], ids=lambda value: repr(value)[:5])
async def test_report_about_a_generation_that_is_none_is_a_422(
    everlink: Everlink, product: httpx.AsyncClient, generation: object
) -> None:
    connection = await everlink.connect(product)
    answer = await product.post(f"/v1/connections/{connection}/report", json={"generation": generation})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")


async def test_expired_token_is_given_to_nobody(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await everlink.connect(product)
    path = f"/v1/connections/{connection}/token"
    first = (await product.get(path)).json()
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=59, seconds=59))
    fresh = (await product.get(path, params={"min_ttl": 2})).json()
    assert fresh["generation"] == 2 and fresh["access_token"] != first["access_token"]
    async with everlink.made.database.writing() as writing:
        mine = CREDENTIALS.c.connection_id == connection
        await writing.execute(update(CREDENTIALS).where(mine).values(renewable=False))
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(hours=2))
    answer = await product.get(path)
    assert answer.status_code == 503 and "access_token" not in answer.text


async def test_fresh_token_costs_no_refresh(everlink: Everlink, product: httpx.AsyncClient) -> None:
    path = f"/v1/connections/{await everlink.connect(product)}/token"
    answers = [(await product.get(path, params={"min_ttl": 3000})).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2] and answers[0]["generation"] == 1
    assert answers[0]["fields"] is None and answers[0]["token_type"] == "Bearer"


async def test_same_account_at_two_organizations_is_two_connections(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    other = await everlink.product("Other")
    mine, theirs = await everlink.connect(product), await everlink.connect(other)
    assert mine != theirs
    assert (await product.delete(f"/v1/connections/{mine}")).status_code == 200
    for client, ids in ((product, [mine]), (other, [theirs])):
        listed = (await client.get("/v1/connections")).json()["connections"]
        assert [row["id"] for row in listed] == ids
    assert (await other.get(f"/v1/connections/{theirs}")).json()["status"] == "active"


async def test_disconnect_by_many_at_once_is_one_end(everlink: Everlink, product: httpx.AsyncClient) -> None:
    path = f"/v1/connections/{await everlink.connect(product)}"
    answers = await asyncio.gather(*(product.delete(path) for _ in range(8)))
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(200, "disconnected")}
    await everlink.made.temporal.get_workflow_handle(f"connection/{path.rpartition('/')[2]}").result()
    rows = (await product.get(f"{path}/events")).json()["transitions"]
    assert [row["event"] for row in rows if row["event"]] == ["Connection Created", "Connection Deleted"]


async def test_disconnect_that_comes_after_the_end_is_no_error(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    scope = (await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None
    before = await lifecycle.find(everlink.made, scope, connection)
    assert (await product.delete(f"/v1/connections/{connection}")).status_code == 200
    workflow = everlink.made.temporal.get_workflow_handle(f"connection/{connection}")
    await workflow.result()
    await lifecycle.disconnect(everlink.made, before)  # by another process, which read the row before the end
    assert (await workflow.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_seed_disconnects_all_accounts_of_one_application_and_no_other(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    for name in ("ada", "grace"):
        await everlink.connect(product, name)
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    assert (await product.put(SAVE_KEY, json={"api_key": key})).status_code == 200
    for _ in range(2):
        answer = await product.delete(f"{INTEGRATION}/sandbox")
        assert (answer.status_code, answer.json()["account_id"]) == (200, "acme")
    left = (await product.get("/v1/connections", params={"status": "active"})).json()["connections"]
    assert [row["slug"] for row in left] == ["sandbox-key"]


async def test_same_key_saved_by_many_at_once_is_one_connection(everlink: Everlink, product: httpx.AsyncClient) -> None:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    answers = await asyncio.gather(*(product.put(SAVE_KEY, json={"api_key": key}) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    [only] = (await product.get("/v1/connections")).json()["connections"]
    token = (await product.get(f"/v1/connections/{only['id']}/token")).json()
    assert token["fields"] == {"api_key": key}
    refreshed = (await product.post(f"/v1/connections/{only['id']}/refresh")).json()
    assert (refreshed["verdict"], refreshed["status"]) == ("ok", "active")


async def test_key_with_a_known_end_says_so_and_one_that_has_ended_is_refused(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    for ends, status in (("2020-01-01T00:00:00Z", 422), ("2099-01-01T00:00:00", 422), ("2099-01-01T00:00:00Z", 200)):
        answer = await product.put(SAVE_KEY, json={"api_key": key}, params={"expires_at": ends})
        assert answer.status_code == status
    [only] = (await product.get("/v1/connections")).json()["connections"]
    token = (await product.get(f"/v1/connections/{only['id']}/token")).json()
    assert (token["expires_at"], token["ends_at"]) == (None, "2099-01-01T00:00:00Z")
    handle = everlink.made.temporal.get_workflow_handle(connection_workflow_id(only["id"]))
    view = await handle.query(Query.STATUS, result_type=ConnectionView)
    assert view.ends_at is not None and abs((view.ends_at - datetime(2099, 1, 1, tzinfo=UTC)).total_seconds()) < 60


async def test_key_that_nobody_can_check_is_not_stored(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = everlink.made.catalog.get("sandbox-key")
    assert entry is not None and entry.probe is not None
    closed = entry.probe.model_copy(update={"url": "http://127.0.0.1:9/"})
    away = {"sandbox-key": entry.model_copy(update={"probe": closed})}
    monkeypatch.setattr(everlink.made.catalog, "get", away.get)
    answer = await product.put(SAVE_KEY, json={"api_key": "planted"})
    assert (answer.status_code, answer.json()["error_code"]) == (502, "provider_unreachable")
    assert "planted" not in answer.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_new_key_that_is_refused_leaves_the_old_one(everlink: Everlink, product: httpx.AsyncClient) -> None:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    assert (await product.put(SAVE_KEY, json={"api_key": key})).status_code == 200
    assert (await product.put(SAVE_KEY, json={"api_key": "sk_sandbox_wrong"})).status_code == 422
    [only] = (await product.get("/v1/connections")).json()["connections"]
    assert (await product.get(f"/v1/connections/{only['id']}/token")).json()["fields"] == {"api_key": key}


async def test_way_of_connecting_must_fit_the_application(everlink: Everlink, product: httpx.AsyncClient) -> None:
    by_consent = await product.get(OAUTH_URL.replace("sandbox", "sandbox-key"))
    assert (by_consent.status_code, by_consent.json()["error_code"]) == (400, "not_oauth2")
    by_key = await product.put(SAVE_KEY.replace("sandbox-key", "sandbox"), json={"api_key": "planted"})
    assert (by_key.status_code, by_key.json()["error_code"]) == (400, "not_keybased")


@pytest.mark.parametrize("account", ["a" * 255, "ü" * 255], ids=["ASCII", "not ASCII"])
async def test_longest_name_of_a_linked_account_connects(
    everlink: Everlink, product: httpx.AsyncClient, account: str
) -> None:
    del product.headers["linked_account_id"]
    assert (await product.post("/api/v2/public/linked-account", json={"account_id": account})).status_code == 200
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    saved = await product.put(SAVE_KEY, params={"linked_account_id": account}, json={"api_key": key})
    assert saved.status_code == 200, saved.text
    [only] = (await product.get("/v1/connections", params={"linked_account_id": account})).json()["connections"]
    assert only["status"] == "active"


async def test_application_is_changed_only_in_what_is_given(product: httpx.AsyncClient) -> None:
    path = "/v1/applications/sandbox"
    changed = (await product.put(path, json={"scopes": ["read"]})).json()
    assert (changed["client_id"], changed["has_client_secret"], changed["scopes"]) == (
        "everlink-sandbox",
        True,
        ["read"],
    )
    assert (await product.put("/v1/applications/nothing", json={})).status_code == 404
    for wrong in ({"client_id": False}, {"client_secret": 1}, {"scopes": "read"}, {"client_id": "x" * 501}, []):
        answer = await product.put(path, json=wrong)
        assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    [unchanged] = [row for row in (await product.get("/v1/applications")).json() if row["slug"] == "sandbox"]
    assert unchanged == changed


async def test_consent_is_asked_for_the_organizations_own_scopes(product: httpx.AsyncClient) -> None:
    await product.put("/v1/applications/sandbox", json={"scopes": ["read"]})
    async with httpx.AsyncClient() as browser:
        sent = await browser.get((await product.get(OAUTH_URL)).json()["auth_url"])
    assert httpx.URL(sent.headers["location"]).params["scope"] == "read"


async def test_wrong_client_secret_is_a_page_that_does_not_blame_the_customer(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await product.put("/v1/applications/sandbox", json={"client_secret": "wrong", "previous_secret_seconds": 0})
    async with everlink.customer() as ada:
        page = await ada.consent((await product.get(OAUTH_URL)).json()["auth_url"])
    assert page.status_code == 502 and "You cannot mend it" in page.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "localhost",
        "localhost.",
        "0.0.0.0",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "93.184.216.34:22",
    ],
)
async def test_endpoint_at_an_address_that_is_not_public_is_refused(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(everlink.made, "guard", TargetGuard())
    body = {"url": f"http://{host}/", "events": ["Connection Expired"]}
    answer = await product.post("/v1/webhook-endpoints", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "webhook_url_refused")
    public = await product.post("/v1/webhook-endpoints", json={**body, "url": "https://93.184.216.34/"})
    assert public.status_code == 201
