"""The database down, Temporal down: what still works, what is said, and that all goes on afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient
from temporalio.testing import WorkflowEnvironment

from sandbox.customer import Customer
from store.database import Database
from store.migrate import migrate
from tests.api.conftest import OAUTH_URL, running, settings_for
from tests.postgres import Postgres, binaries
from tests.sandbox_process import running_sandbox
from tests.servers import start_dev_server


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


@pytest.fixture
async def own_temporal() -> AsyncIterator[WorkflowEnvironment]:
    async with await start_dev_server() as server:
        yield server


async def test_database_down_is_a_503_and_the_workflow_goes_on_when_it_is_back(
    own_postgres: Postgres, tmp_path: Path, own_temporal: WorkflowEnvironment
) -> None:
    address = own_temporal.client.service_client.config.target_host
    async with running_sandbox(tmp_path, SANDBOX_ACCESS_TOKEN_SECONDS="8") as sandbox:
        settings = settings_for(own_postgres.url("everlink"), tmp_path, sandbox, address)
        async with running(settings, sandbox) as everlink:
            product = await everlink.product()
            connection = await everlink.connect(product)
            link = (await product.get(OAUTH_URL)).json()["auth_url"]
            before = (await product.get(f"/v1/connections/{connection}/token", params={"min_ttl": 0})).json()
            own_postgres.stop()
            answer = await product.get("/v1/connections")
            assert (answer.status_code, answer.json()["error_code"]) == (503, "database_unavailable")
            assert answer.headers["retry-after"]
            async with Customer(sandbox, "ada", "ada-password") as ada:
                page = await ada.consent(link)
            assert page.status_code == 503 and "try again in a minute" in page.text
            await asyncio.sleep(8)  # a refresh came due, and its token has expired meanwhile
            own_postgres.start()
            async with asyncio.timeout(60):
                while True:
                    after = await product.get(f"/v1/connections/{connection}/token", params={"min_ttl": 0})
                    if after.status_code == 200 and after.json()["generation"] > before["generation"]:
                        break
                    await asyncio.sleep(0.2)
            found = (await product.get(f"/v1/connections/{connection}")).json()
            assert found["status"] == "active"


async def test_fresh_token_is_read_while_temporal_is_down(
    sqlite_url: str, tmp_path: Path, sandbox: str, own_temporal: WorkflowEnvironment
) -> None:
    address = own_temporal.client.service_client.config.target_host
    settings = settings_for(sqlite_url, tmp_path, sandbox, address)
    async with running(settings, sandbox) as everlink:
        product = await everlink.product()
        connection = await everlink.connect(product)
        key = product.headers["x-api-key"]
    away = settings.model_copy(update={"temporal_address": "127.0.0.1:9"})
    async with running(away, sandbox, worker=False) as everlink:
        product.headers["x-api-key"] = key
        async with AsyncClient(base_url=everlink.url, headers={"x-api-key": key}, timeout=60) as client:
            assert (await client.get(f"/v1/connections/{connection}/token")).status_code == 200
            refused = await client.post(f"/v1/connections/{connection}/refresh")
            assert (refused.status_code, refused.json()["error_code"]) == (503, "temporal_unavailable")
