"""Tokens: to whom they are shown, how often they are refreshed, and what becomes of them at the end."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update

from providers.credential import OAuthCredential
from store.database import utc_now
from store.tables import API_KEYS
from store.vault import Kind
from tests.api.conftest import OAUTH_URL, Everlink, age, running, until_status


async def credential(everlink: Everlink, product: httpx.AsyncClient, connection: str) -> OAuthCredential:
    """What the vault holds."""
    scope = (await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None
    stored = await everlink.made.credentials.read(scope, connection)
    assert stored is not None
    opened = await everlink.made.vault.open(scope, Kind.CREDENTIAL, connection, stored.sealed)
    return OAuthCredential.model_validate_json(opened)


async def test_refresh_token_is_shown_nowhere_and_the_access_token_only_where_it_is_asked_for(
    everlink: Everlink, product: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "everlink")
    async with everlink.customer() as ada:
        page = await ada.consent((await product.get(OAUTH_URL)).json()["auth_url"])
    [only] = (await product.get("/v1/connections")).json()["connections"]
    base = f"/v1/connections/{only['id']}"
    first = await credential(everlink, product, only["id"])
    answers = [page, await product.post(f"{base}/refresh")]
    second = await credential(everlink, product, only["id"])
    assert first.refresh_token and second.refresh_token and first.refresh_token != second.refresh_token
    token = await product.get(f"{base}/token")
    assert token.json()["access_token"] == second.access_token
    answers += [await product.get(f"{base}{path}") for path in ("", "/events", "/deliveries")]
    answers += [await product.get(path) for path in ("/v1/connections", "/api/v2/public/application")]
    answers.append(await product.post(f"{base}/reconnect"))
    shown = "".join(f"{answer.text}{answer.headers}" for answer in answers) + caplog.text
    for one in (first, second):
        assert one.access_token not in shown
        assert one.refresh_token not in shown + token.text
    for answer in answers:
        assert answer.status_code == 200


async def test_crowd_at_two_api_processes_costs_one_refresh(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    second = everlink.made.settings.model_copy(update={"port": port, "public_url": f"http://127.0.0.1:{port}"})
    async with (
        running(second, everlink.sandbox, worker=False) as other,
        httpx.AsyncClient(base_url=other.url, headers=product.headers, timeout=40) as client,
    ):
        path, long = f"/v1/connections/{connection}/token", {"min_ttl": 3590}
        await age(everlink, connection, 600)
        crowd = [one.get(path, params=long) for one in (product, client) for _ in range(20)]
        answers = await asyncio.gather(*crowd)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["generation"] for answer in answers} == {2}


async def test_report_that_is_not_true_flags_nobody(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    for body in ({}, {"generation": None}, {"generation": 1}, {"generation": 9}):
        assert (await product.post(f"/v1/connections/{connection}/report", json=body)).status_code == 202
    refreshed = (await product.post(f"/v1/connections/{connection}/refresh")).json()  # behind every check
    assert (refreshed["verdict"], refreshed["status"], refreshed["health"]) == ("ok", "active", "ok")
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    assert [row["event"] for row in timeline] == ["Connection Created"]


async def test_dead_connection_is_found_by_its_reason_and_can_be_removed(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    alive, dead = await everlink.connect(product, "ada"), await everlink.connect(product, "grace")
    async with everlink.customer("grace") as grace:
        await grace.revoke()
    assert (await product.post(f"/v1/connections/{dead}/report", json={})).status_code == 202
    await until_status(product, dead, "reauth_required")
    for params, ids in (
        ({"reason": "access_revoked"}, [dead]),
        ({"status": "reauth_required", "reason": "access_revoked"}, [dead]),
        ({"status": "active", "reason": "access_revoked"}, []),
        ({"reason": "app_uninstalled"}, []),
        ({"status": "active", "limit": 200}, [alive]),
    ):
        page = (await product.get("/v1/connections", params=params)).json()
        assert ([row["id"] for row in page["connections"]], page["next_cursor"]) == (ids, None), params
    assert (await product.delete(f"/v1/connections/{dead}")).json()["status"] == "disconnected"
    await everlink.made.temporal.get_workflow_handle(f"connection/{dead}").result()
    scope = (await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None and await everlink.made.credentials.read(scope, dead) is None
    assert (await product.get(f"/v1/connections/{alive}/token")).status_code == 200


async def test_key_that_has_expired_or_names_another_environment_is_a_401(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    key = product.headers["x-api-key"]
    _, public, secret = key.split("_", 2)
    for wrong in (f"pk_{public}_{secret}", f"{key}x", key.upper(), f"tk_{public}_", f"tk_{public}"):
        assert (await product.get("/v1/connections", headers={"x-api-key": wrong})).status_code == 401, wrong
    for seconds, status in ((60, 200), (-1, 401)):
        ends = utc_now() + timedelta(seconds=seconds)
        async with everlink.made.database.writing() as writing:
            await writing.execute(update(API_KEYS).where(API_KEYS.c.id == public).values(expires_at=ends))
        assert (await product.get("/v1/connections")).status_code == status
