"""A connection that never finished, and is not wanted any more: nothing of it comes back, nothing of it is left."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api import temporal
from store.scope import Scope
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink, running, settings_for
from tests.servers import start_dev_server

CLOSED = "127.0.0.1:9"


async def unfinished(everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> str:
    """Grace consented while Temporal was away: the grant is in the vault, and nobody watches it."""
    nobody = await Client.connect(CLOSED, data_converter=pydantic_data_converter, lazy=True)
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    with monkeypatch.context() as away:
        away.setattr(everlink.made, "temporal", nobody)
        async with everlink.customer("grace") as grace:
            assert (await grace.consent(link)).status_code == 503
    [only] = (await product.get("/v1/connections")).json()["connections"]
    assert only["status"] == "pending"
    return str(only["id"])


@pytest.mark.parametrize("path", ["/v1/connections/{}", "/api/v2/public/linked-account/integration/sandbox"])
async def test_grant_of_a_connection_that_never_finished_is_revoked_when_it_is_removed(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async with everlink.customer("grace") as grace:
        await grace.revoke()
        connection = await unfinished(everlink, product, monkeypatch)
        assert (await grace.live_tokens())["refresh"] == 1
        assert (await product.delete(path.format(connection))).status_code == 200
        async with asyncio.timeout(10):
            while (await grace.live_tokens())["refresh"]:
                await asyncio.sleep(0.05)
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "disconnected"
    assert (await product.delete(f"/v1/connections/{connection}")).status_code == 200
    assert await everlink.connect(product, "grace") != connection  # the id never lives again


async def test_grant_that_loses_the_race_against_a_disconnect_is_kept_by_nobody(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    assert (await product.put(SAVE_KEY, json={"api_key": key})).status_code == 200
    [only] = (await product.get("/v1/connections")).json()["connections"]
    path, credentials = f"/v1/connections/{only['id']}", everlink.made.credentials
    grant = credentials.grant

    async def late(scope: Scope, *given: Any, **values: Any) -> int:
        """Between the look at the connection and the write of its credential, it ends and is purged."""
        assert (await product.delete(path)).status_code == 200
        await everlink.made.temporal.get_workflow_handle(f"connection/{only['id']}").result()
        try:
            return await grant(scope, *given, **values)
        finally:
            assert await credentials.read(scope, only["id"]) is None

    monkeypatch.setattr(credentials, "grant", late)
    refused = await product.put(SAVE_KEY, json={"api_key": key})
    assert (refused.status_code, refused.json()["error_code"]) == (409, "connection_disconnected")
    assert (await product.get(path)).json()["status"] == "disconnected"


async def test_grant_that_the_worker_hears_of_late_revives_no_removed_connection(
    sqlite_url: str, tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await start_dev_server() as server:
        address = server.client.service_client.config.target_host
        settings = settings_for(sqlite_url, tmp_path, sandbox, address)
        async with running(settings, sandbox, worker=False) as everlink:
            monkeypatch.setattr(temporal, "TIMEOUT", timedelta(seconds=0.5))
            product = await everlink.product()
            async with everlink.customer() as ada:
                _, key = await ada.create_key()
            saved = await product.put(SAVE_KEY, json={"api_key": key})
            assert (saved.status_code, saved.json()["error_code"]) == (503, "still_working")
            [pending] = (await product.get("/v1/connections")).json()["connections"]
            path, headers = f"/v1/connections/{pending['id']}", dict(product.headers)
            removed = await product.delete(path)
        monkeypatch.undo()
        async with (
            running(settings, sandbox) as everlink,
            httpx.AsyncClient(base_url=everlink.url, headers=headers, timeout=40) as client,
        ):
            if removed.status_code != 200:  # it could not be done then, so the product tries again
                assert (removed.status_code, removed.json()["error_code"]) == (503, "still_working")
                assert (await client.delete(path)).json()["status"] == "disconnected"
            workflow = everlink.made.temporal.get_workflow_handle(f"connection/{pending['id']}")
            async with asyncio.timeout(20):
                await workflow.result()
            assert (await client.get(path)).json()["status"] == "disconnected"
            token = await client.get(f"{path}/token")
            assert (token.status_code, token.json()["error_code"]) == (409, "connection_disconnected")
