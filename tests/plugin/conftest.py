"""A user's own worker with the plugin, on a dev server that has nothing of Everlink's; the API is a small one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.plugin.api import Api
from tests.plugin.service import Service, serving
from tests.servers import BIN


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"), dev_server_log_level="error"
    ) as environment:
        yield environment


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as running:
        yield running


@pytest.fixture
async def service(server: WorkflowEnvironment) -> AsyncIterator[Service]:
    async with serving(server) as running:
        yield running
