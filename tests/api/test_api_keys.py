"""API keys: made, rotated and revoked over the API, none of them stronger than the one that made it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest

from everlink.contract import Environment, KeyScope
from store.api_keys import ApiKeys
from store.database import Database, utc_now
from store.scope import Scope
from store.tenants import Tenants
from tests.api.conftest import Everlink

KEYS = "/v1/api-keys"
ALL = [str(one) for one in KeyScope]


async def with_key(everlink: Everlink, key: str, method: str = "GET", path: str = KEYS) -> httpx.Response:
    async with httpx.AsyncClient(base_url=everlink.url, headers={"x-api-key": key}) as client:
        return await client.request(method, path)


async def test_key_is_shown_once_and_opens_what_it_may(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made = await product.post(KEYS, json={"name": "reader", "scopes": ["read"]})
    assert made.status_code == 201 and made.headers["cache-control"] == "no-store"
    key = made.json().pop("key")
    assert key.startswith("tk_") and key.split("_")[1] == made.json()["id"]
    listed = await product.get(KEYS)
    assert key.split("_", 2)[2] not in listed.text and "secret" not in listed.text
    newest = listed.json()[0]
    assert {**newest, "key": key} == made.json()
    assert (newest["name"], newest["scopes"], newest["revoked_at"]) == ("reader", ["read"], None)
    assert (await with_key(everlink, key)).status_code == 200
    refused = await with_key(everlink, key, "POST", "/v1/connections/con_0/refresh")
    assert (refused.status_code, refused.json()["required_scopes"]) == (403, ["connect"])


async def test_key_gives_no_more_than_it_has(everlink: Everlink, product: httpx.AsyncClient) -> None:
    strong = (await product.get(KEYS)).json()[0]["id"]
    given = await product.post(KEYS, json={"name": "operator", "scopes": ["admin", "read"]})
    weak = {"x-api-key": given.json()["key"]}
    for path, body in (
        (KEYS, {"name": "more", "scopes": ["read", "tokens"]}),
        (f"{KEYS}/{strong}/rotate", {}),
    ):
        refused = await product.post(path, json=body, headers=weak)
        assert (refused.status_code, refused.json()["error_code"]) == (403, "insufficient_scope")
        assert "tokens" in refused.json()["required_scopes"]
    assert len((await product.get(KEYS)).json()) == 2
    assert (await product.post(KEYS, json={"name": "x", "scopes": ["read"]}, headers=weak)).status_code == 201


async def test_rotation_leaves_two_live_keys_for_a_while(everlink: Everlink, product: httpx.AsyncClient) -> None:
    old = (await product.post(KEYS, json={"name": "backend", "scopes": ["read", "connect"]})).json()
    rotated = await product.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 3600})
    new = rotated.json()
    assert rotated.status_code == 201 and new["id"] != old["id"] and rotated.headers["cache-control"] == "no-store"
    assert (new["name"], new["scopes"], new["expires_at"]) == ("backend", old["scopes"], None)
    for key in (old["key"], new["key"]):
        assert (await with_key(everlink, key)).status_code == 200
    row = next(one for one in (await product.get(KEYS)).json() if one["id"] == old["id"])
    keys = everlink.made.api_keys
    ends = utc_now() + timedelta(seconds=3601)
    assert row["expires_at"] is not None
    assert await keys.authenticate(old["key"], ends) is None and await keys.authenticate(new["key"], ends)


async def test_rotation_without_overlap_ends_the_old_key_at_once(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    ends = (utc_now() + timedelta(days=10)).isoformat()
    old = (await product.post(KEYS, json={"name": "b", "scopes": ["read"], "expires_at": ends})).json()
    new = (await product.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 0})).json()
    assert (await with_key(everlink, old["key"])).status_code == 401
    assert (await with_key(everlink, new["key"])).status_code == 200
    assert new["expires_at"] > old["expires_at"]  # lives as long as the old one was made to live
    again = await product.post(f"{KEYS}/{old['id']}/rotate", json={})
    assert (again.status_code, again.json()["error_code"]) == (409, "api_key_ended")


async def test_rotation_that_is_done_again_shortens_no_life(product: httpx.AsyncClient) -> None:
    """As by an operator who lost the answer to the first one."""
    old = (await product.post(KEYS, json={"name": "backend", "scopes": ["read"]})).json()
    for _ in range(2):
        new = (await product.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 3600})).json()
        assert new["expires_at"] is None
    listed = {row["id"]: row for row in (await product.get(KEYS)).json()}
    assert listed[old["id"]]["expires_at"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {"overlap_seconds": -1},
        {"overlap_seconds": 30 * 24 * 3600 + 1},
        {"overlap_seconds": False},
        {"overlap_seconds": "60"},
    ],
    ids=str,
)
async def test_overlap_is_bounded(product: httpx.AsyncClient, body: dict[str, object]) -> None:
    mine = (await product.get(KEYS)).json()[0]["id"]
    assert (await product.post(f"{KEYS}/{mine}/rotate", json=body)).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["read"], "expires_at": "2101-01-01T00:00:00"},
        {"name": "x", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59Z"},
    ],
    ids=str,
)
async def test_key_that_makes_no_sense_is_a_422(product: httpx.AsyncClient, body: dict[str, object]) -> None:
    assert (await product.post(KEYS, json=body)).status_code == 422
    assert len((await product.get(KEYS)).json()) == 1


async def test_revoked_key_is_dead_at_once(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made = (await product.post(KEYS, json={"name": "x", "scopes": ["read"]})).json()
    assert (await product.delete(f"{KEYS}/{made['id']}")).status_code == 204
    assert (await with_key(everlink, made["key"])).status_code == 401
    assert (await product.delete(f"{KEYS}/{made['id']}")).status_code == 204
    stranger = await everlink.product("Other")
    mine = (await product.get(KEYS)).json()[-1]["id"]
    for path in (f"{KEYS}/{mine}", f"{KEYS}/000000000000"):
        answer = await stranger.delete(path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "api_key_not_found")
    assert (await product.get(KEYS)).status_code == 200


async def test_last_admin_key_stays(product: httpx.AsyncClient) -> None:
    mine = (await product.get(KEYS)).json()[0]["id"]
    await product.post(KEYS, json={"name": "reader", "scopes": ["read"]})
    refused = await product.delete(f"{KEYS}/{mine}")
    assert (refused.status_code, refused.json()["error_code"]) == (409, "last_admin_key")
    other = (await product.post(KEYS, json={"name": "second", "scopes": ALL})).json()
    assert (await product.delete(f"{KEYS}/{mine}")).status_code == 204
    product.headers["x-api-key"] = other["key"]
    assert (await product.delete(f"{KEYS}/{other['id']}")).status_code == 409


async def test_key_that_is_on_its_way_out_is_no_admin_to_rely_on(product: httpx.AsyncClient) -> None:
    old = (await product.get(KEYS)).json()[0]["id"]
    new = (await product.post(f"{KEYS}/{old}/rotate", json={})).json()
    refused = await product.delete(f"{KEYS}/{new['id']}")
    assert (refused.status_code, refused.json()["error_code"]) == (409, "last_admin_key")
    assert (await product.delete(f"{KEYS}/{old}")).status_code == 204


async def test_two_last_keys_that_revoke_each_other_leave_one(database: Database) -> None:
    keys = ApiKeys(database)
    for _ in range(5):
        scope = Scope(await Tenants(database).add_organization("Acme", utc_now()), Environment.TEST)
        ids = [(await keys.add(scope, "k", utc_now())).split("_")[1] for _ in range(2)]
        outcomes = await asyncio.gather(*(keys.revoke_unless_last(scope, one, utc_now()) for one in ids))
        assert sorted(outcomes) == [False, True]
