"""The same through Nexus."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.testing import WorkflowEnvironment

from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.service import Service
from tests.plugin.world import Syncing, details, events, new_id, start, until, working

ACTIVE, DEAD = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED
ACTIVITY, OPERATION = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED


async def asked(service: Service, connection_id: str, times: int = 1) -> None:
    async def is_asked() -> bool:
        return len(service.asked[connection_id]) == times

    await until(is_asked)


async def test_a_workflow_waits_by_one_operation(server: WorkflowEnvironment, api: Api, service: Service) -> None:
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, one, queue=queue)
        await asked(service, one)
        assert "Waiting for acme's Slack" in await details(handle)
        api.statuses[one] = ACTIVE
        await service.settle(one)
        assert await handle.result() == [f"synced {one}"] * 2
    assert await events(handle, OPERATION) == 1
    assert not api.asked


async def test_a_crowd_makes_one_operation(server: WorkflowEnvironment, api: Api, service: Service) -> None:
    one, other = new_id(), new_id()
    syncing = Syncing(api, endpoint=service.endpoint)
    api.statuses |= {one: DEAD, other: DEAD}
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Crowd.run, [one, other] * 25, queue=queue)
        await asked(service, other)

        async def ran(first: int, second: int) -> bool:
            return (syncing.runs[one], syncing.runs[other]) == (first, second)

        async def all_wait() -> bool:
            return await events(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED) == 50

        await until(all_wait)
        api.statuses[one] = ACTIVE
        await service.settle(one)
        await until(lambda: ran(50, 25))
        api.statuses[other] = ACTIVE
        await service.settle(other)
        assert await handle.result() == [f"synced {one}", f"synced {other}"] * 25
    assert await events(handle, OPERATION) == 2


async def test_more_dead_connections_than_nexus_takes(server: WorkflowEnvironment, api: Api, service: Service) -> None:
    many, syncing = [new_id() for _ in range(40)], Syncing(api, endpoint=service.endpoint)
    api.statuses |= dict.fromkeys(many, DEAD)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Crowd.run, many, queue=queue)

        async def all_asked() -> bool:
            return len(service.asked) + len(set(api.asked)) == 40

        await until(all_asked)
        assert len(service.asked) == 25
        assert "... and 20 more" in await details(handle)
        api.statuses |= dict.fromkeys(many, ACTIVE)
        for connection_id in service.asked:
            await service.settle(connection_id)
        assert len(await handle.result()) == 40
    assert await events(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED) == 0


async def test_a_connection_that_ends_is_waited_for_no_longer(
    server: WorkflowEnvironment, api: Api, service: Service
) -> None:
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, one, queue=queue)
        await asked(service, one)
        await service.settle(one, ConnectionStatus.DISCONNECTED)
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert "acme has to reconnect slack" in str(caught.value.cause.__cause__)
    assert syncing.runs[one] == 1


async def test_nobody_waits_for_what_is_not_there(server: WorkflowEnvironment, api: Api, service: Service) -> None:
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    service.unknown.add(one)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, one, queue=queue)
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert "acme has to reconnect slack" in str(caught.value.cause.__cause__)


async def test_what_nexus_does_not_reach_is_asked_of_the_api(
    server: WorkflowEnvironment, api: Api, service: Service
) -> None:
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    service.unknown.add(one)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, one, queue=queue)

        async def asked_of_the_api() -> bool:
            return bool(api.asked)

        await until(asked_of_the_api)
        api.statuses[one] = ACTIVE
        assert await handle.result() == [f"synced {one}"] * 2


async def test_a_question_that_a_codec_has_encrypted_is_asked_of_the_api(
    server: WorkflowEnvironment, api: Api, service: Service
) -> None:
    """Everlink has no key of the user's."""
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    converter = replace(DataConverter.default, payload_codec=Reversing())
    client = Client(**{**server.client.config(), "data_converter": converter})
    async with working(client, syncing) as queue:
        handle = await start(client, users.Sync.run, one, queue=queue)

        async def asked_of_the_api() -> bool:
            return bool(api.asked)

        await until(asked_of_the_api)
        api.statuses[one] = ACTIVE
        assert await handle.result() == [f"synced {one}"] * 2
    assert not service.asked[one]


class Reversing(PayloadCodec):
    """What encrypts does in a test."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": b"reversed"}, data=one.SerializeToString()[::-1]) for one in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload.FromString(one.data[::-1]) for one in payloads]


async def test_a_wait_that_is_lost_is_begun_again(
    server: WorkflowEnvironment, api: Api, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everlink.plugin.waits.FIRST_PAUSE", users.SECOND)
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, one, queue=queue)
        await asked(service, one)
        await service.settle(one, ConnectionStatus.PENDING)
        await asked(service, one, 2)
        api.statuses[one] = ACTIVE
        await service.settle(one)
        assert await handle.result() == [f"synced {one}"] * 2


async def test_an_operation_is_issued_anew_after_its_time(
    server: WorkflowEnvironment, api: Api, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everlink.plugin.asking.OPERATION_TIMEOUT", 6 * users.SECOND)
    monkeypatch.setattr("everlink.plugin.waits.FIRST_PAUSE", users.SECOND)
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, one, queue=queue)
        await asked(service, one, 2)
        api.statuses[one] = ACTIVE
        await service.settle(one)
        assert await handle.result() == [f"synced {one}"] * 2


async def test_who_stops_waiting_is_forgotten(server: WorkflowEnvironment, api: Api, service: Service) -> None:
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Catching.run, one, queue=queue)
        await asked(service, one)
        await handle.cancel()
        assert await handle.result() == "compensated, cancelled: True"

        async def forgotten() -> bool:
            return (await service.asked[one][0].describe()).status is WorkflowExecutionStatus.CANCELED

        await until(forgotten)


async def test_a_wait_is_cancelled_before_its_operation_has_started(
    server: WorkflowEnvironment, api: Api, service: Service
) -> None:
    """The SDK would no longer know the operation when it starts, and fail the workflow's tasks without end."""
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    service.open.clear()
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Several.run, one, 1, queue=queue)

        async def scheduled() -> bool:
            return await events(handle, OPERATION) == 1

        await until(scheduled)
        await handle.signal(users.Several.cancel, 0)

        async def waits_no_longer() -> bool:
            return await details(handle) == ""

        await until(waits_no_longer)
        service.open.set()

        async def forgotten() -> bool:
            return await events(handle, EventType.EVENT_TYPE_NEXUS_OPERATION_CANCELED) == 1

        await until(forgotten)
        await handle.signal(users.Several.finish)
        assert await handle.result() == ["cancelled: True"]
    assert await events(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED) == 0


async def test_nothing_is_said_when_workflows_that_wait_are_evicted(
    server: WorkflowEnvironment, api: Api, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """After each of their tasks: before the operation has started, while it runs, and while it is cancelled."""
    one, syncing = new_id(), Syncing(api, endpoint=service.endpoint)
    api.statuses[one] = DEAD
    with caplog.at_level(logging.WARNING):
        async with working(server.client, syncing, max_cached_workflows=0) as queue:
            waits = await start(server.client, users.Sync.run, one, queue=queue)
            await asked(service, one)
            cancelled = await start(server.client, users.Catching.run, one, queue=queue)
            await asked(service, one, 2)
            await cancelled.cancel()
            assert await cancelled.result() == "compensated, cancelled: True"
            api.statuses[one] = ACTIVE
            await service.asked[one][0].signal("settle", ACTIVE)
            assert await waits.result() == [f"synced {one}"] * 2
    assert not caplog.records
