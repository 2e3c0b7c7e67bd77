"""Workflows that wait for a connection, and what they are told."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from everlink.contract import (
    ConnectionStanding,
    ConnectionState,
    ConnectionStatus,
    CredentialRejected,
    ReauthReason,
    Signal,
    Waiter,
)
from tests.record_histories import FOLDER, die
from tests.servers import start_dev_server
from tests.workflows.provider import HOURLY, Life, dead, living, waiting_room, works
from workflows.waiters import MOST, TOLD_AT_ONCE

FAILED = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED


async def is_open(handle: WorkflowHandle[object, object]) -> bool:
    return (await handle.describe()).close_time is None


async def test_one_who_waits_is_told_how_the_connection_stands(life: Life, skipping: WorkflowEnvironment) -> None:
    await die(life, skipping)
    async with waiting_room(life.client):
        waits = await life.wait()
        await life.until_waited_for(1)
        await life.connect(generation=2)
        standing = await waits.result()
    assert isinstance(standing, ConnectionStanding)
    assert (standing.status, standing.generation, standing.application) == (ConnectionStatus.ACTIVE, 2, "sandbox")


async def test_crowd_is_told_in_groups(real_life: Life) -> None:
    life, crowd = real_life, TOLD_AT_ONCE + 20
    life.provider.refresh_answer = dead
    await life.connect()
    await life.refresh()
    async with waiting_room(life.client):
        waiting = await asyncio.gather(*(life.wait() for _ in range(crowd)))
        await life.until_waited_for(crowd)
        await life.connect(generation=2)
        told = await asyncio.wait_for(asyncio.gather(*(one.result() for one in waiting)), 60)
        assert {standing.status for standing in told} == {ConnectionStatus.ACTIVE}
        await life.until_waited_for(0)


async def test_telling_a_crowd_costs_by_its_size_alone(real_life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were each compared with each who was told, ten thousand would hold up a workflow task until it fails."""
    life, compared = real_life, 0

    def equals(one: Waiter, other: object) -> bool:
        nonlocal compared
        compared += 1
        return one is other

    monkeypatch.setattr(Waiter, "__eq__", equals)
    crowd = [Waiter(workflow_id=f"left/{number}") for number in range(3 * TOLD_AT_ONCE)]
    await life.connect(waiters=crowd)
    await life.until_waited_for(0)
    assert compared <= len(crowd)


async def test_those_who_give_up_are_forgotten(real_life: Life) -> None:
    """Some while they register: a signal that is on its way swallows the cancellation."""
    life = real_life
    life.provider.refresh_answer = dead
    await life.connect()
    await life.refresh()

    async def wait_and_give_up(seconds: float) -> None:
        waits = await life.wait()
        await asyncio.sleep(seconds)
        await waits.cancel()
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(waits.result(), 30)

    async with waiting_room(life.client):
        for number in range(5):
            await asyncio.gather(*(wait_and_give_up(0.004 * number) for _ in range(4)))
        await life.until_waited_for(0)


async def test_nobody_is_told_before_the_store_knows(real_life: Life) -> None:
    """Whoever is told asks for a token next."""
    life = real_life
    life.provider.refresh_answer = dead
    await life.connect()
    await life.refresh()
    async with waiting_room(life.client):
        waits = await life.wait()
        await life.until_waited_for(1)
        life.provider.store_is_down = True
        connecting = asyncio.create_task(life.connect(generation=2))
        async with asyncio.timeout(20):
            while (await life.status()).status is not ConnectionStatus.ACTIVE:
                await asyncio.sleep(0.05)
        assert await is_open(waits)
        life.provider.store_is_down = False
        await connecting
        assert (await asyncio.wait_for(waits.result(), 30)).generation == 2


async def test_suspicion_is_cleared_first(life: Life) -> None:
    """A report just before the wait: what is waited for is what comes of it."""
    life.provider.probe_answer = lambda task: works(task, HOURLY)
    await life.connect()
    async with waiting_room(life.client):
        await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="one"))
        assert (await (await life.wait()).result()).status is ConnectionStatus.ACTIVE
        assert life.provider.probes == 1
        life.provider.probe_answer = life.provider.refresh_answer = dead
        await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="two"))
        waits = await life.wait()
        await life.until_waited_for(1)
        async with asyncio.timeout(20):
            while (await life.status()).reason is not ReauthReason.ACCESS_REVOKED:
                await asyncio.sleep(0.05)
        assert await is_open(waits)


async def test_wait_for_what_has_ended_fails(life: Life) -> None:
    await life.connect()
    await life.disconnect()
    await life.handle.result()
    async with waiting_room(life.client):
        with pytest.raises(WorkflowFailureError) as caught:
            await (await life.wait()).result()
    assert isinstance(caught.value.cause, ApplicationError) and caught.value.cause.type == "Disconnected"


async def test_one_who_comes_while_the_workflow_is_missing_is_not_turned_away(life: Life) -> None:
    """Upkeep starts it again, or a reconnect does."""
    async with waiting_room(life.client):
        waits = await life.wait()
        async with asyncio.timeout(20):
            while FAILED not in [event.event_type async for event in waits.fetch_history_events()]:
                await asyncio.sleep(0.05)
        await life.connect()
        assert (await waits.result()).status is ConnectionStatus.ACTIVE


async def test_one_who_was_forgotten_registers_anew(life: Life, skipping: WorkflowEnvironment) -> None:
    """Whoever waits without a limit would wait for ever behind a terminated or a reset workflow."""
    await die(life, skipping)
    async with waiting_room(life.client):
        waits = await life.wait()
        await life.until_waited_for(1)
        await life.handle.terminate()
        life.provider.refresh_answer = None
        await life.connect(generation=2)
        assert (await asyncio.wait_for(waits.result(), 30)).status is ConnectionStatus.ACTIVE


async def test_those_whose_time_is_over_are_forgotten(life: Life, skipping: WorkflowEnvironment) -> None:
    await die(life, skipping)
    now = await skipping.get_current_time()
    for name in ("one", "one", "two"):
        waiter = Waiter(workflow_id=name, until=now + timedelta(hours=1))
        await life.handle.signal(Signal.AWAIT_ACTIVE, waiter)
    await life.until_waited_for(2)
    await skipping.sleep(timedelta(hours=2))
    await life.handle.signal(Signal.AWAIT_ACTIVE, Waiter(workflow_id="three"))
    await life.until_waited_for(1)


async def test_more_than_the_next_run_can_carry_are_not_taken(skipping: WorkflowEnvironment) -> None:
    """Else the connection itself could not go on."""
    async with living(skipping.client) as life:
        crowd = [Waiter(workflow_id=f"one/{number}") for number in range(MOST)]
        await life.begin(ConnectionState(ref=life.ref, status=ConnectionStatus.REAUTH_REQUIRED, waiters=crowd))
        await life.handle.signal(Signal.AWAIT_ACTIVE, Waiter(workflow_id="one too many"))
        await life.handle.signal(Signal.AWAIT_ACTIVE, Waiter(workflow_id="one/1"))  # is there, and stays
        await life.until_waited_for(MOST)
        await life.handle.signal(Signal.STOP_AWAITING, Waiter(workflow_id="one/2"))
        await life.handle.signal(Signal.AWAIT_ACTIVE, Waiter(workflow_id="one in place of another"))
        await life.until_waited_for(MOST)


async def test_run_that_hears_of_nothing_but_waiters_is_followed_by_a_new_one() -> None:
    """A history that only grows ends in the server's limit, and the connection with it."""
    short = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=60")
    async with await start_dev_server(*short) as server, living(server.client) as life:
        life.provider.refresh_answer = dead
        await life.connect()
        await life.refresh()
        first = (await life.handle.describe()).run_id
        for number in range(1, 31):
            await life.handle.signal(Signal.AWAIT_ACTIVE, Waiter(workflow_id=f"one/{number}"))
            await life.until_waited_for(number)
        async with asyncio.timeout(20):
            while (await life.handle.describe()).run_id == first:
                await asyncio.sleep(0.05)
        await life.until_waited_for(30)


def test_recorded_wait_outlived_its_run() -> None:
    """What the stored history is worth: the next run began with somebody waiting, and told them."""
    events = json.loads((FOLDER / "connection_waited_for_next_run.json").read_text())["events"]
    kinds = [event["eventType"] for event in events]
    assert "EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED" in kinds
    signalled = [event.get("workflowExecutionSignaledEventAttributes", {}).get("signalName") for event in events]
    assert Signal.AWAIT_ACTIVE not in signalled
