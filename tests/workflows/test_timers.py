"""Ends that are known ahead, idle windows, and when trouble is worth a word: a connection's clocks, in skipped time."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from temporalio.testing import WorkflowEnvironment

from everlink.contract import (
    ConnectionStatus,
    EventType,
    Health,
    Lifetimes,
    ReauthReason,
)
from tests.workflows.provider import HOURLY, KEY, Life, Provider, application_error, dead, living, ok, transient, works
from workflows import timing

DAY = timedelta(days=1).total_seconds()
NOTICES = (EventType.EXPIRING, EventType.EXPIRED)


def notices(life: Life) -> list[tuple[EventType | None, int]]:
    """What was announced of an end, with whole days since the connection began."""
    began = life.provider.transitions[0].at
    return [
        (one.event, round((one.at - began) / timedelta(days=1)))
        for one in life.provider.transitions
        if one.event in NOTICES
    ]


@pytest.mark.parametrize(
    ("days", "announced"),
    [(60, [30, 53, 59]), (30, [23, 29]), (10, [3, 9]), (2, [1]), (1, []), (0.5, [])],
)
async def test_end_of_a_key_is_announced_ahead_as_far_as_its_life_allows(
    skipping: WorkflowEnvironment, days: float, announced: list[int]
) -> None:
    lifetimes = KEY.model_copy(update={"ends_in": days * DAY})
    provider = Provider(lifetimes=KEY, probe_answer=lambda task: works(task, KEY))
    async with living(skipping.client, provider) as life:
        await life.connect(lifetimes=lifetimes)
        await skipping.sleep(timedelta(days=days, hours=-1))
        assert notices(life) == [(EventType.EXPIRING, day) for day in announced]
        assert all(one.ends_at is not None for one in provider.transitions if one.event is EventType.EXPIRING)


async def test_key_is_looked_at_when_its_end_has_come(skipping: WorkflowEnvironment) -> None:
    provider = Provider(lifetimes=KEY, probe_answer=lambda task: works(task, KEY))
    async with living(skipping.client, provider) as life:
        await life.connect(lifetimes=KEY.model_copy(update={"ends_in": 2.3 * DAY}))
        await skipping.sleep(timedelta(days=2.25))
        provider.probe_answer = lambda task: dead(task, ReauthReason.CREDENTIALS_INVALID)
        await skipping.sleep(timedelta(days=0.1))
        assert (await life.status()).reason is ReauthReason.CREDENTIALS_INVALID


async def test_reconnect_takes_the_notices_of_the_old_grant_back(skipping: WorkflowEnvironment) -> None:
    provider = Provider(lifetimes=KEY, probe_answer=lambda task: works(task, KEY))
    async with living(skipping.client, provider) as life:
        await life.connect(lifetimes=KEY.model_copy(update={"ends_in": 10 * DAY}))
        await skipping.sleep(timedelta(days=4))
        await life.connect(generation=2, lifetimes=KEY.model_copy(update={"ends_in": 40 * DAY}))
        await skipping.sleep(timedelta(days=9))
        assert notices(life) == [(EventType.EXPIRING, 3)]
        await skipping.sleep(timedelta(days=2))
        assert notices(life) == [(EventType.EXPIRING, 3), (EventType.EXPIRING, 14)]
        await life.connect(generation=3, lifetimes=KEY)  # without an end
        await skipping.sleep(timedelta(days=60))
        assert len(notices(life)) == 2


async def test_end_that_every_refresh_moves_is_not_announced(skipping: WorkflowEnvironment) -> None:
    sliding = HOURLY.model_copy(update={"ends_in": 31 * DAY})
    async with living(skipping.client, Provider(lifetimes=sliding)) as life:
        await life.connect()
        await skipping.sleep(timedelta(days=5))
        assert life.provider.events == [EventType.CREATED]
        life.provider.refresh_answer = lambda task: ok(task, HOURLY.model_copy(update={"ends_in": None}))
        await skipping.sleep(timedelta(days=5))
        assert life.provider.events == [EventType.CREATED, EventType.EXPIRING]  # it stands still now


async def test_refused_after_its_known_end_the_grant_has_expired(skipping: WorkflowEnvironment) -> None:
    async with living(skipping.client, Provider(lifetimes=HOURLY)) as life:
        await life.connect(lifetimes=HOURLY.model_copy(update={"ends_in": 0.5 * DAY}))
        await skipping.sleep(timedelta(hours=11))
        life.provider.refresh_answer = transient
        await skipping.sleep(timedelta(hours=2))
        life.provider.refresh_answer = dead
        await skipping.sleep(timedelta(hours=2))
        assert (await life.status()).reason is ReauthReason.REFRESH_TOKEN_EXPIRED


async def test_idle_window_is_never_let_pass(skipping: WorkflowEnvironment) -> None:
    """A token that does not expire, whose refresh token dies when it lies idle for two hours."""
    lifetimes = Lifetimes(renewable=True, idle_window=7200.0)
    async with living(skipping.client, Provider(lifetimes=lifetimes)) as life:
        await life.connect()
        await skipping.sleep(timedelta(days=1))
        assert 16 <= life.provider.refreshes <= 24 and life.provider.probes == 0


def test_refresh_token_that_ends_before_the_access_token_is_used_in_time() -> None:
    for ends_in in (120.0, 1800.0, 7200.0):
        lifetimes = Lifetimes(expires_in=86400.0, renewable=True, ends_in=ends_in)
        assert timing.seconds_until_due(lifetimes, Random(1)) <= ends_in * 0.8
    # An end that nothing moves is not run at faster and faster.
    almost = Lifetimes(expires_in=3600.0, renewable=True, ends_in=3.0)
    assert timing.seconds_until_due(almost, Random(1)) == 60.0


async def test_trouble_is_announced_when_it_lasts_and_once(skipping: WorkflowEnvironment) -> None:
    daily = Lifetimes(expires_in=DAY, renewable=True)
    async with living(skipping.client, Provider(lifetimes=daily)) as life:
        await life.connect()
        await skipping.sleep(timedelta(hours=23, minutes=20))  # before the refresh
        life.provider.refresh_answer = transient
        await skipping.sleep(timedelta(minutes=25))  # the refresh is due, and fails for less than ten minutes
        status = await life.status()
        while status.last_failure is None:
            await skipping.sleep(timedelta(minutes=1))
            status = await life.status()
        assert status.health is Health.OK
        await skipping.sleep(timedelta(minutes=20))
        assert (await life.status()).health is Health.DEGRADED
        life.provider.refresh_answer = None
        await skipping.sleep(timedelta(hours=1))
        assert life.provider.events == [EventType.CREATED, EventType.DEGRADED, EventType.RECOVERED]


async def test_provider_that_comes_and_goes_is_announced_once(skipping: WorkflowEnvironment) -> None:
    short = Lifetimes(expires_in=600.0, renewable=True)
    async with living(skipping.client, Provider(lifetimes=short)) as life:
        await life.connect()
        for _ in range(6):  # twenty minutes away, twenty minutes there
            life.provider.refresh_answer = transient
            await skipping.sleep(timedelta(minutes=20))
            life.provider.refresh_answer = None
            await skipping.sleep(timedelta(minutes=20))
        assert life.provider.events.count(EventType.DEGRADED) == life.provider.events.count(EventType.RECOVERED) == 1
        life.provider.refresh_answer = transient
        await skipping.sleep(timedelta(hours=3))
        assert life.provider.events.count(EventType.DEGRADED) == 2  # this one lasts


async def test_expired_token_that_cannot_be_refreshed_is_announced_at_once(skipping: WorkflowEnvironment) -> None:
    short = Lifetimes(expires_in=120.0, renewable=True)
    async with living(skipping.client, Provider(lifetimes=short, refresh_answer=transient)) as life:
        await life.connect()
        await skipping.sleep(timedelta(minutes=6))
        assert (await life.status()).health is Health.DEGRADED


async def test_corrected_client_is_found_within_a_quarter_of_an_hour(skipping: WorkflowEnvironment) -> None:
    async with living(skipping.client, Provider(refresh_answer=application_error)) as life:
        await life.connect()
        await skipping.sleep(timedelta(hours=20))
        view = await life.status()
        assert (view.status, view.health) == (ConnectionStatus.ACTIVE, Health.OK)
        life.provider.refresh_answer = None
        await skipping.sleep(timedelta(minutes=19))
        assert (await life.status()).generation == 2 and life.provider.events == [EventType.CREATED]
