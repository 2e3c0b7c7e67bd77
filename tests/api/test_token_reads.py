"""A token is read without Temporal while it is fresh, refreshed only where that helps, and kept a second at most."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update

from store.database import utc_now
from store.tables import CONNECTIONS, CREDENTIALS
from tests.api.conftest import Everlink, age, running


def beside(everlink: Everlink, **changes: object) -> object:
    """The settings of another API process on the same store."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    values = {"port": port, "public_url": f"http://127.0.0.1:{port}", **changes}
    return everlink.made.settings.model_copy(update=values)


@pytest.fixture
async def keeping(everlink: Everlink) -> AsyncIterator[Everlink]:
    """An API process that keeps what it has read, far longer than the setting allows: nothing ends by itself."""
    async with running(beside(everlink, read_cache_seconds=300.0), everlink.sandbox, worker=False) as other:  # type: ignore[arg-type]
        yield other


async def aged(everlink: Everlink, connection: str, old: float, whole: float) -> None:
    """The token was given so long ago, for so long."""
    given = utc_now() - timedelta(seconds=old)
    values = {"updated_at": given, "expires_at": given + timedelta(seconds=whole)}
    async with everlink.made.database.writing() as writing:
        await writing.execute(update(CREDENTIALS).where(CREDENTIALS.c.connection_id == connection).values(values))


def also(product: httpx.AsyncClient, other: Everlink) -> httpx.AsyncClient:
    """The product, speaking to the other process."""
    client = httpx.AsyncClient(base_url=other.url, headers=product.headers, timeout=40)
    other.clients.append(client)
    return client


async def generation(client: httpx.AsyncClient, connection: str, **params: float) -> int:
    answer = await client.get(f"/v1/connections/{connection}/token", params=params)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["generation"])


async def test_longer_life_than_the_provider_gives_costs_no_refresh_at_every_read(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    await aged(everlink, connection, old=1, whole=60)
    assert [await generation(product, connection, min_ttl=600) for _ in range(3)] == [1, 1, 1]
    await aged(everlink, connection, old=10, whole=60)  # there is more to be had
    assert await generation(product, connection, min_ttl=40) == 1
    assert await generation(product, connection, min_ttl=600) == 2
    assert await generation(product, connection, min_ttl=3600) == 2


async def test_fresh_token_waits_for_no_temporal_that_does_not_answer(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for seconds in (0.0, 1.0):
            settings = beside(everlink, temporal_address=address, read_cache_seconds=seconds)
            async with running(settings, everlink.sandbox, worker=False) as other, asyncio.timeout(10):  # type: ignore[arg-type]
                client = also(product, other)
                assert [await generation(client, connection) for _ in range(3)] == [1, 1, 1]


async def test_kept_token_is_answered_without_the_store(
    everlink: Everlink, product: httpx.AsyncClient, keeping: Everlink
) -> None:
    connection = await everlink.connect(product)
    client = also(product, keeping)
    assert await generation(client, connection) == 1
    async with everlink.made.database.writing() as writing:
        mine = CREDENTIALS.c.connection_id == connection
        await writing.execute(update(CREDENTIALS).where(mine).values(generation=7))
    assert (await generation(client, connection), await generation(product, connection)) == (1, 7)


async def test_another_tenant_is_shown_nothing_of_what_is_kept(
    everlink: Everlink, product: httpx.AsyncClient, keeping: Everlink
) -> None:
    connection = await everlink.connect(product)
    assert await generation(also(product, keeping), connection) == 1
    stranger = also(await everlink.product("Other"), keeping)
    assert (await stranger.get(f"/v1/connections/{connection}/token")).status_code == 404


async def test_kept_token_is_not_answered_past_its_time(
    everlink: Everlink, product: httpx.AsyncClient, keeping: Everlink
) -> None:
    connection = await everlink.connect(product)
    client = also(product, keeping)
    await age(everlink, connection, 60)
    assert await generation(client, connection) == 1
    assert await generation(client, connection, min_ttl=90) == 2  # longer than the kept one lives
    now = utc_now()
    keeping.made.clock = lambda: now + timedelta(days=2)
    late = await client.get(f"/v1/connections/{connection}/token", params={"min_ttl": 0})
    assert late.json()["error_code"] == "refresh_failed"  # a new one was asked for, and is as old by that clock


async def test_what_this_process_sees_empties_what_it_keeps(
    everlink: Everlink, product: httpx.AsyncClient, keeping: Everlink
) -> None:
    client = also(product, keeping)
    connection = await everlink.connect(product)
    path = f"/v1/connections/{connection}"
    assert await generation(client, connection) == 1
    assert (await client.post(f"{path}/refresh")).status_code == 200
    assert await generation(client, connection) == 2
    async with everlink.customer() as ada:
        await ada.revoke()
        assert (await client.post(f"{path}/refresh")).json()["status"] == "reauth_required"
        dead = await client.get(f"{path}/token")
        assert (dead.status_code, dead.json()["error_code"]) == (409, "reauth_required")
        assert (await ada.consent(dead.json()["reconnect_url"])).status_code == 200
    assert await generation(client, connection) == 3
    assert (await client.delete(path)).status_code == 200
    assert (await client.get(f"{path}/token")).json()["error_code"] == "connection_disconnected"


async def test_flag_that_this_process_has_read_is_known_to_its_token_reads(
    everlink: Everlink, product: httpx.AsyncClient, keeping: Everlink
) -> None:
    client = also(product, keeping)
    connection = await everlink.connect(product)
    assert await generation(client, connection) == 1
    flagged = {"status": "reauth_required", "reason": "access_revoked"}
    async with everlink.made.database.writing() as writing:
        await writing.execute(update(CONNECTIONS).where(CONNECTIONS.c.id == connection).values(flagged))
    assert await generation(client, connection) == 1
    assert (await client.get(f"/v1/connections/{connection}")).json()["status"] == "reauth_required"
    assert (await client.get(f"/v1/connections/{connection}/token")).status_code == 409


async def test_key_that_this_process_has_revoked_opens_nothing(
    everlink: Everlink, product: httpx.AsyncClient, keeping: Everlink
) -> None:
    client = also(product, keeping)
    assert (await client.get("/v1/connections")).status_code == 200
    public = product.headers["x-api-key"].split("_")[1]
    assert await keeping.made.api_keys.revoke(public, utc_now())
    assert (await client.get("/v1/connections")).status_code == 401


async def test_key_kept_in_memory_still_needs_its_secret_and_its_time(
    everlink: Everlink, product: httpx.AsyncClient, keeping: Everlink
) -> None:
    client = also(product, keeping)
    assert (await client.get("/v1/connections")).status_code == 200
    key = product.headers["x-api-key"]
    for wrong in (f"{key}x", key[:-1], f"pk{key[2:]}"):
        assert (await client.get("/v1/connections", headers={"x-api-key": wrong})).status_code == 401
