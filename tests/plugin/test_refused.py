"""The provider refuses what Everlink has verified: the workflow tries again, ever more slowly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.world import Refused, new_id, start, working
from tests.servers import BIN


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(BIN / "temporal-test-server")
    ) as environment:
        yield environment


async def test_pauses_double_up_to_an_hour(skipping: WorkflowEnvironment, api: Api) -> None:
    one, refused = new_id(), Refused(api, 13)
    api.statuses[one] = ConnectionStatus.ACTIVE
    async with working(skipping.client, refused) as queue:
        handle = await start(skipping.client, users.Sync.run, one, queue=queue)
        await handle.result()
    timers = [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds()
        async for event in handle.fetch_history_events()
        if event.HasField("timer_started_event_attributes")
    ]
    assert timers == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    assert len(api.asked) == 13


async def test_all_of_the_tries_together_have_the_time_of_the_policy(skipping: WorkflowEnvironment, api: Api) -> None:
    one, refused = new_id(), Refused(api, 1000)
    api.statuses[one] = ConnectionStatus.ACTIVE
    async with working(skipping.client, refused) as queue:
        handle = await start(skipping.client, users.Limited.run, one, timedelta(hours=1).total_seconds(), queue=queue)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        described = await handle.describe()
    assert described.close_time is not None
    assert timedelta(hours=1) <= described.close_time - described.start_time < timedelta(hours=1, minutes=1)


async def test_a_crowd_that_is_refused_shares_its_pauses(skipping: WorkflowEnvironment, api: Api) -> None:
    one, refused = new_id(), Refused(api, 40)
    api.statuses[one] = ConnectionStatus.ACTIVE
    async with working(skipping.client, refused) as queue:
        handle = await start(skipping.client, users.Crowd.run, [one] * 10, queue=queue)
        assert await handle.result() == [f"synced {one}"] * 10
    assert refused.runs[one] == 50
    assert len(api.asked) < 20
