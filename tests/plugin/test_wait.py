"""A workflow meets a dead connection, waits and goes on."""

from __future__ import annotations

from temporalio.api.enums.v1 import EventType
from temporalio.testing import WorkflowEnvironment

from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.world import Syncing, details, events, new_id, start, until, working

ACTIVE, DEAD = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED
SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED


async def test_a_workflow_waits_for_its_customer_and_goes_on(server: WorkflowEnvironment, api: Api) -> None:
    one, syncing = new_id(), Syncing(api)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, one, queue=queue)

        async def waits() -> bool:
            return (await details(handle)).startswith("Waiting")

        await until(waits)
        assert await details(handle) == (
            "Waiting for acme's Slack to be reconnected since 2026-11-30 07:00 UTC (access was revoked at the provider)"
            "\n\nsyncing"
        )
        api.statuses[one] = ACTIVE
        assert await handle.result() == [f"synced {one}"] * 2
        assert syncing.runs[one] == 3
        assert await details(handle) == "syncing"


async def test_many_activities_on_one_dead_connection_make_one_wait(server: WorkflowEnvironment, api: Api) -> None:
    one, syncing = new_id(), Syncing(api)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Crowd.run, [one] * 50, queue=queue)

        async def all_wait() -> bool:
            return syncing.runs[one] == 50 and len(api.asked) > 1

        await until(all_wait)
        api.statuses[one] = ACTIVE
        assert await handle.result() == [f"synced {one}"] * 50
    assert await events(handle, SCHEDULED) == 101
