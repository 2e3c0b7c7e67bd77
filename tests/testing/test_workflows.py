"""What a user's tests do with `everlink.testing`: a workflow meets a dead connection, and the test drives it on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink import Wait
from everlink.contract import ConnectionStatus, ReauthReason
from everlink.plugin.failures import DeadConnection
from everlink.testing import FakeConnection, FakeEverlink, Report
from tests.testing.conftest import Read
from tests.testing.users import Once, Sync, know

QUEUE = "user"


@asynccontextmanager
async def working(client: Client, fake: FakeEverlink, read: Read, wait: Wait = Wait.FOREVER) -> AsyncIterator[None]:
    plugin = fake.plugin(wait=wait)
    async with Worker(client, task_queue=QUEUE, workflows=[Sync, Once], activities=[read, know], plugins=[plugin]):
        yield


async def once(client: Client, connection: FakeConnection, activity: str = "read") -> WorkflowHandle[Once, str]:
    return await client.start_workflow(
        Once.run, args=[connection.id, activity], id=f"once-{uuid4().hex}", task_queue=QUEUE
    )


async def test_a_workflow_waits_until_the_test_reconnects(
    environment: WorkflowEnvironment, fake: FakeEverlink, connection: FakeConnection, read: Read
) -> None:
    connection.revoke()
    async with working(environment.client, fake, read):
        handle = await once(environment.client, connection)
        await connection.until_waited_for()
        connection.reconnect()
        async with asyncio.timeout(20):
            assert await handle.result() == "read"


async def test_what_the_provider_refuses_first_is_reported_and_waited_for(
    environment: WorkflowEnvironment, fake: FakeEverlink, connection: FakeConnection, read: Read
) -> None:
    connection.revoke(ReauthReason.APP_UNINSTALLED, noticed=False)
    assert connection.status is ConnectionStatus.ACTIVE
    async with working(environment.client, fake, read):
        handle = await once(environment.client, connection)
        await connection.until_waited_for()
        assert connection.reports == [Report(generation=1, event=None)]
        assert connection.answer().reason is ReauthReason.APP_UNINSTALLED
        connection.reconnect()
        assert await handle.result() == "read"


async def test_a_connection_that_dies_between_two_activities(
    skipping: WorkflowEnvironment, fake: FakeEverlink, connection: FakeConnection, read: Read
) -> None:
    """The worker has kept a credential from the first; days are skipped."""
    async with working(skipping.client, fake, read):
        handle = await skipping.client.start_workflow(Sync.run, args=[connection.id, None], id="s", task_queue=QUEUE)
        await _until_scheduled(handle, 1)
        connection.revoke()
        began = await skipping.get_current_time()
        result = asyncio.ensure_future(handle.result())
        await connection.until_waited_for()
        connection.reconnect()
        assert await result == ["read", "read"]
        assert await skipping.get_current_time() - began >= timedelta(days=1)


async def test_a_wait_that_ends_is_skipped(
    skipping: WorkflowEnvironment, fake: FakeEverlink, connection: FakeConnection, read: Read
) -> None:
    connection.revoke()
    async with working(skipping.client, fake, read):
        handle = await skipping.client.start_workflow(Sync.run, args=[connection.id, 30], id="sync", task_queue=QUEUE)
        async with asyncio.timeout(20):
            with pytest.raises(WorkflowFailureError) as failed:
                await handle.result()
    events = (await handle.fetch_history()).events
    lasted = events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()
    assert timedelta(days=30) <= lasted < timedelta(days=31)
    assert failed.value.cause is not None
    dead = DeadConnection.of(failed.value.cause)
    assert dead is not None
    assert (dead.application, dead.linked_account_id, dead.reason) == ("slack", "acme", ReauthReason.ACCESS_REVOKED)


@pytest.mark.parametrize("end", ["never", "disconnected"])
async def test_what_is_not_waited_for(
    environment: WorkflowEnvironment, fake: FakeEverlink, connection: FakeConnection, read: Read, end: str
) -> None:
    connection.revoke()
    async with working(environment.client, fake, read, Wait.NEVER if end == "never" else Wait.FOREVER):
        handle = await once(environment.client, connection)
        if end == "disconnected":
            await connection.until_waited_for()
            connection.disconnect()
        with pytest.raises(WorkflowFailureError):
            await handle.result()


async def test_credentials_are_not_kept_over_what_the_test_does(
    skipping: WorkflowEnvironment, fake: FakeEverlink, connection: FakeConnection, read: Read
) -> None:
    async def known() -> str:
        return await (await once(skipping.client, connection, "know")).result()

    async with working(skipping.client, fake, read, Wait.NEVER):
        assert await known() == "1"
        connection.rotate()
        assert await known() == "2"
        connection.revoke()
        with pytest.raises(WorkflowFailureError):
            await known()


async def _until_scheduled(handle: WorkflowHandle[Any, Any], timers: int) -> None:
    async with asyncio.timeout(20):
        while timers > sum(
            [one.event_type == EventType.EVENT_TYPE_TIMER_STARTED async for one in handle.fetch_history_events()]
        ):
            await asyncio.sleep(0.05)
