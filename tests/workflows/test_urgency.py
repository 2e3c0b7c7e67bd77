"""What goes before what: forced refreshes, the provider's wish to be left alone, our own limits, late answers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.testing import WorkflowEnvironment

from everlink.contract import (
    ConnectionStatus,
    CredentialOutcome,
    CredentialTask,
    EventType,
    LateSuccess,
    ReauthReason,
    Signal,
    Verdict,
)
from tests.workflows.provider import HOURLY, Life, dead, ok, transient, unsupported, works


async def test_forced_refresh_that_fails_answers_after_one_try_however_often(real_life: Life) -> None:
    life = real_life
    await life.connect()
    life.provider.refresh_answer = transient
    for _ in range(3):  # a round of further tries is under way each time
        began = life.provider.refreshes
        assert (await life.refresh()).last_verdict is Verdict.TRANSIENT
        assert life.provider.refreshes <= began + 3


async def test_forced_refresh_goes_before_a_routine_round(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = lambda task: transient(task)
    before = await life.status()
    assert before.next_at is not None
    await skipping.sleep(before.next_at - await skipping.get_current_time() + timedelta(seconds=10))
    tried = life.provider.refreshes
    assert 1 <= tried < 6  # the round's tries are still to come
    life.provider.refresh_answer = None
    view = await life.refresh()
    assert (view.generation, view.last_verdict) == (2, Verdict.OK)
    assert life.provider.refreshes == tried + 1


async def test_provider_that_names_a_time_is_not_asked_before(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = lambda task: transient(task, retry_after=1800.0)
    await skipping.sleep(timedelta(hours=1))
    asked = life.provider.refreshes
    assert asked == 1
    life.provider.refresh_answer = None
    await skipping.sleep(timedelta(minutes=40))
    assert (life.provider.refreshes, (await life.status()).generation) == (2, 2)


async def test_crowd_ahead_is_no_failure_and_the_turn_comes(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    crowds = 12  # the local try, two rounds of five, and one more

    def answer(task: CredentialTask) -> CredentialOutcome:
        nonlocal crowds
        crowds -= 1
        return transient(task, retry_after=10.0, deferred=True) if crowds >= 0 else ok(task, HOURLY)

    life.provider.refresh_answer = answer
    await skipping.sleep(timedelta(minutes=55))
    view = await life.status()
    assert (view.generation, life.provider.events) == (2, [EventType.CREATED])


async def test_forced_refresh_behind_a_crowd_waits_for_its_turn(life: Life) -> None:
    await life.connect()
    crowds = iter([True, True])
    life.provider.refresh_answer = lambda task: (
        transient(task, retry_after=1.0, deferred=True) if next(crowds, False) else ok(task, HOURLY)
    )
    view = await life.refresh()
    assert (view.generation, view.last_verdict) == (2, Verdict.OK)


async def expired(life: Life, skipping: WorkflowEnvironment) -> None:
    """Declared dead after a refresh that nobody heard of again."""
    await life.connect()
    life.provider.refresh_answer = lambda task: dead(task, ReauthReason.REFRESH_OUTCOME_UNKNOWN)
    await skipping.sleep(timedelta(hours=1))
    assert (await life.status()).status is ConnectionStatus.REAUTH_REQUIRED


async def test_late_success_that_the_provider_accepts_makes_it_active(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await expired(life, skipping)

    def answer(task: CredentialTask) -> CredentialOutcome:
        if task.generation == 1:
            return ok(task, HOURLY).model_copy(update={"verdict": Verdict.SUPERSEDED})
        return works(task, HOURLY)

    life.provider.probe_answer = answer
    await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=2))
    await skipping.sleep(timedelta(seconds=10))
    view = await life.status()
    assert (view.status, view.generation, view.reason) == (ConnectionStatus.ACTIVE, 2, None)
    assert life.provider.events[-2:] == [EventType.EXPIRED, EventType.REAUTHENTICATED]


async def test_late_success_that_the_provider_refuses_changes_nothing(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await expired(life, skipping)

    def answer(task: CredentialTask) -> CredentialOutcome:
        if task.generation == 1:
            return ok(task, HOURLY).model_copy(update={"verdict": Verdict.SUPERSEDED})
        return dead(task)

    life.provider.probe_answer = life.provider.refresh_answer = answer
    await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=2))
    await skipping.sleep(timedelta(days=2))
    view = await life.status()
    assert (view.status, view.reason) == (ConnectionStatus.REAUTH_REQUIRED, ReauthReason.REFRESH_OUTCOME_UNKNOWN)
    assert life.provider.events.count(EventType.EXPIRED) == 1
    asked = life.provider.refreshes
    await skipping.sleep(timedelta(days=30))
    assert life.provider.refreshes == asked


async def test_late_success_is_verified_although_the_provider_is_away_at_first(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await expired(life, skipping)
    life.provider.refresh_answer = transient
    life.provider.probe_answer = lambda task: (
        ok(task, HOURLY).model_copy(update={"verdict": Verdict.SUPERSEDED}) if task.generation == 1 else transient(task)
    )
    await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=2))
    await skipping.sleep(timedelta(hours=3))
    assert (await life.status()).status is ConnectionStatus.REAUTH_REQUIRED
    life.provider.probe_answer = lambda task: works(task, HOURLY)
    life.provider.refresh_answer = None
    await skipping.sleep(timedelta(hours=2))
    assert (await life.status()).status is ConnectionStatus.ACTIVE


async def test_late_success_of_an_application_without_a_probe_is_verified_by_a_refresh(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await expired(life, skipping)
    life.provider.probe_answer = unsupported
    life.provider.refresh_answer = lambda task: ok(task, HOURLY).model_copy(
        update={"verdict": Verdict.SUPERSEDED if task.generation == 1 else Verdict.OK}
    )
    await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=2))
    await skipping.sleep(timedelta(seconds=10))
    view = await life.status()
    assert (view.status, view.generation) == (ConnectionStatus.ACTIVE, 3)


async def test_late_success_of_an_active_connection_is_taken_over(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.probe_answer = lambda task: ok(task, HOURLY).model_copy(update={"verdict": Verdict.SUPERSEDED})
    for generation in (1, 2, 2):  # what is known already is nothing
        await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=generation))
    await skipping.sleep(timedelta(seconds=10))
    assert ((await life.status()).generation, life.provider.probes) == (2, 1)
    assert life.provider.events == [EventType.CREATED]


async def test_crowd_of_forced_refreshes_during_an_outage_is_answered(real_life: Life) -> None:
    life = real_life
    await life.connect()
    life.provider.refresh_answer = transient
    views = await asyncio.gather(*(life.refresh() for _ in range(8)))
    assert {view.last_verdict for view in views} == {Verdict.TRANSIENT}
