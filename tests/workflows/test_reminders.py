"""An expiry that nobody answers is reminded of, as often as was set, and never once somebody has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from everlink.contract import (
    TASK_QUEUE,
    ApplicationDeleted,
    ConnectionState,
    ConnectionStatus,
    EventType,
    ReauthReason,
    Signal,
    Transition,
    Workflow,
    connection_workflow_id,
)
from tests.workflows.provider import Life, Provider, dead, living

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
async def life(skipping: WorkflowEnvironment) -> AsyncIterator[Life]:
    """A connection whose provider refuses its next refresh."""
    async with living(skipping.client, Provider(reminder_days=[1.0, 3.0, 7.0], refresh_answer=dead)) as life:
        yield life


async def expire(life: Life, server: WorkflowEnvironment) -> Transition:
    """Lets the connection expire; within the next two hours nothing else happens."""
    await life.connect()
    await server.sleep(HOUR)
    [expired] = [one for one in life.provider.transitions if one.event is EventType.EXPIRED]
    return expired


def reminders(life: Life) -> list[Transition]:
    return [one for one in life.provider.transitions if one.event is EventType.EXPIRED_REMINDER]


async def test_reminders_come_when_they_are_due_and_end(life: Life, skipping: WorkflowEnvironment) -> None:
    expired = await expire(life, skipping)
    due = expired.at + 3 * DAY
    await skipping.sleep(2 * DAY)
    assert f"reminder 2 of 3 due {due:%Y-%m-%d %H:%M:%S} UTC" in (await life.status()).waiting_for
    await skipping.sleep(30 * DAY)
    told = [(one.reminder.number, round((one.at - expired.at) / DAY)) for one in reminders(life) if one.reminder]
    assert told == [(1, 1), (2, 3), (3, 7)]
    for one in reminders(life):
        assert one.reminder is not None and (one.reminder.expired_at, one.reminder.total) == (expired.at, 3)
        assert one.status is one.previous_status is ConnectionStatus.REAUTH_REQUIRED
        assert one.reason is ReauthReason.ACCESS_REVOKED
    assert [one.sequence for one in life.provider.transitions] == [1, 2, 3, 4, 5]
    assert "reminder" not in (await life.status()).waiting_for


async def test_reconnect_stops_them_and_the_next_expiry_begins_anew(life: Life, skipping: WorkflowEnvironment) -> None:
    await expire(life, skipping)
    await skipping.sleep(2 * DAY)
    life.provider.refresh_answer = None
    await life.connect(generation=2)
    await skipping.sleep(10 * DAY)
    assert len(reminders(life)) == 1
    life.provider.refresh_answer = dead
    await skipping.sleep(2 * DAY)
    assert [one.reminder.number for one in reminders(life) if one.reminder] == [1, 1]


async def test_disconnecting_stops_them(life: Life, skipping: WorkflowEnvironment) -> None:
    await expire(life, skipping)
    await life.disconnect()
    await life.handle.result()
    await skipping.sleep(10 * DAY)
    assert reminders(life) == []


@pytest.mark.parametrize("first", ["expired", "deleted"])
async def test_nobody_is_reminded_of_an_application_that_was_deleted(
    life: Life, skipping: WorkflowEnvironment, first: str
) -> None:
    if first == "expired":
        await expire(life, skipping)
    else:
        await life.connect()
    await life.handle.signal(Signal.APPLICATION_DELETED, ApplicationDeleted(request_id="one"))
    await skipping.sleep(10 * DAY)
    assert reminders(life) == []
    assert (await life.status()).reason is ReauthReason.APPLICATION_DELETED


async def test_none_are_made_where_none_are_set(life: Life, skipping: WorkflowEnvironment) -> None:
    life.provider.reminder_days = []
    await expire(life, skipping)
    await skipping.sleep(10 * DAY)
    assert reminders(life) == []


async def reconnect_while_the_store_is_down(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.refresh_answer = None
    connecting = asyncio.create_task(life.connect(generation=2))
    while (await life.status()).status is not ConnectionStatus.ACTIVE:
        await asyncio.sleep(0.05)
    life.provider.store_is_down = False
    while not connecting.done():
        await server.sleep(timedelta(minutes=1))


async def test_reconnect_in_the_moment_of_a_reminder_comes_after_it(skipping: WorkflowEnvironment) -> None:
    provider = Provider(reminder_days=[1.0, 3.0], refresh_answer=dead)
    async with living(skipping.client, provider) as life:
        await expire(life, skipping)
        provider.store_is_down = True
        await skipping.sleep(DAY)  # the reminder is being recorded, and cannot be
        await reconnect_while_the_store_is_down(life, skipping)
        await skipping.sleep(5 * DAY)
        events = [EventType.CREATED, EventType.EXPIRED, EventType.EXPIRED_REMINDER, EventType.REAUTHENTICATED]
        assert provider.events == events


async def test_expiry_that_is_answered_before_it_is_recorded_is_not_reminded_of(
    skipping: WorkflowEnvironment,
) -> None:
    provider = Provider(reminder_days=[0.01, 3.0], refresh_answer=dead)
    async with living(skipping.client, provider) as life:
        await life.connect()
        provider.store_is_down = True
        await skipping.sleep(HOUR)
        await reconnect_while_the_store_is_down(life, skipping)
        await skipping.sleep(5 * DAY)
        assert provider.events == [EventType.CREATED, EventType.EXPIRED, EventType.REAUTHENTICATED]


async def test_next_run_goes_on_with_them(life: Life, skipping: WorkflowEnvironment) -> None:
    """The run is full in which the connection expired."""
    life.provider.refresh_answer = None
    await life.connect()
    first = (await life.handle.describe()).run_id
    while life.provider.refreshes < 23:
        await skipping.sleep(timedelta(minutes=10))
    life.provider.refresh_answer = dead
    await skipping.sleep(2 * HOUR)
    assert (await life.handle.describe()).run_id != first
    await skipping.sleep(10 * DAY)
    assert [one.reminder.number for one in reminders(life) if one.reminder] == [1, 2, 3]


@pytest.mark.parametrize(
    ("days_ago", "reminded", "told"),
    [(0.5, 0, [1, 2, 3]), (1.5, 1, [2, 3]), (5, 0, [2, 3]), (30, 2, [3]), (30, 3, [])],
)
async def test_workflow_that_was_lost_goes_on_with_those_that_are_left(
    life: Life, skipping: WorkflowEnvironment, days_ago: float, reminded: int, told: list[int]
) -> None:
    """What was due meanwhile is made up for, once."""
    state = ConnectionState(
        ref=life.ref,
        status=ConnectionStatus.REAUTH_REQUIRED,
        reason=ReauthReason.ACCESS_REVOKED,
        since=await skipping.get_current_time() - timedelta(days=days_ago),
        sequence=4,
        reminder_days=life.provider.reminder_days,
        reminded=reminded,
    )
    await skipping.client.start_workflow(
        Workflow.CONNECTION, state, id=connection_workflow_id(life.ref.connection_id), task_queue=TASK_QUEUE
    )
    await skipping.sleep(30 * DAY)
    assert [one.reminder.number for one in reminders(life) if one.reminder] == told
    assert [one.sequence for one in reminders(life)] == [*range(5, 5 + len(told))]
