"""What overtakes a refresh, arrives late or arrives twice, on real parts; the store gone at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.farewell import FarewellActivities
from activities.refresh import RefreshActivities
from activities.shared import open_shared
from everlink.contract import (
    CredentialRejected,
    CredentialTask,
    ProviderEvent,
    ProviderEventKind,
    RefreshCommand,
    Signal,
    Update,
    Verdict,
    connection_workflow_id,
)
from sandbox.customer import Customer
from store.connections import connection_ref
from store.database import Database, utc_now
from store.migrate import migrate
from tests.faults.conftest import Proxied, accepted, connect, proxied, until
from tests.faults.proxy import Fault, Held, Moment
from tests.postgres import Postgres, binaries


@pytest.fixture
async def world(sqlite_url: str, tmp_path: Path, own_temporal: WorkflowEnvironment) -> AsyncIterator[Proxied]:
    async with proxied(sqlite_url, tmp_path, own_temporal) as one:
        yield one


@pytest.fixture
async def product(world: Proxied) -> httpx.AsyncClient:
    return await world.everlink.product()


@pytest.fixture
async def connection(world: Proxied, product: httpx.AsyncClient) -> str:
    return await connect(product, world.sandbox)


def workflow(world: Proxied, connection: str) -> WorkflowHandle[Any, Any]:
    return world.temporal.client.get_workflow_handle(connection_workflow_id(connection))


async def events(product: httpx.AsyncClient, connection: str) -> list[str]:
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    return [row["event"] for row in timeline]


async def renewable(sandbox: str, refresh_token: str) -> bool:
    """Whether the sandbox would still refresh with it. Asking uses it up."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(f"{sandbox}/o/token/", data=form, auth=("everlink-sandbox", "sandbox-secret"))
    assert answer.status_code in (200, 400)
    return answer.status_code == 200


async def is_dead(world: Proxied, held: Held) -> bool:
    """Whether nothing of what the provider granted lives any more."""
    token, refresh_token = held.granted["access_token"], held.granted["refresh_token"]
    return not await accepted(world.sandbox, token) and not await renewable(world.sandbox, refresh_token)


async def test_reconnect_during_a_refresh_keeps_the_new_grant(
    world: Proxied, product: httpx.AsyncClient, connection: str
) -> None:
    held = world.proxy.hold()
    refreshing = asyncio.create_task(product.post(f"/v1/connections/{connection}/refresh"))
    await held.answered.wait()
    link = (await product.post(f"/v1/connections/{connection}/reconnect")).json()["connect_url"]
    async with Customer(world.sandbox, "ada", "ada-password") as ada:
        reconnecting = asyncio.create_task(ada.consent(link))
        async with asyncio.timeout(15):
            while await world.generation(product, connection) != 2:
                await asyncio.sleep(0.02)
        held.let_go.set()
        assert (await reconnecting).status_code == 200
    assert (await refreshing).json()["generation"] == 2
    kept = await world.kept(product, connection)
    assert kept is not None and kept[0] == 2
    assert kept[1].access_token != held.granted["access_token"]
    assert await accepted(world.sandbox, kept[1].access_token)
    refreshed = (await product.post(f"/v1/connections/{connection}/refresh")).json()  # its refresh token is the new one
    assert (refreshed["status"], refreshed["verdict"], refreshed["generation"]) == ("active", "ok", 3)
    assert await events(product, connection) == ["Connection Created", "Connection Reauthenticated"]


async def test_disconnect_during_a_refresh_leaves_nothing_here_and_nothing_there(
    world: Proxied, product: httpx.AsyncClient, connection: str
) -> None:
    held = world.proxy.hold()
    refreshing = asyncio.create_task(product.post(f"/v1/connections/{connection}/refresh"))
    await held.answered.wait()
    removing = asyncio.create_task(product.delete(f"/v1/connections/{connection}"))
    await asyncio.sleep(0.5)  # so that it reaches the workflow while the refresh is under way
    held.let_go.set()
    assert (await removing).json()["status"] == "disconnected"
    await refreshing
    await workflow(world, connection).result()
    assert await world.kept(product, connection) is None
    assert await is_dead(world, held)


async def test_refresh_that_comes_back_after_the_purge_resurrects_nothing(
    world: Proxied, product: httpx.AsyncClient, connection: str
) -> None:
    """As after a worker was stopped for so long that the connection has ended meanwhile."""
    made, held = world.everlink.made, world.proxy.hold()
    scope = (await made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None
    row = await made.connections.get(scope, connection)
    assert row is not None
    async with open_shared(made.settings) as shared:
        task = CredentialTask(ref=connection_ref(row), generation=1)
        run = ActivityEnvironment().run
        late = asyncio.create_task(run(RefreshActivities(shared).refresh, task))
        await held.answered.wait()
        await run(FarewellActivities(shared).revoke_upstream, task)
        await run(FarewellActivities(shared).purge_credential, task)
        held.let_go.set()
        assert (await late).verdict is Verdict.SUPERSEDED
    assert await world.kept(product, connection) is None
    assert await is_dead(world, held)


async def test_word_of_an_older_generation_asks_nobody(
    world: Proxied, product: httpx.AsyncClient, connection: str
) -> None:
    granted = utc_now()
    path = f"/v1/connections/{connection}"
    assert (await product.post(f"{path}/refresh")).json()["generation"] == 2
    before = world.proxy.probes
    assert (await product.post(f"{path}/report", json={"generation": 1})).status_code == 202
    old = ProviderEvent(
        request_id=uuid4().hex, kind=ProviderEventKind.REVOKED, occurred_at=granted - timedelta(minutes=5)
    )
    await workflow(world, connection).signal(Signal.PROVIDER_EVENT, old)
    assert (await product.post(f"{path}/refresh")).json()["generation"] == 3  # it comes behind both
    assert (world.proxy.refreshes, world.proxy.probes) == (2, before)
    assert await events(product, connection) == ["Connection Created"]


async def test_message_that_comes_twice_counts_once(
    world: Proxied, product: httpx.AsyncClient, connection: str
) -> None:
    before, handle = world.proxy.probes, workflow(world, connection)
    command, update_id = RefreshCommand(newer_than=1), uuid4().hex
    for _ in range(2):
        await handle.execute_update(Update.REFRESH, command, id=update_id)
    await handle.execute_update(Update.REFRESH, command)  # another that saw the same credential
    assert (world.proxy.refreshes, await world.generation(product, connection)) == (1, 2)
    rejected = CredentialRejected(request_id=uuid4().hex, generation=2)
    await handle.signal(Signal.CREDENTIAL_REJECTED, rejected)
    await until(lambda: world.proxy.probes == before + 1)
    await handle.signal(Signal.CREDENTIAL_REJECTED, rejected)
    assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["generation"] == 3
    assert world.proxy.probes == before + 1
    assert await events(product, connection) == ["Connection Created"]


async def test_caller_who_joins_while_a_refresh_is_retried_shares_its_success(
    world: Proxied, product: httpx.AsyncClient, connection: str
) -> None:
    world.proxy.strike(Fault.RESET, Moment.BEFORE, times=2)
    assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["verdict"] == "transient"
    await until(lambda: world.proxy.refreshes >= 2)  # the third is two seconds away
    assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["generation"] == 2
    again = (await product.post(f"/v1/connections/{connection}/refresh")).json()
    assert (again["generation"], world.proxy.refreshes) == (3, 4)


@pytest.fixture
async def own_postgres() -> AsyncIterator[Postgres]:
    """A server that the test may stop."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(programs)
    server.start()
    server.create("everlink")
    database = Database(server.url("everlink"))
    await migrate(database)
    await database.close()
    yield server
    server.stop()
    server.remove()


async def test_database_that_is_gone_when_the_provider_has_rotated_costs_no_grant(
    own_postgres: Postgres, tmp_path: Path, own_temporal: WorkflowEnvironment
) -> None:
    async with proxied(own_postgres.url("everlink"), tmp_path, own_temporal) as world:
        product = await world.everlink.product()
        connection = await connect(product, world.sandbox)
        held, handle = world.proxy.hold(), workflow(world, connection)
        refreshing = asyncio.create_task(product.post(f"/v1/connections/{connection}/refresh"))
        await held.answered.wait()
        await asyncio.to_thread(own_postgres.stop)
        held.let_go.set()
        async with asyncio.timeout(60):
            while b"store_sealed" not in (history := _raw(await handle.fetch_history())):
                await asyncio.sleep(0.2)
        await asyncio.to_thread(own_postgres.start)
        answer = (await refreshing).json()
        assert (answer["status"], answer["generation"], answer["verdict"]) == ("active", 2, "ok")
        token = (await product.get(f"/v1/connections/{connection}/token")).json()
        assert (token["access_token"], token["generation"]) == (held.granted["access_token"], 2)
        assert await accepted(world.sandbox, token["access_token"])
        assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["generation"] == 3
        assert world.proxy.refreshes == 2  # nobody asked the provider again for what it had given
        assert held.granted["access_token"].encode() not in history
        assert held.granted["refresh_token"].encode() not in history


def _raw(history: WorkflowHistory) -> bytes:
    return b"".join(event.SerializeToString() for event in history.events)
