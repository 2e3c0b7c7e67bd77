"""A workflow meets a dead connection, waits and goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment

from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.world import Syncing, details, events, new_id, start, until, working

ACTIVE, DEAD = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED
SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
FAILED = EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
CANCELLED = EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED


@pytest.fixture
def one(api: Api) -> str:
    """A dead connection."""
    connection_id = new_id()
    api.statuses[connection_id] = DEAD
    return connection_id


@pytest.fixture
def client(server: WorkflowEnvironment) -> Client:
    return server.client


@pytest.fixture
def syncing(api: Api) -> Syncing:
    return Syncing(api)


@pytest.fixture
async def queue(client: Client, syncing: Syncing) -> AsyncIterator[str]:
    async with working(client, syncing) as name:
        yield name


async def waits(handle: WorkflowHandle[Any, Any]) -> None:
    async def shows() -> bool:
        return (await details(handle)).startswith("Waiting")

    await until(shows)


async def error_of(handle: WorkflowHandle[Any, Any]) -> BaseException | None:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    return caught.value.cause


async def test_a_workflow_waits_for_its_customer_and_goes_on(
    client: Client, api: Api, syncing: Syncing, queue: str, one: str
) -> None:
    handle = await start(client, users.Sync.run, one, queue=queue)
    await waits(handle)
    assert await details(handle) == (
        "Waiting for acme's Slack to be reconnected since 2026-11-30 07:00 UTC (access was revoked at the provider)"
        "\n\nsyncing"
    )
    api.statuses[one] = ACTIVE
    assert await handle.result() == [f"synced {one}"] * 2
    assert syncing.runs[one] == 3
    assert await details(handle) == "syncing"


async def test_many_activities_on_one_dead_connection_make_one_wait(
    client: Client, api: Api, syncing: Syncing, queue: str, one: str
) -> None:
    handle = await start(client, users.Crowd.run, [one] * 50, queue=queue)

    await until(lambda: _failed(handle, 50))
    await waits(handle)
    api.statuses[one] = ACTIVE
    assert await handle.result() == [f"synced {one}"] * 50
    assert await events(handle, SCHEDULED) == 101


async def test_details_that_are_set_meanwhile_stand_below(client: Client, api: Api, queue: str, one: str) -> None:
    handle = await start(client, users.Telling.run, one, queue=queue)
    await waits(handle)
    await handle.signal(users.Telling.tell, "nearly there")

    async def told() -> bool:
        return (await details(handle)).endswith("\n\nnearly there")

    await until(told)
    await waits(handle)
    api.statuses[one] = ACTIVE
    await handle.result()
    assert await details(handle) == "nearly there"


async def test_a_local_activity_is_waited_for(client: Client, api: Api, syncing: Syncing, queue: str, one: str) -> None:
    handle = await start(client, users.Local.run, one, queue=queue)
    await waits(handle)
    api.statuses[one] = ACTIVE
    assert await handle.result() == f"synced {one}"
    assert syncing.runs[one] == 2
    assert await events(handle, SCHEDULED) == 1  # the wait's; the local ones are markers


async def test_a_child_workflow_waits_in_itself(client: Client, api: Api, queue: str, one: str) -> None:
    handle = await start(client, users.Parent.run, one, queue=queue)

    async def child() -> str | None:
        return next(iter([c.workflow_id for c in (await handle.describe()).raw_description.pending_children]), None)

    await waits(client.get_workflow_handle(await until(child)))
    assert await details(handle) == ""
    api.statuses[one] = ACTIVE
    assert await handle.result() == [f"synced {one}"] * 2


async def test_the_time_that_an_activity_has_is_not_the_customers(
    client: Client, api: Api, queue: str, one: str
) -> None:
    handle = await start(client, users.Hasty.run, one, queue=queue)
    await waits(handle)
    await asyncio.sleep(3.5)  # longer than the activity has from its schedule to its close
    api.statuses[one] = ACTIVE
    assert await handle.result() == f"synced {one}"


async def test_a_wait_survives_continue_as_new(
    client: Client, api: Api, syncing: Syncing, queue: str, one: str
) -> None:
    handle = await start(client, users.Renewing.run, one, 1, queue=queue)
    for run in (1, 2):
        await until(lambda run=run: _ran(syncing, one, run))
        await waits(handle)
        await handle.signal(users.Renewing.renew)
    await until(lambda: _ran(syncing, one, 3))
    await waits(handle)
    api.statuses[one] = ACTIVE
    assert await handle.result() == f"synced {one} in run 3"


async def _ran(syncing: Syncing, connection_id: str, times: int) -> bool:
    return syncing.runs[connection_id] >= times


async def _failed(handle: WorkflowHandle[Any, Any], times: int) -> bool:
    """So that the workflow knows of all of them: none begins a wait of its own later."""
    return await events(handle, FAILED) >= times


async def test_a_workflow_that_ends_leaves_its_waits(
    client: Client, queue: str, one: str, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await start(client, users.Leaving.run, one, queue=queue)
    await waits(handle)
    with caplog.at_level(logging.WARNING):
        await handle.signal(users.Leaving.leave)
        assert await handle.result() == "left"
    assert not caplog.records


# ── cancellation ──


async def test_a_workflow_is_cancelled_while_it_waits(client: Client, api: Api, queue: str, one: str) -> None:
    handle = await start(client, users.Sync.run, one, queue=queue)
    await waits(handle)
    await handle.cancel()
    assert isinstance(await error_of(handle), CancelledError)
    assert await events(handle, CANCELLED) == 1  # the wait's


async def test_a_cancelled_wait_looks_like_a_cancelled_activity(client: Client, queue: str, one: str) -> None:
    handle = await start(client, users.Catching.run, one, queue=queue)
    await waits(handle)
    await handle.cancel()
    assert await handle.result() == "compensated, cancelled: True"


async def test_one_of_several_is_cancelled_and_the_others_wait_on(
    client: Client, api: Api, syncing: Syncing, queue: str, one: str
) -> None:
    handle = await start(client, users.Several.run, one, 3, queue=queue)
    await until(lambda: _failed(handle, 3))
    await waits(handle)
    await handle.signal(users.Several.cancel, 1)
    assert await events(handle, CANCELLED) == 0
    await waits(handle)
    api.statuses[one] = ACTIVE
    await until(lambda: _ran(syncing, one, 5))
    await handle.signal(users.Several.finish)
    assert await handle.result() == [f"synced {one}", "cancelled: True", f"synced {one}"]


async def test_all_are_cancelled_and_the_wait_ends(client: Client, syncing: Syncing, queue: str, one: str) -> None:
    handle = await start(client, users.Several.run, one, 2, queue=queue)
    await until(lambda: _failed(handle, 2))
    await waits(handle)
    for number in (0, 1):
        await handle.signal(users.Several.cancel, number)

    async def ended() -> bool:
        return await events(handle, CANCELLED) == 1

    await until(ended)
    assert await details(handle) == ""
    await handle.signal(users.Several.finish)
    assert await handle.result() == ["cancelled: True"] * 2


class Unheeding(Syncing):
    """Goes on when it is cancelled, until the gate opens; earlier runs go through."""

    def __init__(self, api: Api, earlier: int) -> None:
        super().__init__(api)
        self._earlier = earlier
        self.gate = asyncio.Event()

    @activity.defn
    async def sync(self, connection_id: str) -> str:
        if self.runs[connection_id] == self._earlier:
            self.runs[connection_id] += 1
            await self.gate.wait()
            self.runs[connection_id] -= 1
        return await super().sync(connection_id)


@pytest.mark.parametrize("earlier", [0, 1])
async def test_what_was_cancelled_before_it_met_the_dead_connection_is_not_waited_for(
    client: Client, api: Api, one: str, earlier: int
) -> None:
    syncing = Unheeding(api, earlier)
    async with working(client, syncing) as queue:
        handle = await start(client, users.Finishing.run, one, queue=queue)
        if earlier:
            await waits(handle)
            api.statuses[one] = ACTIVE
        await until(lambda: _ran(syncing, one, earlier + 1))
        api.statuses[one] = DEAD
        await handle.cancel()

        async def is_cancelled() -> bool:
            return await events(handle, CANCELLED) == 1

        await until(is_cancelled)
        syncing.gate.set()
        assert isinstance(await asyncio.wait_for(error_of(handle), 20), ActivityError)


async def test_a_timeout_of_asyncio_cancels_a_wait(client: Client, queue: str, one: str) -> None:
    handle = await start(client, users.Timed.run, one, queue=queue)
    assert await handle.result() in ("TimeoutError", "ActivityError")  # as the SDK does it with an activity


# ── how long ──


async def test_a_call_that_does_not_wait_fails_at_once(client: Client, api: Api, queue: str, one: str) -> None:
    handle = await start(client, users.Limited.run, one, 0, queue=queue)
    assert _is_dead(await error_of(handle))
    assert not api.asked


async def test_a_call_that_waits_at_most_fails_with_the_activitys_own_error(
    client: Client, api: Api, syncing: Syncing, queue: str, one: str
) -> None:
    handle = await start(client, users.Limited.run, one, 6, queue=queue)
    await waits(handle)
    assert ", waiting until 20" in await details(handle)
    assert _is_dead(await error_of(handle))
    assert api.asked and syncing.runs[one] == 1
    assert await events(handle, CANCELLED) == 1


async def test_a_customer_in_time_lets_the_call_go_on(client: Client, api: Api, queue: str, one: str) -> None:
    handle = await start(client, users.Limited.run, one, 60, queue=queue)
    await waits(handle)
    api.statuses[one] = ACTIVE
    assert await handle.result() == f"synced {one}"
    assert await events(handle, EventType.EVENT_TYPE_TIMER_CANCELED) == 1


@pytest.mark.parametrize("at_most", [0.0, 5.0])
async def test_the_plugins_policy_stands_in_the_failure(client: Client, api: Api, one: str, at_most: float) -> None:
    async with working(client, Syncing(api, at_most=at_most)) as queue:
        assert _is_dead(await error_of(await start(client, users.Sync.run, one, queue=queue)))
    assert bool(api.asked) is bool(at_most)


async def test_a_calls_policy_is_above_the_plugins(client: Client, api: Api, one: str) -> None:
    async with working(client, Syncing(api, at_most=0)) as queue:
        handle = await start(client, users.Limited.run, one, None, queue=queue)
        await waits(handle)
        api.statuses[one] = ACTIVE
        assert await handle.result() == f"synced {one}"


async def test_a_connection_that_is_gone_is_not_waited_for(client: Client, api: Api, queue: str, one: str) -> None:
    handle = await start(client, users.Sync.run, one, queue=queue)
    await waits(handle)
    api.statuses[one] = ConnectionStatus.DISCONNECTED
    assert _is_dead(await error_of(handle))


def _is_dead(error: BaseException | None) -> bool:
    return isinstance(error, ActivityError) and (
        isinstance(error.cause, ApplicationError) and error.cause.type == "ReauthRequired"
    )
