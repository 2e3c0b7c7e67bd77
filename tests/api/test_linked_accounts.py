"""Linked accounts: the seed's routes and `/v1`, by key and by session token."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import update
from temporalio.service import RPCError

from everlink.contract import TASK_QUEUE, Environment, Workflow, delivery_attributes, is_searchable
from store.database import utc_now
from store.hashing import sha256
from store.scope import Scope
from store.tables import LINKED_ACCOUNTS, SESSION_TOKENS
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink, until_status

SEED = "/api/v2/public/linked-account"
V1 = "/v1/linked-accounts"
LONGEST = "😀" * 170  # in JSON as Temporal counts it


async def scope_of(everlink: Everlink, product: httpx.AsyncClient) -> Scope:
    key = await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert key is not None
    return key.scope


async def browser_of(everlink: Everlink, product: httpx.AsyncClient, account_id: str = "acme") -> httpx.AsyncClient:
    """A client with a session token of this account in place of a key."""
    token = secrets.token_urlsafe(24)
    values = {
        "id": uuid4().hex,
        **(await scope_of(everlink, product)).columns,
        "linked_account_id": account_id,
        "token_sha256": sha256(token),
        "refresh_sha256": uuid4().hex,
        "sealed": b"",
        "created_at": utc_now(),
        "expires_at": utc_now() + timedelta(hours=1),
        "refresh_expires_at": utc_now() + timedelta(hours=1),
    }
    async with everlink.made.database.writing() as writing:
        await writing.execute(SESSION_TOKENS.insert().values(values))
    client = httpx.AsyncClient(base_url=everlink.url, headers={"authorization": f"Bearer {token}"}, timeout=40)
    everlink.clients.append(client)
    return client


async def begin_removal(everlink: Everlink, product: httpx.AsyncClient, account_id: str) -> None:
    scope = await scope_of(everlink, product)
    mine = (LINKED_ACCOUNTS.c.id == account_id) & scope.owns(LINKED_ACCOUNTS)
    async with everlink.made.database.writing() as writing:
        await writing.execute(update(LINKED_ACCOUNTS).where(mine).values(removed_at=utc_now()))


async def test_account_has_every_field_of_the_seed_through_a_life(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    body = {"linked_account_id": "globex", "name": "Globex", "udf": {"plan": "pro", "seats": 3}}
    made = (await product.post(SEED, json=body)).json()
    assert made == {
        "_id": "globex",
        "associated_org": (await scope_of(everlink, product)).org_id,
        "account_id": "globex",
        "name": "Globex",
        "environment": "test",
        "udf": [{"key": "plan", "value": "pro"}, {"key": "seats", "value": 3}],
        "integrations": [],
    }
    assert (await product.get(f"{SEED}/globex")).json() == made

    await everlink.connect(product, "grace")
    ada = await everlink.connect(product, "ada")
    [one] = (await product.get(f"{SEED}/acme")).json()["integrations"]
    application = (await product.get("/api/v2/public/application/sandbox")).json()
    assert one["type"] == "sandbox"
    for name in ("name", "icon", "app_id", "auth_type", "connected_accounts", "reauth_required"):
        assert one[name] == application[name]
    assert one["reauth_required"] is False and len(one["connected_accounts"]) == 2
    async with everlink.customer("ada") as customer:
        await customer.revoke()
    assert (await product.post(f"/v1/connections/{ada}/report", json={})).status_code == 202
    await until_status(product, ada, "reauth_required")
    [one] = (await product.get(f"{SEED}/acme")).json()["integrations"]
    assert one["reauth_required"] is True
    assert {row["identifier"]: row["status"] for row in one["connected_accounts"]} == {
        "ada@acme.example": "expired",
        "grace@globex.example": "active",
    }


async def test_put_says_whether_the_account_is_new(product: httpx.AsyncClient) -> None:
    created = (await product.put(SEED, json={"account_id": "globex", "name": "Globex", "udf": {"a": 1}})).json()
    assert (created["new_account"], created["name"]) == (True, "Globex")
    wrapped = (await product.put(SEED, json={"payload": {"linked_account_id": "globex", "udf": {"b": 2}}})).json()
    assert (wrapped["new_account"], wrapped["name"], wrapped["udf"]) == (False, "Globex", [{"key": "b", "value": 2}])
    assert (await product.put(SEED, json={"account_id": "globex", "name": None})).json()["name"] is None


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "account_id_missing"),
        ({"name": "Globex"}, 400, "account_id_missing"),
        ({"account_id": ""}, 422, "invalid_request"),
        ({"account_id": "a" * 256}, 422, "invalid_request"),
        ({"account_id": LONGEST + "😀"}, 422, "invalid_request"),
        ({"linked_account_id": LONGEST + "😀"}, 422, "invalid_request"),
        ({"account_id": 1}, 422, "invalid_request"),
        ({"account_id": "a", "udf": None}, 422, "invalid_request"),
        ({"account_id": "a", "udf": [1]}, 422, "invalid_request"),
        ({"account_id": "a", "udf": {"a": "x" * 70_000}}, 422, "invalid_request"),
        ({"account_id": "a", "name": False}, 422, "invalid_request"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_account_that_cannot_be_kept_is_told(
    product: httpx.AsyncClient, method: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await product.request(method, SEED, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    if "account_id" in body and status == 422:
        as_v1 = {"id" if name == "account_id" else name: value for name, value in body.items()}
        assert (await product.post(V1, json=as_v1)).status_code == 422
    assert [row["id"] for row in (await product.get(V1)).json()["linked_accounts"]] == ["acme"]


async def test_longest_id_that_temporal_lists_connects(everlink: Everlink, product: httpx.AsyncClient) -> None:
    assert is_searchable(LONGEST) and not is_searchable(LONGEST + "😀")
    attributes = delivery_attributes("org", Environment.TEST, "x", LONGEST + "😀")
    with pytest.raises(RPCError, match="exceeds size limit"):
        await everlink.made.temporal.start_workflow(
            Workflow.CONNECTION, id=uuid4().hex, task_queue=f"not-{TASK_QUEUE}", search_attributes=attributes
        )
    assert (await product.post(V1, json={"id": LONGEST})).status_code == 201
    del product.headers["linked_account_id"]
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    saved = await product.put(SAVE_KEY, params={"linked_account_id": LONGEST}, json={"api_key": key})
    assert saved.json() == {"success": True}


async def test_pages_of_the_seed_are_numbered_and_capped(product: httpx.AsyncClient) -> None:
    for number in range(4):
        await product.post(SEED, json={"account_id": f"customer-{number}"})
    seen = []
    for page in (1, 2, 3):
        answer = (await product.get(SEED, params={"page": page, "limit": 2})).json()
        assert {**answer, "docs": None} == {"docs": None, "totalDocs": 5, "limit": 2, "totalPages": 3, "page": page}
        seen += [row["account_id"] for row in answer["docs"]]
    assert seen == ["acme", *(f"customer-{number}" for number in range(4))]
    assert (await product.get(SEED, params={"page": 4, "limit": 2})).json()["docs"] == []
    assert (await product.get(SEED, params={"limit": 100_000})).json()["limit"] == 200
    for params in ({"page": 0}, {"limit": 0}, {"page": -1}, {"page": "x"}, {"page": 10**30}):
        assert (await product.get(SEED, params=params)).status_code == 422


async def test_pages_of_v1_have_cursors(product: httpx.AsyncClient) -> None:
    ids = ["acme", "b/c", "d ü", "e", "{}"]
    for account_id in ids[1:]:
        assert (await product.post(V1, json={"id": account_id})).status_code == 201
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await product.get(V1, params=params)).json()
        seen += [row["id"] for row in page["linked_accounts"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == sorted(ids)
    for forged in ("zzz", "con_' OR 1=1", "{"):
        assert (await product.get(V1, params={"cursor": forged})).status_code == 200
    for wrong in ({"limit": 0}, {"limit": 201}, {"cursor": "a" * 256}):
        assert (await product.get(V1, params=wrong)).status_code == 422


async def test_v1_makes_reads_and_changes_without_quirks(product: httpx.AsyncClient) -> None:
    made = await product.post(V1, json={"id": "b/c", "name": "B", "udf": {"a": 1}, "created_at": "2000-01-01"})
    assert (
        made.status_code == 201 and made.json()["udf"] == {"a": 1} and not made.json()["created_at"].startswith("2000")
    )
    again = await product.post(V1, json={"id": "b/c", "name": "another"})
    assert (again.status_code, again.json()["error_code"]) == (409, "linked_account_exists")
    for address in (f"{V1}/b/c", f"{V1}/b%2Fc"):
        assert (await product.get(address)).json() == made.json()
    assert (await product.get(f"{SEED}/b%2Fc")).json()["account_id"] == "b/c"
    changed = (await product.patch(f"{V1}/b%2Fc", json={"udf": {"b": 2}})).json()
    assert (changed["name"], changed["udf"]) == ("B", {"b": 2})
    assert (await product.patch(f"{V1}/b%2Fc", json={"name": None})).json()["name"] is None
    assert (await product.patch(f"{V1}/b%2Fc", json={})).json()["udf"] == {"b": 2}
    for method in ("GET", "PATCH"):
        answer = await product.request(method, f"{V1}/nobody", json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "linked_account_not_found")


@pytest.mark.parametrize(("path", "status"), [(V1, 202), (SEED, 200)])
@pytest.mark.parametrize("account_id", ["b/c", "Müller & Söhne 🔒/1", "a?b#c", "%2F", "b/"])
async def test_account_of_any_name_is_addressed_by_it(
    product: httpx.AsyncClient, path: str, status: int, account_id: str
) -> None:
    assert (await product.post(V1, json={"id": account_id})).status_code == 201
    address = f"{path}/{quote(account_id, safe='')}"
    assert (await product.get(address)).status_code == 200
    assert (await product.delete(address)).status_code == status
    assert (await product.get(address)).status_code == 404
    assert [row["id"] for row in (await product.get(V1)).json()["linked_accounts"]] == ["acme"]


async def test_session_sees_and_changes_its_own_account_alone(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await product.post(V1, json={"id": "other", "name": "Other"})
    browser = await browser_of(everlink, product)
    assert (await browser.get(f"{SEED}/acme")).json()["account_id"] == "acme"
    for body in ({"name": "A"}, {"account_id": "acme", "name": "A"}, {"payload": {"name": "A"}}):
        changed = (await browser.put(SEED, json=body)).json()
        assert (changed["account_id"], changed["name"], changed["new_account"]) == ("acme", "A", False)
    answers = []
    for target in ("other", "nobody"):
        for answer in (
            await browser.get(f"{SEED}/{target}"),
            await browser.put(SEED, json={"account_id": target, "name": "taken"}),
            await browser.put(SEED, json={"payload": {"linked_account_id": target, "name": "taken"}}),
        ):
            answers.append((answer.status_code, {**answer.json(), "request_id": ""}))
    assert all(answer == answers[0] for answer in answers) and answers[0][0] == 404
    assert (await product.get(f"{V1}/other")).json()["name"] == "Other"
    for method, path in (("POST", SEED), ("GET", SEED), ("GET", V1), ("POST", V1), ("GET", f"{V1}/acme")):
        assert (await browser.request(method, path, json={"account_id": "acme", "id": "x"})).status_code == 401, path


async def test_account_that_is_being_removed_is_not_there_any_more(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await product.post(V1, json={"id": "leaving", "name": "before"})
    browser = await browser_of(everlink, product, "leaving")
    await begin_removal(everlink, product, "leaving")
    assert [row["id"] for row in (await product.get(V1)).json()["linked_accounts"]] == ["acme"]
    assert (await product.get(SEED)).json()["totalDocs"] == 1
    as_leaving = {"linked_account_id": "leaving"}
    for answer in (
        await product.get(f"{V1}/leaving"),
        await product.patch(f"{V1}/leaving", json={"name": "x"}),
        await product.get(f"{SEED}/leaving"),
        await product.get("/api/v2/public/application", headers=as_leaving),
        await product.get(OAUTH_URL, headers=as_leaving),
        await product.put(SAVE_KEY, headers=as_leaving, json={"api_key": "planted"}),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (404, "linked_account_not_found")
    for answer in (
        await product.post(SEED, json={"account_id": "leaving", "name": "x"}),
        await product.put(SEED, json={"account_id": "leaving", "name": "x"}),
        await product.post(V1, json={"id": "leaving"}),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (409, "removal_under_way")
    for answer in (await browser.get(f"{SEED}/leaving"), await browser.put(SEED, json={"name": "x"})):
        assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_session_token")


async def test_removing_an_integration_ends_what_was_connected_that_way_alone(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    path = f"{SEED}/integration/sandbox"
    del product.headers["linked_account_id"]
    kept = await product.delete(path, params={"linked_account_id": "acme", "auth_type": "keybased"})
    assert kept.status_code == 200 and len(kept.json()["integrations"]) == 1
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"
    gone = await product.delete(path, params={"linked_account_id": "acme", "auth_type": "oauth2"})
    assert gone.status_code == 200 and gone.json()["integrations"] == []
    await until_status(product, connection, "disconnected")
    assert (
        await product.delete(f"{SEED}/integration/nothing", params={"linked_account_id": "acme"})
    ).status_code == 200
