"""Everlink on each database; on PostgreSQL with a Temporal server of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import Everlink, running, settings_for
from tests.postgres import Postgres
from tests.servers import start_dev_server


@pytest.fixture(scope="session")
async def on_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, sandbox: str
) -> AsyncIterator[Everlink]:
    postgres.create("everlink_api", "migrated")
    folder = tmp_path_factory.mktemp("api-on-postgres")
    async with await start_dev_server() as server:
        address = server.client.service_client.config.target_host
        settings = settings_for(postgres.url("everlink_api"), folder, sandbox, address)
        async with running(settings, sandbox) as one:
            yield one


@pytest.fixture(params=["sqlite", "postgresql"])
def everlink(request: pytest.FixtureRequest, everlink: Everlink) -> Everlink:
    return request.getfixturevalue("on_postgres") if request.param == "postgresql" else everlink
