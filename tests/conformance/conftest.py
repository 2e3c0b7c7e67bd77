from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.world import World, running
from tests.servers import start_dev_server


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> AsyncIterator[World]:
    """One for all applications: each has a linked account of its own.

    With a Temporal server of its own: another store's worker would take its tasks.
    """
    async with await start_dev_server() as server:
        address = server.client.service_client.config.target_host
        async with running(tmp_path_factory.mktemp("conformance"), sqlite_template, address) as one:
            yield one
