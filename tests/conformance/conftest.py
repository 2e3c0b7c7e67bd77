from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.conformance.world import World, running


@pytest.fixture(scope="session")
async def world(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """One for all applications: each has a linked account of its own."""
    address = temporal.client.service_client.config.target_host
    async with running(tmp_path_factory.mktemp("conformance"), sqlite_template, address) as one:
        yield one
