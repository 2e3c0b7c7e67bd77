"""A user's workflows with the plugin, on the whole of Everlink: a customer takes access back, and gives it again."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from everlink.contract import NEXUS_TASK_QUEUE, nexus_endpoint
from tests.api.conftest import Everlink
from tests.api.removing import scope_of
from tests.api.test_nexus import reconnect
from tests.plugin import users
from tests.plugin.user_worker import user_worker
from tests.plugin.world import details, events, start, until

ADA = "ada@acme.example"


@dataclass
class User:
    """A product that runs workflows of its own, with one connection that its customer has taken back."""

    everlink: Everlink
    product: httpx.AsyncClient
    connection_id: str
    client: Client
    queue: str
    settings: list[str]  # of the worker, behind the task queue

    async def start(self, workflow: Any, *args: Any) -> WorkflowHandle[Any, Any]:
        return await start(self.client, workflow, *args, queue=self.queue)

    async def reconnect(self, name: str = "ada") -> None:
        await reconnect(self.everlink, self.product, self.connection_id, name)


@pytest.fixture(params=["by asking", "by Nexus"])
async def user(request: pytest.FixtureRequest, everlink: Everlink, temporal: WorkflowEnvironment) -> User:
    product = await everlink.product()
    connection_id = await everlink.connect(product)
    async with everlink.customer() as customer:
        await customer.revoke()
    settings = [everlink.sandbox, everlink.url, product.headers["x-api-key"]]
    if request.param == "by Nexus":
        scope = await scope_of(everlink.made, product)
        settings.append(nexus_endpoint(scope.org_id, scope.environment))
        await temporal.create_nexus_endpoint(settings[-1], NEXUS_TASK_QUEUE)
    return User(everlink, product, connection_id, Client(temporal.client.service_client), uuid4().hex, settings)


async def waits(handle: WorkflowHandle[Any, Any]) -> str:
    """Its details, once it does."""

    async def shows() -> str | None:
        shown = await details(handle)
        return shown if shown.startswith("Waiting") else None

    found: str = await until(shows, 40)
    return found


async def test_a_workflow_waits_for_its_customer_and_goes_on(user: User) -> None:
    async with user_worker(user.client, user.queue, *user.settings):
        handle = await user.start(users.Sync.run, user.connection_id)
        shown = await waits(handle)
        assert shown.startswith("Waiting for acme's Sandbox to be reconnected since 20"), shown
        await user.reconnect()
        assert await asyncio.wait_for(handle.result(), 40) == [ADA] * 2


async def test_a_crowd_makes_one_wait(user: User) -> None:
    async with user_worker(user.client, user.queue, *user.settings):
        handle = await user.start(users.Crowd.run, [user.connection_id] * 50)

        async def all_failed() -> bool:
            return await events(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED) == 50

        await until(all_failed, 60)
        await waits(handle)
        await user.reconnect()
        assert await asyncio.wait_for(handle.result(), 40) == [ADA] * 50
    by_nexus = await events(handle, EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED)
    by_asking = await events(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) - 100
    assert by_nexus + by_asking == 1


async def test_another_account_does_not_end_the_wait(user: User) -> None:
    async with user_worker(user.client, user.queue, *user.settings):
        handle = await user.start(users.Sync.run, user.connection_id)
        await waits(handle)
        await user.reconnect("grace")
        await waits(handle)
        assert (await handle.describe()).close_time is None
        await user.reconnect()
        assert await asyncio.wait_for(handle.result(), 40) == [ADA] * 2


async def test_another_worker_goes_on_where_one_was_killed(user: User) -> None:
    async with _process(user) as first:
        handle = await user.start(users.Sync.run, user.connection_id)
        await waits(handle)
        first.kill()
        await first.wait()
    await user.reconnect()
    async with _process(user):
        assert await asyncio.wait_for(handle.result(), 60) == [ADA] * 2


@asynccontextmanager
async def _process(user: User) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "tests.plugin.user_worker", user.client.service_client.config.target_host]
    process = await asyncio.create_subprocess_exec(*command, user.queue, *user.settings, stdout=PIPE)
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
