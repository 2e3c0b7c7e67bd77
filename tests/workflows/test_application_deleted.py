"""What the removal of an application does to its connections, in skipped time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.testing import WorkflowEnvironment

from everlink.contract import (
    TASK_QUEUE,
    ApplicationDeleted,
    ConnectionState,
    ConnectionStatus,
    CredentialRejected,
    EventType,
    LateSuccess,
    ReauthReason,
    Signal,
    Workflow,
)
from tests.workflows.provider import (
    Life,
    dead,
    living,
)


async def lose_application(life: Life, request_id: str = "one") -> None:
    await life.handle.signal(Signal.APPLICATION_DELETED, ApplicationDeleted(request_id=request_id))


async def test_connection_without_its_application_asks_its_customer_and_nobody_else(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await life.connect()
    for request_id in ("one", "one", "two"):
        await lose_application(life, request_id)
    await skipping.sleep(timedelta(days=2))
    view = await life.status()
    assert (view.status, view.reason) == (ConnectionStatus.REAUTH_REQUIRED, ReauthReason.APPLICATION_DELETED)
    assert life.provider.events == [EventType.CREATED, EventType.EXPIRED]
    assert (life.provider.refreshes, life.provider.probes, view.next_at) == (0, 0, None)
    assert (await life.refresh()).status is ConnectionStatus.REAUTH_REQUIRED
    await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=5))
    await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="three"))
    await skipping.sleep(timedelta(days=1))
    assert (life.provider.refreshes, life.provider.probes) == (0, 0)
    again = await life.connect(generation=2)
    assert (again.status, again.reason) == (ConnectionStatus.ACTIVE, None)
    await skipping.sleep(timedelta(hours=2))
    assert life.provider.refreshes > 0


async def test_connection_that_needed_its_customer_says_the_new_reason_once_and_without_an_event(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await life.connect()
    life.provider.refresh_answer = dead
    await life.refresh()
    for request_id in ("one", "two"):
        await lose_application(life, request_id)
        await life.status()
    await skipping.sleep(timedelta(seconds=5))
    assert (await life.status()).reason is ReauthReason.APPLICATION_DELETED
    assert life.provider.events == [EventType.CREATED, EventType.EXPIRED]
    assert [transition.reason for transition in life.provider.transitions] == [
        None,
        ReauthReason.ACCESS_REVOKED,
        ReauthReason.APPLICATION_DELETED,
    ]


async def test_refresh_that_comes_back_after_its_application_is_kept_and_changes_nothing(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await life.connect()
    life.provider.gate = asyncio.Event()
    refreshing = asyncio.create_task(life.refresh())
    while not life.provider.refreshes:
        await asyncio.sleep(0.01)
    await lose_application(life)
    life.provider.gate.set()
    view = await refreshing
    await skipping.sleep(timedelta(days=1))
    view = await life.status()
    assert (view.status, view.reason) == (ConnectionStatus.REAUTH_REQUIRED, ReauthReason.APPLICATION_DELETED)
    assert view.generation == 2  # what the provider rotated is not forgotten
    assert (life.provider.refreshes, life.provider.probes) == (1, 0)


async def test_application_that_goes_before_anybody_has_connected_ends_the_connection(
    skipping: WorkflowEnvironment,
) -> None:
    async with living(skipping.client) as life:
        handle = await skipping.client.start_workflow(
            Workflow.CONNECTION,
            ConnectionState(ref=life.ref),
            id=life.handle.id,
            task_queue=TASK_QUEUE,
            start_signal=Signal.APPLICATION_DELETED,
            start_signal_args=[ApplicationDeleted(request_id="one")],
        )
        await handle.result()
        assert life.provider.events == [EventType.DELETED]


async def test_application_that_goes_after_the_end_changes_nothing(life: Life) -> None:
    await life.connect()
    life.provider.store_is_down = True
    ending = asyncio.create_task(life.disconnect())
    while (await life.status()).status is not ConnectionStatus.DISCONNECTED:
        await asyncio.sleep(0.01)
    await lose_application(life)
    life.provider.store_is_down = False
    assert (await ending).reason is None
    await life.handle.result()
    assert life.provider.events == [EventType.CREATED, EventType.DELETED]
