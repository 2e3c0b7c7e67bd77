"""Everything of one environment is taken along, and everything of it is erased; nothing else is touched."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import httpx
import pytest

from dev.config import ROOT
from dev.listener import Listener
from everlink.contract import Environment, KeyScope, RemovalKind
from store import erasing, export
from store.api_keys import ApiKeys
from store.database import Database, utc_now
from store.export import PARTS
from store.scope import Scope
from store.tables import DELIVERY_ATTEMPTS
from store.tenants import Tenants
from tests.api.conftest import OAUTH_URL, Everlink
from tests.api.removing import add_connections, rows_of, scope_of
from tests.api.test_removal_of_accounts import add_session

ERASE, EXPORT = "/v1/erase", "/v1/export"
PLANTED = "planted"
EVENTS = ["Connection Expired"]


async def until_erased(database: Database, scope: Scope, seconds: float = 90) -> None:
    async with asyncio.timeout(seconds):
        while await rows_of(database, scope):
            await asyncio.sleep(0.1)


async def furnish(everlink: Everlink, product: httpx.AsyncClient, listener: Listener) -> str:
    """Something of every kind; answers a connection that was made by consent."""
    scope = await scope_of(everlink.made, product)
    endpoint = await listener.subscribe(product, {"x-token": f"{PLANTED}-header"})
    connection = await everlink.connect(product)
    assert (await product.post(f"/v1/connections/{connection}/refresh")).status_code == 200
    await product.get(OAUTH_URL)
    await add_session(everlink, scope, "acme")
    [event] = (await product.get("/v1/events", params={"connection_id": connection})).json()["events"]
    assert (await product.post(f"/v1/webhook-endpoints/{endpoint}/replay", json={})).status_code == 202
    await add_attempt(everlink, scope, event["id"], endpoint)
    return connection


async def add_attempt(everlink: Everlink, scope: Scope, event_id: str, endpoint_id: str) -> None:
    """One more than there can be, with an answer that may hold what is secret."""
    values = {"event_id": event_id, "endpoint_id": endpoint_id, "round": 99, "attempt": 1, "at": utc_now()}
    sent = {"seconds": 0.1, "url": "https://product.example/", "method": "POST", "request_headers": {}, "note": "x"}
    async with everlink.made.database.writing() as writing:
        answer = f"{PLANTED}-answer".encode()
        await writing.execute(DELIVERY_ATTEMPTS.insert().values(**scope.columns, **values, **sent, answer=answer))


async def test_nothing_is_made_anew_while_everything_is_erased(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made, scope = everlink.made, await scope_of(everlink.made, product)
    session = await add_session(everlink, scope, "acme")
    assert await made.removals.begin(scope, RemovalKind.ORGANIZATION, scope.org_id, utc_now()) is not None
    assert await made.sessions.authenticate(session, utc_now()) is None
    for answer in (
        await product.put("/v1/applications/sandbox", json={}),
        await product.put("/v1/applications/slack", json={}),
        await product.post("/api/v2/public/linked-account", json={"account_id": "acme"}),
        await product.post("/api/v2/public/linked-account", json={"account_id": "new"}),
        await product.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:1/", "events": EVENTS}),
        await product.put("/v1/settings", json={"allowed_origins": []}),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (409, "removal_under_way")
    assert (await product.get(OAUTH_URL)).status_code == 404
    first = (await product.post(ERASE, json={"org_id": scope.org_id})).json()
    assert (await product.get(f"/v1/removals/{first['id']}")).status_code in (200, 401)
    await until_erased(made.database, scope)


async def test_who_does_not_name_the_own_organization_erases_nothing(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    other = await scope_of(everlink.made, await everlink.product("Other"))
    for body in ({"org_id": other.org_id}, {"org_id": ""}, {}, {"org_id": None}, {"org_id": ["x"]}):
        answer = await product.post(ERASE, json=body)
        assert answer.status_code == 422, answer.text
    assert (await product.get("/v1/applications/sandbox")).status_code == 200


async def test_erasing_exporting_and_removing_applications_are_the_admins(everlink: Everlink) -> None:
    product = await everlink.product()
    scope = await scope_of(everlink.made, product)
    rights = [right for right in KeyScope if right is not KeyScope.ADMIN]
    key = await ApiKeys(everlink.made.database).add(scope, "some", utc_now(), scopes=rights)
    product.headers["x-api-key"] = key
    for answer in (
        await product.get(EXPORT),
        await product.post(ERASE, json={"org_id": scope.org_id}),
        await product.delete("/v1/applications/sandbox"),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (403, "insufficient_scope")


async def exported(product: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await product.get(EXPORT)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_export_has_a_record_of_everything_and_no_secret(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made, scope = everlink.made, await scope_of(everlink.made, product)
    await product.put("/v1/applications/sandbox", json={"client_secret": f"{PLANTED}-client-secret"})
    await product.put("/v1/applications/sandbox", json={"client_secret": "sandbox-secret"})
    await product.post("/api/v2/public/linked-account", json={"account_id": "acme", "name": "Acme", "udf": {"a": [1]}})
    async with Listener() as listener:
        connection = await furnish(everlink, product, listener)
    await add_connections(made, scope, 3)
    token = (await product.get(f"/v1/connections/{connection}/token")).json()["access_token"]
    lines = await exported(product)
    kinds = {line["record"] for line in lines}
    assert {"organization", "api_key", "application", "webhook_endpoint", "linked_account", "connection"} <= kinds
    assert {"transition", "event", "event_counter", "delivery", "delivery_attempt", "replay"} <= kinds
    assert lines[-1] == {"record": "end", "records": len(lines) - 1}
    [account] = [line for line in lines if line["record"] == "linked_account"]
    assert (account["id"], account["name"], account["udf"]) == ("acme", "Acme", {"a": [1]})
    assert len([line for line in lines if line["record"] == "connection"]) == 4
    text = json.dumps(lines)
    assert PLANTED not in text and "sandbox-secret" not in text
    assert token not in text and product.headers["x-api-key"].split("_", 2)[2] not in text


async def test_export_of_one_environment_has_nothing_of_another(everlink: Everlink, product: httpx.AsyncClient) -> None:
    scope = await scope_of(everlink.made, product)
    stranger = await everlink.product("Other")
    production = await everlink.client(Scope(scope.org_id, Environment.PRODUCTION))
    theirs = [await everlink.connect(one) for one in (stranger, production)]
    text = json.dumps(await exported(product))
    assert scope.org_id in text and not any(connection in text for connection in theirs)
    assert stranger.headers["x-api-key"].split("_")[1] not in text


async def test_export_reads_each_row_once_over_many_pages(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 7)
    scope = await scope_of(everlink.made, product)
    ids = await add_connections(everlink.made, scope, 21)
    lines = await exported(product)
    assert sorted(line["id"] for line in lines if line["record"] == "connection") == sorted(ids)
    assert lines[-1]["records"] == len(lines) - 1


def test_what_is_exported_is_named_and_none_of_it_is_sealed_or_hashed() -> None:
    for part in PARTS:
        for name in part.columns:
            assert str(part.table.c[name].type) != "BLOB"
            assert not any(word in name for word in ("secret", "sealed", "sha256", "wrapped", "headers", "browser"))


async def test_rows_are_forgotten_in_small_steps(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 3)
    made, scope = everlink.made, await scope_of(everlink.made, product)
    await add_connections(made, scope, 10)
    assert (await product.post(ERASE, json={"org_id": scope.org_id})).status_code == 202
    await until_erased(made.database, scope)


async def manage(everlink: Everlink, *arguments: str) -> tuple[int, str, str]:
    """An operator's command, beside the API and the worker that run."""
    settings = everlink.made.settings
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        *arguments,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "EVERLINK_DATABASE_URL": settings.database_url.get_secret_value(),
            "EVERLINK_TEMPORAL_ADDRESS": settings.temporal_address,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, out.decode(), err.decode()


async def test_operator_takes_an_organization_along_and_erases_it_whole(everlink: Everlink) -> None:
    test = await everlink.product()
    scope = await scope_of(everlink.made, test)
    production = await everlink.client(Scope(scope.org_id, Environment.PRODUCTION))
    stranger = await everlink.product("Other")
    theirs = await everlink.connect(stranger)
    connections = [await everlink.connect(one) for one in (test, production)]

    code, out, err = await manage(everlink, "export-organization", scope.org_id)
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["environment"] for line in lines if line["record"] == "organization"] == ["test", "production"]
    assert [line["id"] for line in lines if line["record"] == "connection"] == connections

    code, out, err = await manage(everlink, "erase-organization", scope.org_id)
    assert (code, err) == (0, "") and out.endswith("production: nothing is left\nerased\n")
    for environment in Environment:
        assert await rows_of(everlink.made.database, Scope(scope.org_id, environment)) == {}
    assert not await Tenants(everlink.made.database).has_organization(scope.org_id)
    assert (await stranger.get(f"/v1/connections/{theirs}/token")).status_code == 200
    for command in ("erase-organization", "export-organization"):
        code, out, err = await manage(everlink, command, scope.org_id)
        assert (code, out, err.strip()) == (1, "", "there is no such organization")
