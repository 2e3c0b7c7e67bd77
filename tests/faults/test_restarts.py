"""The worker told to stop and Temporal killed, each in the middle of a refresh; all as `make run` starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace

import httpx
import pytest

from dev.config import ROOT, StackConfig
from dev.stack import Stack
from tests.faults.conftest import accepted, connect, put_before, until
from tests.faults.proxy import Proxy


@dataclass(frozen=True)
class ProxiedConfig(StackConfig):
    proxy: str = ""

    def write_catalog(self) -> None:
        super().write_catalog()
        put_before(self.state / "catalog", self.addresses.sandbox, self.proxy)


@dataclass(frozen=True)
class World:
    stack: Stack
    proxy: Proxy
    product: httpx.AsyncClient

    def generations(self, *connections: str) -> list[int]:
        """Straight from the store, for asking the API may refresh."""
        with closing(sqlite3.connect(self.stack.config.state / "everlink.sqlite3")) as store:
            known = dict(store.execute("SELECT connection_id, generation FROM credential"))
        return [known[connection] for connection in connections]

    async def connect(self, name: str, account: str) -> str:
        made = await self.product.post("/api/v2/public/linked-account", json={"account_id": account})
        assert made.status_code == 200
        return await connect(self.product, self.stack.addresses.sandbox, name=name, account=account)

    async def has_good_token(self, connection: str) -> bool:
        path = f"/v1/connections/{connection}/token"
        answer = await self.product.get(path, params={"min_ttl": 0})
        assert answer.status_code == 200, answer.text
        return await accepted(self.stack.addresses.sandbox, answer.json()["access_token"])


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    plain = ProxiedConfig.on_free_ports(tmp_path_factory.mktemp("stack"))
    async with (
        Proxy(plain.addresses.sandbox) as proxy,
        Stack(replace(plain, proxy=proxy.url, access_token_seconds=24)) as stack,
    ):
        headers = {"x-api-key": json.loads((stack.config.state / "dev.json").read_text())["api_key"]}
        async with httpx.AsyncClient(base_url=stack.addresses.api, headers=headers, timeout=60) as product:
            yield World(stack, proxy, product)


async def test_worker_that_is_told_to_stop_stores_what_it_has_asked_for(world: World) -> None:
    connection = await world.connect("ada", "graceful")
    held, before, worker = world.proxy.hold(), world.proxy.refreshes, world.stack.pids["worker"]
    refreshing = asyncio.create_task(world.product.post(f"/v1/connections/{connection}/refresh"))
    await held.answered.wait()
    os.kill(worker, signal.SIGTERM)
    log = world.stack.config.state / "logs" / "worker.log"
    await until(lambda: "worker stopping" in log.read_text())
    await asyncio.sleep(1)
    assert world.stack.pids["worker"] == worker and world.generations(connection) == [1]
    held.let_go.set()
    await until(lambda: world.stack.pids["worker"] != worker)
    assert world.generations(connection) == [2]  # its successor is not ready yet
    await refreshing
    assert await world.has_good_token(connection)
    again = (await world.product.post(f"/v1/connections/{connection}/refresh")).json()
    assert (again["status"], again["health"], again["generation"]) == ("active", "ok", 3)
    assert world.proxy.refreshes == before + 2


async def test_temporal_that_is_killed_and_started_again_loses_no_connection(world: World) -> None:
    customers = ("ada", "one"), ("grace", "two"), ("ada", "struck")
    everybody = await asyncio.gather(*(world.connect(name, account) for name, account in customers))
    held, *sleeping, struck = world.proxy.hold(), *everybody
    refreshing = asyncio.create_task(world.product.post(f"/v1/connections/{struck}/refresh"))
    await held.answered.wait()
    os.kill(world.stack.pids["temporal"], signal.SIGKILL)
    await until(lambda: "temporal" not in world.stack.pids)
    held.let_go.set()
    await until(lambda: 2 in world.generations(*everybody))  # stored, though the workflow cannot hear of it
    for connection in everybody:
        assert await world.has_good_token(connection)
    async with temporal_again(world.stack.config):
        assert (await refreshing).status_code in (200, 503)  # its caller may have been told to ask again
        await until(lambda: min(world.generations(*sleeping)) >= 2 and world.generations(struck)[0] >= 3)
        for connection in everybody:
            found = (await world.product.get(f"/v1/connections/{connection}")).json()
            assert (found["status"], found["health"]) == ("active", "ok")
            assert await world.has_good_token(connection)


@asynccontextmanager
async def temporal_again(config: StackConfig) -> AsyncIterator[None]:
    """The same server on the same file, ready."""
    process = config.processes()[0]
    assert process.name == "temporal" and process.ready is not None
    with (config.state / "logs" / "temporal-again.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(*process.command, cwd=ROOT, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(60):
            while not await process.ready(b""):
                assert running.returncode is None
                await asyncio.sleep(0.1)
        yield
    finally:
        running.kill()
        await running.wait()
