"""A user's worker is killed while workflows wait, and another one goes on."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from temporalio.testing import WorkflowEnvironment

from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.service import Service
from tests.plugin.world import details, new_id, start, until

ACTIVE, DEAD = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED


@asynccontextmanager
async def worker(*args: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.plugin.user_worker", *args, stdout=PIPE)
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("by_nexus", [False, True])
async def test_another_worker_goes_on_where_one_was_killed(
    server: WorkflowEnvironment, api: Api, service: Service, by_nexus: bool
) -> None:
    one, queue = new_id(), uuid4().hex
    api.statuses[one] = DEAD
    endpoint = [service.endpoint] if by_nexus else []
    args = [server.client.service_client.config.target_host, queue, api.url, *endpoint]
    async with worker(*args) as first:
        handle = await start(server.client, users.Sync.run, one, queue=queue)

        async def waits() -> bool:
            is_asked = service.asked[one] if by_nexus else len(api.asked) > 1
            return bool(is_asked) and (await details(handle)).startswith("Waiting")

        await until(waits)
        first.kill()
        await first.wait()
    api.statuses[one] = ACTIVE
    if by_nexus:
        await service.settle(one)
    async with worker(*args):
        assert await asyncio.wait_for(handle.result(), 60) == [f"synced {one}"] * 2
