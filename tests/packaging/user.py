"""A user's code, with every public name: it is checked by type checkers in their strict modes, and not run."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

import httpx
from temporalio import activity, workflow
from temporalio.client import Client as Temporal
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

import everlink
from everlink import (
    Client,
    Credential,
    EverlinkError,
    EverlinkPlugin,
    NotFound,
    ReauthRequired,
    Unavailable,
    Wait,
    credential,
    http,
    waiting,
)
from everlink.contract import ConnectionStatus, ReauthReason
from everlink.models import Connection, Refreshed, Token
from everlink.testing import FakeConnection, FakeEverlink, Report


@activity.defn
async def sync(connection_id: str) -> int:
    async with credential(connection_id) as given:
        assert_type(given, Credential)
        assert_type(given.access_token, str | None)
        assert_type(given.headers, dict[str, str])
        await given.rejected()
    assert_type(http(connection_id), httpx.AsyncClient)
    async with everlink.http(connection_id, base_url="https://slack.example") as provider:
        assert_type(provider, httpx.AsyncClient)
        return (await provider.get("/items")).status_code


@workflow.defn
class Sync:
    @workflow.run
    async def run(self, connection_id: str) -> int:
        with waiting(Wait.at_most(timedelta(days=2))):
            found = await workflow.execute_activity(sync, connection_id, start_to_close_timeout=timedelta(minutes=1))
        assert_type(found, int)
        return found


async def work(temporal: Temporal) -> None:
    plugin = EverlinkPlugin(
        "https://everlink.example", "tk_key", nexus_endpoint="everlink", wait=Wait.NEVER, poll=timedelta(seconds=30)
    )
    Replayer(workflows=[Sync], plugins=[plugin])
    async with Worker(temporal, task_queue="sync", workflows=[Sync], activities=[sync], plugins=[plugin]):
        pass


async def ask(connection_id: str) -> str | None:
    async with Client("https://everlink.example", "tk_key") as client:
        assert_type(client, Client)
        try:
            assert_type(await client.connections.get(connection_id), Connection)
            assert_type(await client.connections.token(connection_id), Token)
            assert_type(await client.connections.refresh(connection_id), Refreshed)
            async for connection in client.connections.all(status=ConnectionStatus.REAUTH_REQUIRED):
                assert_type(connection.reason, ReauthReason | None)
        except ReauthRequired as dead:
            assert_type(dead.connection_id, str | None)
            return dead.reconnect_url
        except (NotFound, Unavailable) as error:
            assert_type(error.error_code, str)
        except EverlinkError as error:
            assert_type(error.status, int | None)
    return None


async def test_sync(environment: WorkflowEnvironment) -> None:
    fake = FakeEverlink()
    connection = fake.connection("slack", linked_account_id="acme")
    assert_type(connection, FakeConnection)
    assert_type(fake.client, Client)
    plugin = fake.plugin(wait=Wait.FOREVER)
    assert_type(plugin, EverlinkPlugin)
    connection.revoke(ReauthReason.APP_UNINSTALLED, noticed=False)
    async with Worker(environment.client, task_queue="sync", workflows=[Sync], activities=[sync], plugins=[plugin]):
        handle = await environment.client.start_workflow(Sync.run, connection.id, id="sync", task_queue="sync")
        await connection.until_waited_for()
        connection.reconnect()
        assert_type(await handle.result(), int)
    assert_type(connection.reports, list[Report])
    assert connection.accepts(httpx.Request("GET", "https://slack.example"))
    with fake.activity():
        assert_type(await sync(connection.id), int)
