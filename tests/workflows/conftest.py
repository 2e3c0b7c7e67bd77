"""A connection's life, on either of Temporal's servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.servers import start_dev_server
from tests.workflows.provider import Life, living


@pytest.fixture
async def life(skipping: WorkflowEnvironment) -> AsyncIterator[Life]:
    async with living(skipping.client) as one:
        yield one


@pytest.fixture
async def real_life() -> AsyncIterator[Life]:
    """On the real server: the skipping one may forget to cancel an activity that fails at that moment."""
    async with await start_dev_server() as server, living(server.client) as one:
        yield one
