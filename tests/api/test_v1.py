"""`/v1`: what the seed's API lacks."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from everlink.contract import Environment, connection_workflow_id
from store.api_keys import ApiKeys
from store.database import utc_now
from store.scope import Scope
from tests.api.conftest import Everlink, age, until_status

RANDOM = "con_" + "0" * 32


async def test_token_is_read_from_the_store_and_never_cached_by_others(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    answer = await product.get(f"/v1/connections/{connection}/token")
    assert answer.headers["cache-control"] == "no-store" and answer.json()["generation"] == 1
    async with httpx.AsyncClient() as provider:
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await provider.get(f"{everlink.sandbox}/api/me", headers=headers)).status_code == 200


async def test_crowd_that_needs_a_fresh_token_costs_one_refresh(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    path = f"/v1/connections/{connection}/token"
    await age(everlink, connection, 5)
    answers = await asyncio.gather(*(product.get(path) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["generation"] for answer in answers} == {2}
    assert len({answer.json()["access_token"] for answer in answers}) == 1


async def test_dead_connection_gives_the_reason_in_place_of_a_token(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    async with everlink.customer() as ada:
        await ada.revoke()
    refreshed = await product.post(f"/v1/connections/{connection}/refresh")
    assert refreshed.json()["verdict"] == "dead" and refreshed.json()["status"] == "reauth_required"
    for answer in (
        await product.get(f"/v1/connections/{connection}/token"),
        await product.post(f"/v1/connections/{connection}/report", json={}),
    ):
        assert answer.status_code == 409
        assert (answer.json()["error_code"], answer.json()["reason"]) == ("reauth_required", "access_revoked")
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()
    assert [(row["sequence"], row["event"], row["reason"]) for row in timeline["transitions"]] == [
        (1, "Connection Created", None),
        (2, "Connection Expired", "access_revoked"),
    ]


async def test_report_about_an_older_credential_changes_nothing(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["generation"] == 2
    assert (await product.post(f"/v1/connections/{connection}/report", json={"generation": 1})).status_code == 202
    refreshed = (await product.post(f"/v1/connections/{connection}/refresh")).json()
    assert (refreshed["generation"], refreshed["status"]) == (3, "active")  # no check came in between


async def test_disconnect_revokes_purges_and_is_final(everlink: Everlink, product: httpx.AsyncClient) -> None:
    async with everlink.customer("grace") as grace:
        before = (await grace.live_tokens())["refresh"]
        connection = await everlink.connect(product, "grace")
        for _ in range(2):
            assert (await product.delete(f"/v1/connections/{connection}")).json()["status"] == "disconnected"
        async with asyncio.timeout(10):
            while (await grace.live_tokens())["refresh"] > before:
                await asyncio.sleep(0.05)
            while await everlink.made.credentials.read(await _scope(everlink, product), connection):
                await asyncio.sleep(0.05)
    for method, path in (("GET", "token"), ("POST", "refresh"), ("POST", "reconnect"), ("POST", "report")):
        body = {} if path == "report" else None
        answer = await product.request(method, f"/v1/connections/{connection}/{path}", json=body)
        assert (answer.status_code, answer.json()["error_code"]) == (409, "connection_disconnected"), path
    assert await everlink.connect(product, "grace") != connection


async def test_list_is_filtered_and_paged(everlink: Everlink, product: httpx.AsyncClient) -> None:
    ids = {await everlink.connect(product, name) for name in ("ada", "grace")}
    seen, cursor = [], None
    while True:
        params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = (await product.get("/v1/connections", params=params)).json()
        seen += [item["id"] for item in page["connections"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(ids)
    for params, count in (
        ({"status": "reauth_required"}, 0),
        ({"status": "active", "application": "sandbox"}, 2),
        ({"linked_account_id": "another"}, 0),
        ({"application": "sandbox-key"}, 0),
    ):
        assert len((await product.get("/v1/connections", params=params)).json()["connections"]) == count


@pytest.mark.parametrize("params", [{"cursor": "x" * 201}, {"limit": 0}, {"limit": 201}, {"status": "odd"}])
async def test_forged_query_is_a_422(product: httpx.AsyncClient, params: dict[str, str]) -> None:
    answer = await product.get("/v1/connections", params=params)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")


async def test_id_of_another_tenant_looks_like_any_that_does_not_exist(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    scope = await _scope(everlink, product)
    production = await everlink.client(Scope(scope.org_id, Environment.PRODUCTION))
    stranger = await everlink.product("Other")
    described = (await product.get("/openapi.json")).json()["paths"]
    routes = [
        (method.upper(), path) for path, methods in described.items() if "{connection_id}" in path for method in methods
    ]
    assert len(routes) >= 7
    for method, path in routes:
        for client in (production, stranger):
            answers = []
            for target in (connection, RANDOM):
                body = {} if path.endswith("report") else None
                answer = await client.request(method, path.replace("{connection_id}", target), json=body)
                answers.append((answer.status_code, {**answer.json(), "request_id": ""}))
            assert answers[0] == answers[1] and answers[0][0] == 404, (method, path)
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"


async def _scope(everlink: Everlink, product: httpx.AsyncClient) -> Scope:
    scope = (await ApiKeys(everlink.made.database).authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None
    return scope


async def test_workflow_that_an_operator_terminated_lives_again_from_the_store(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    handle = everlink.made.temporal.get_workflow_handle(connection_workflow_id(connection))
    await product.post(f"/v1/connections/{connection}/refresh")
    await handle.terminate()
    await age(everlink, connection, 5)
    fresh = await product.get(f"/v1/connections/{connection}/token")
    assert (fresh.status_code, fresh.json()["generation"]) == (200, 3)
    await handle.terminate()
    async with everlink.customer() as ada:
        await ada.revoke()
    assert (await product.post(f"/v1/connections/{connection}/report", json={})).status_code == 202
    expired = await until_status(product, connection, "reauth_required")
    assert expired["sequence"] == 2  # the numbers go on
    await handle.terminate()
    assert await everlink.connect(product) == connection
    await handle.terminate()
    assert (await product.delete(f"/v1/connections/{connection}")).json()["status"] == "disconnected"
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    assert [row["event"] for row in timeline[:4]] == [
        "Connection Created",
        "Connection Expired",
        "Connection Reauthenticated",
        "Connection Deleted",
    ]
