"""A connection's life in skipped time: what moves it from state to state, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from everlink.contract import (
    TASK_QUEUE,
    ConnectionState,
    ConnectionStatus,
    CredentialOutcome,
    CredentialRejected,
    CredentialTask,
    EventType,
    Health,
    Lifetimes,
    ProviderEvent,
    ProviderEventKind,
    ReauthReason,
    Signal,
    Verdict,
    Workflow,
)
from tests.workflows.provider import (
    HOURLY,
    KEY,
    Life,
    Provider,
    application_error,
    dead,
    living,
    ok,
    transient,
    unsupported,
    works,
)


async def test_first_connect_makes_it_active_and_announces_it(life: Life) -> None:
    view = await life.connect()
    assert (view.status, view.health, view.generation) == (ConnectionStatus.ACTIVE, Health.OK, 1)
    assert life.provider.events == [EventType.CREATED]


async def test_refresh_comes_before_expiry_by_margin_and_jitter(life: Life, skipping: WorkflowEnvironment) -> None:
    view = await life.connect()
    assert view.next_at is not None and view.expires_at is not None
    early = (view.expires_at - view.next_at).total_seconds()
    assert 900 <= early <= 900 + 360  # a quarter of an hour, and at most a tenth of the life of jitter
    await skipping.sleep(timedelta(seconds=3600 - early + 5))
    assert (await life.status()).generation == 2


async def test_connect_twice_with_one_generation_changes_nothing(life: Life) -> None:
    await life.connect()
    again = await life.connect()
    assert again.sequence == 1 and life.provider.events == [EventType.CREATED]


async def test_dead_grant_asks_the_customer_and_sleeps(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = dead
    await skipping.sleep(timedelta(hours=2))
    view = await life.status()
    assert (view.status, view.reason) == (ConnectionStatus.REAUTH_REQUIRED, ReauthReason.ACCESS_REVOKED)
    assert life.provider.events == [EventType.CREATED, EventType.EXPIRED]
    asked = life.provider.refreshes
    await skipping.sleep(timedelta(days=30))
    assert life.provider.refreshes == asked  # a dead grant is left alone
    assert "the customer to reconnect (access was revoked at the provider)" in (await life.status()).waiting_for


async def test_reconnect_makes_it_active_under_the_same_id(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = dead
    await skipping.sleep(timedelta(hours=2))
    life.provider.refresh_answer = None
    view = await life.connect(generation=2)
    assert (view.status, view.reason, view.generation) == (ConnectionStatus.ACTIVE, None, 2)
    assert life.provider.events[-1] is EventType.REAUTHENTICATED


async def test_provider_down_for_a_day_expires_nothing(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = transient
    await skipping.sleep(timedelta(days=1))
    view = await life.status()
    assert (view.status, view.health) == (ConnectionStatus.ACTIVE, Health.DEGRADED)
    assert view.last_failure == "HTTP 503" and "failed rounds" in view.waiting_for
    assert life.provider.refreshes < 200  # it is not hammered
    life.provider.refresh_answer = None
    await skipping.sleep(timedelta(hours=2))
    view = await life.status()
    assert (view.status, view.health, view.last_failure) == (ConnectionStatus.ACTIVE, Health.OK, None)
    assert life.provider.events == [EventType.CREATED, EventType.DEGRADED, EventType.RECOVERED]


async def test_short_trouble_is_not_announced(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    answers = [transient, transient]
    life.provider.refresh_answer = lambda task: answers.pop()(task) if answers else ok(task, HOURLY)
    await skipping.sleep(timedelta(hours=1))
    assert (await life.status()).generation >= 2
    assert life.provider.events == [EventType.CREATED]


async def test_refresh_that_crashes_is_tried_again_and_never_ends_the_connection(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await life.connect()
    crashes = [RuntimeError("the database cannot be reached")] * 3  # the local try, then normal ones

    def crash(task: CredentialTask) -> CredentialOutcome:
        if crashes:
            raise crashes.pop()
        return ok(task, HOURLY)

    life.provider.refresh_answer = crash
    await skipping.sleep(timedelta(hours=1))
    view = await life.status()
    assert (view.status, view.generation, view.health) == (ConnectionStatus.ACTIVE, 2, Health.OK)
    assert not crashes and life.provider.events == [EventType.CREATED]


async def test_application_error_flags_no_connection(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = application_error
    await skipping.sleep(timedelta(hours=6))
    view = await life.status()
    assert (view.status, view.health, view.last_failure) == (ConnectionStatus.ACTIVE, Health.OK, "invalid client")
    life.provider.refresh_answer = None
    await skipping.sleep(timedelta(hours=2))
    assert (await life.status()).last_failure is None and life.provider.events == [EventType.CREATED]


async def test_key_is_probed_daily_and_found_dead(skipping: WorkflowEnvironment) -> None:
    async with living(skipping.client, Provider(lifetimes=KEY)) as life:
        await life.connect()
        await skipping.sleep(timedelta(days=7))
        assert 6 <= life.provider.probes <= 8 and life.provider.refreshes == 0
        life.provider.probe_answer = lambda task: dead(task, ReauthReason.CREDENTIALS_INVALID)
        await skipping.sleep(timedelta(days=2))
        assert (await life.status()).reason is ReauthReason.CREDENTIALS_INVALID


async def test_forced_refreshes_that_arrive_together_share_one(life: Life) -> None:
    await life.connect()
    life.provider.gate = asyncio.Event()
    crowd = [asyncio.create_task(life.refresh()) for _ in range(8)]
    await _until(lambda: life.provider.refreshes == 1)
    await asyncio.sleep(0.2)
    life.provider.gate.set()
    views = await asyncio.gather(*crowd)
    assert {view.generation for view in views} == {2} and life.provider.refreshes == 1
    assert views[0].last_verdict is Verdict.OK


async def test_refresh_that_somebody_else_got_first_is_not_repeated(life: Life) -> None:
    await life.connect()
    await life.refresh(newer_than=1)
    view = await life.refresh(newer_than=1)
    assert view.generation == 2 and life.provider.refreshes == 1


async def test_suspicion_is_verified_before_it_is_believed(life: Life) -> None:
    await life.connect()
    life.provider.probe_answer = lambda task: works(task, HOURLY)
    await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="one", generation=1))
    await _until(lambda: life.provider.probes == 1)
    assert (await life.status()).status is ConnectionStatus.ACTIVE and life.provider.refreshes == 0


async def test_who_reports_and_then_asks_has_the_credential_verified_once(real_life: Life) -> None:
    life = real_life
    await life.connect()
    async with life.asked_of_a_report() as asking:
        pass
    assert (await asking).last_verdict is Verdict.OK
    await life.disconnect()  # behind whatever else was due
    assert (life.provider.probes, life.provider.refreshes) == (1, 0)


async def test_report_that_comes_while_an_answer_is_on_its_way_is_verified_after_it(real_life: Life) -> None:
    life = real_life
    await life.connect()
    async with life.asked_of_a_report() as asking:
        life.provider.probe_answer = life.provider.refresh_answer = dead
        await life.report()
    view = await asking
    assert (view.status, view.last_verdict) == (ConnectionStatus.REAUTH_REQUIRED, Verdict.DEAD)
    assert life.provider.probes == 2


async def test_dead_access_token_is_not_a_dead_grant(life: Life) -> None:
    await life.connect()
    life.provider.probe_answer = dead
    await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="one"))
    await _until(lambda: life.provider.refreshes == 1)
    view = await life.status()
    assert (view.status, view.generation) == (ConnectionStatus.ACTIVE, 2)


async def test_signal_of_an_older_generation_or_sent_twice_does_nothing(life: Life) -> None:
    await life.connect()
    await life.refresh()
    await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="old", generation=1))
    for _ in range(3):
        await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="same", generation=2))
    await _until(lambda: life.provider.probes == 1)
    await life.refresh(newer_than=2)
    assert life.provider.probes == 1


async def test_provider_event_flags_unless_it_is_older_than_the_grant(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await life.connect()
    connected_at = await skipping.get_current_time()
    uninstalled = ProviderEvent(
        request_id=uuid4().hex, kind=ProviderEventKind.UNINSTALLED, occurred_at=connected_at - timedelta(minutes=5)
    )
    await life.tell(uninstalled)
    assert (await life.status()).status is ConnectionStatus.ACTIVE
    await life.tell(
        uninstalled.model_copy(update={"request_id": "b", "occurred_at": connected_at + timedelta(seconds=1)})
    )
    assert (await life.status()).reason is ReauthReason.APP_UNINSTALLED


async def test_event_shortly_before_the_grant_is_verified_for_clocks_differ(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    since = (await life.connect()).since
    assert since is not None
    just_before = since - timedelta(seconds=2)
    life.provider.probe_answer = lambda task: works(task, HOURLY)
    await life.tell(ProviderEvent(request_id="a", kind=ProviderEventKind.REVOKED, occurred_at=just_before))
    await _until(lambda: life.provider.probes == 1)
    assert (await life.status()).status is ConnectionStatus.ACTIVE
    life.provider.probe_answer = life.provider.refresh_answer = dead
    await life.tell(ProviderEvent(request_id="b", kind=ProviderEventKind.REVOKED, occurred_at=just_before))
    await _until(lambda: life.provider.probes == 2)
    assert (await life.refresh()).status is ConnectionStatus.REAUTH_REQUIRED


async def test_reconnect_during_a_refresh_keeps_its_own_grant(real_life: Life) -> None:
    life = real_life
    await life.connect()
    life.provider.refresh_answer = transient  # a round is under way, backing off
    refresh = asyncio.create_task(life.refresh())
    await _until(lambda: life.provider.refreshes >= 2)
    view = await life.connect(generation=2)
    await refresh
    assert (view.status, view.generation) == (ConnectionStatus.ACTIVE, 2)
    assert (await life.status()).health is Health.OK


async def test_result_of_a_refresh_that_a_reconnect_overtook_is_not_applied(life: Life) -> None:
    await life.connect()
    life.provider.gate = asyncio.Event()
    refresh = asyncio.create_task(life.refresh())
    await _until(lambda: life.provider.refreshes == 1)
    reconnect = asyncio.create_task(life.connect(generation=5))
    await asyncio.sleep(0.2)
    life.provider.gate.set()
    await refresh
    view = await reconnect
    assert (view.status, view.generation) == (ConnectionStatus.ACTIVE, 5)


async def test_disconnect_records_revokes_and_purges_in_this_order(life: Life) -> None:
    await life.connect()
    view = await life.disconnect()
    assert view.status is ConnectionStatus.DISCONNECTED
    await life.handle.result()
    assert life.provider.calls == ["revoked 1", "purged"]
    assert life.provider.events == [EventType.CREATED, EventType.DELETED]
    assert life.provider.transitions[-1].note == "revoked at the provider"


async def test_disconnected_connection_takes_no_message(life: Life) -> None:
    await life.connect()
    life.provider.store_is_down = True  # so that the end is still being recorded
    ending = asyncio.create_task(life.disconnect())
    await asyncio.sleep(0.3)
    with pytest.raises(WorkflowUpdateFailedError):
        await life.connect(generation=2)
    life.provider.store_is_down = False
    await ending
    await life.handle.result()


async def test_store_down_delays_a_transition_but_loses_none(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.store_is_down = True
    life.provider.refresh_answer = dead
    await skipping.sleep(timedelta(hours=3))
    assert (await life.status()).status is ConnectionStatus.REAUTH_REQUIRED
    assert life.provider.events == [EventType.CREATED]
    life.provider.store_is_down = False
    await skipping.sleep(timedelta(minutes=5))
    assert life.provider.events == [EventType.CREATED, EventType.EXPIRED]


async def test_credential_that_could_not_be_stored_is_stored_later(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.store_is_down = True
    life.provider.refresh_answer = lambda task: ok(task, HOURLY).model_copy(update={"sealed": "Y2lwaGVy"})
    refresh = asyncio.create_task(life.refresh())
    await _until(lambda: life.provider.refreshes == 1)
    life.provider.refresh_answer = None
    life.provider.store_is_down = False
    assert (await refresh).generation == 2
    assert life.provider.calls == ["stored Y2lwaGVy over 1"]


async def test_access_token_without_refresh_token_ends_at_its_expiry(skipping: WorkflowEnvironment) -> None:
    lifetimes = Lifetimes(expires_in=3600.0, renewable=False)
    provider = Provider(lifetimes=lifetimes, probe_answer=dead)
    async with living(skipping.client, provider) as life:
        await life.connect()
        await skipping.sleep(timedelta(minutes=59))
        assert (await life.status()).status is ConnectionStatus.ACTIVE
        await skipping.sleep(timedelta(minutes=2))
        assert (await life.status()).status is ConnectionStatus.REAUTH_REQUIRED


async def test_expiry_is_believed_where_nobody_can_be_asked(skipping: WorkflowEnvironment) -> None:
    provider = Provider(lifetimes=Lifetimes(expires_in=3600.0, renewable=False), probe_answer=unsupported)
    async with living(skipping.client, provider) as life:
        await life.connect()
        await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="one"))
        await _until(lambda: provider.probes == 1)
        assert (await life.status()).status is ConnectionStatus.ACTIVE
        await skipping.sleep(timedelta(hours=2))
        assert (await life.status()).reason is ReauthReason.REFRESH_TOKEN_EXPIRED


async def test_newer_credential_in_the_vault_ends_the_trouble(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = transient
    await skipping.sleep(timedelta(hours=2))
    assert (await life.status()).health is Health.DEGRADED
    life.provider.refresh_answer = lambda task: ok(task, HOURLY).model_copy(update={"verdict": Verdict.SUPERSEDED})
    await skipping.sleep(timedelta(hours=2))
    assert life.provider.events[-1] is EventType.RECOVERED


async def test_workflow_that_nobody_connected_ends_by_itself(skipping: WorkflowEnvironment) -> None:
    async with living(skipping.client) as life:
        handle = await skipping.client.start_workflow(
            Workflow.CONNECTION, ConnectionState(ref=life.ref), id=life.handle.id, task_queue=TASK_QUEUE
        )
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED  # which lets the id live later


@pytest.mark.long
@pytest.mark.timeout(600)  # 12,500 refreshes: a minute and a half alone, and more beside other tests
async def test_year_of_hourly_refreshes_loses_nothing(skipping: WorkflowEnvironment) -> None:
    async with living(skipping.client) as life:
        await life.connect()
        for _ in range(73):  # one call would take longer than a call may
            await skipping.sleep(timedelta(days=5))
        view = await life.status()
        hours_each = (0.65, 0.75)  # a refresh comes a quarter of an hour and up to six minutes early
        assert 365 * 24 / hours_each[1] - 10 <= view.refreshes <= 365 * 24 / hours_each[0] + 10
        assert view.refreshes == life.provider.refreshes == view.generation - 1
        assert (view.status, view.sequence) == (ConnectionStatus.ACTIVE, 1)
        description = await life.handle.describe()
        assert description.history_length < 24 * 12  # continued as new, over and over


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)
