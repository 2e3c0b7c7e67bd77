"""One customer's connection: a workflow that lives as long as the connection does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, FailureError

with workflow.unsafe.imports_passed_through():
    from everlink.contract import (
        TRANSIENT,
        Activity,
        ApplicationDeleted,
        ConnectCommand,
        ConnectionState,
        ConnectionStatus,
        ConnectionView,
        CredentialOutcome,
        CredentialRejected,
        CredentialTask,
        DisconnectCommand,
        LateSuccess,
        ProviderEvent,
        Query,
        Recorded,
        RefreshCommand,
        Signal,
        StoreSealedTask,
        TransientFailure,
        TransitionTask,
        Update,
        Verdict,
        Waiter,
        Workflow,
    )
    from workflows import options, page
    from workflows.life import MEANWHILE, Life
    from workflows.waiters import Waiters

REFRESHES_PER_RUN = 24  # long histories cost storage for years
PENDING_TIMEOUT = timedelta(minutes=10)


@workflow.defn(name=Workflow.CONNECTION)
class ConnectionWorkflow:
    """Sleeps until the credential is due, refreshes or probes it, and says so when only the customer can help.

    Handlers only change the state; the loop in `run` acts on what the state says. The input is the state
    that continue-as-new carries.
    """

    @workflow.init
    def __init__(self, state: ConnectionState) -> None:
        self._life = Life(state)
        self._state = state
        self._waiters = Waiters(self._life)
        self._wanted = -1  # somebody waits for a generation above this one
        self._tries = 0  # finished tries, which the waiting `refresh` updates count
        self._last_verdict: Verdict | None = None
        self._refreshes_in_run = 0

    @workflow.run
    async def run(self, _: ConnectionState) -> None:
        self._life.show()
        answering = asyncio.create_task(self._waiters.answer())
        while not self._life.is_over:
            if self._state.unrecorded:
                await self._record()
            elif self._is_due():
                if self._is_full_of_reports():
                    self._continue_as_new()
                await self._check()
            elif self._is_notice_due():
                self._life.announce_end()
            elif self._is_reminder_due():
                self._life.remind()
            elif self._is_abandoned():
                # A failure, so that the id may live later: what completes is a connection that has ended.
                raise ApplicationError("nobody finished connecting", type="Abandoned", non_retryable=True)
            elif self._is_run_full():
                await workflow.wait_condition(lambda: self._is_quiet() or self._has_work())
                if not self._has_work():
                    self._continue_as_new()
            else:
                await self._sleep()
        await self._end()
        await workflow.wait_condition(self._is_quiet)
        answering.cancel()

    # Messages

    @workflow.update(name=Update.CONNECT)
    async def connect(self, command: ConnectCommand) -> ConnectionView:
        """A customer gave a grant: the first, or a new one on reconnect. Idempotent by generation."""
        if command.generation > self._state.grant_generation:
            self._life.begin_grant(command)
            if 0 <= self._wanted < self._state.generation and workflow.patched("answered-by-a-grant"):
                self._wanted, self._tries = -1, self._tries + 1  # whoever waits for a newer one has it
        await workflow.wait_condition(lambda: not self._state.unrecorded)
        return self._view()

    @connect.validator
    def _may_connect(self, command: ConnectCommand) -> None:
        self._refuse_if_disconnected()

    @workflow.update(name=Update.REFRESH)
    async def refresh(self, command: RefreshCommand) -> ConnectionView:
        """Refresh now. Callers that arrive together share one refresh; answers after its first try."""
        if self._state.generation <= command.newer_than:
            self._wanted = max(self._wanted, command.newer_than)
            enough = self._tries + 1
            await workflow.wait_condition(
                lambda: self._tries >= enough or self._life.is_over or not self._life.has_application
            )
        await workflow.wait_condition(lambda: not self._state.unrecorded)  # whoever reads the store then, sees it
        return self._view()

    @refresh.validator
    def _may_refresh(self, command: RefreshCommand) -> None:
        self._refuse_if_disconnected()
        if self._state.status is ConnectionStatus.PENDING:
            raise ApplicationError("nothing is connected yet", type="Pending", non_retryable=True)

    @workflow.update(name=Update.DISCONNECT)
    async def disconnect(self, command: DisconnectCommand) -> ConnectionView:
        """End the connection. Answers when the end is recorded; revoking upstream and purging follow."""
        self._life.end(uninstall=command.uninstall)
        await workflow.wait_condition(lambda: not self._state.unrecorded)
        return self._view()

    @workflow.signal(name=Signal.CREDENTIAL_REJECTED)
    def credential_rejected(self, message: CredentialRejected) -> None:
        """A product saw a refusal."""
        self._life.rejected(message)

    @workflow.signal(name=Signal.LATE_SUCCESS)
    def late_success(self, message: LateSuccess) -> None:
        """A refresh came back after its lease, and was stored."""
        self._life.came_late(message)

    @workflow.signal(name=Signal.PROVIDER_EVENT)
    def provider_event(self, message: ProviderEvent) -> None:
        """The provider says that the grant is gone."""
        self._life.announced(message)

    @workflow.signal(name=Signal.APPLICATION_DELETED)
    def application_deleted(self, message: ApplicationDeleted) -> None:
        """The organization removed the application."""
        self._life.lost_application(message)

    @workflow.signal(name=Signal.AWAIT_ACTIVE)
    def await_active(self, waiter: Waiter) -> None:
        """A workflow waits until the connection is active. Idempotent."""
        self._waiters.add(waiter)

    @workflow.signal(name=Signal.STOP_AWAITING)
    def stop_awaiting(self, waiter: Waiter) -> None:
        """It waits no more."""
        self._waiters.remove(waiter)

    @workflow.query(name=Query.STATUS)
    def status(self) -> ConnectionView:
        return self._view()

    # What the loop does

    async def _record(self) -> None:
        """Write the oldest change and its event to the store; nothing overtakes it."""
        transition = self._state.unrecorded[0]
        recorded = await self._written(TransitionTask(ref=self._state.ref, transition=transition))
        del self._state.unrecorded[0]
        # None: by a worker of an earlier release. The answer may also have come to a workflow of that release.
        if recorded is not None and recorded.reminder_days and workflow.patched("reminders"):
            self._life.plan_reminders(recorded.reminder_days)

    async def _written(self, task: TransitionTask) -> Recorded | None:
        """The cheap path first here as well: a customer's reconnect, and all who wait for it, wait for this."""
        summary = f"record {task.transition.event or 'change'} (#{task.transition.sequence})"
        if workflow.patched("recorded-locally"):
            with suppress(FailureError):  # the store is in trouble
                recorded: Recorded = await workflow.execute_local_activity(
                    Activity.RECORD_TRANSITION,
                    task,
                    result_type=Recorded,
                    start_to_close_timeout=options.QUICK_STORE_CALL,
                    retry_policy=options.FIRST_TRY,
                    summary=summary,
                )
                return recorded
        in_the_end: Recorded | None = await workflow.execute_activity(
            Activity.RECORD_TRANSITION,
            task,
            result_type=Recorded,
            start_to_close_timeout=options.STORE_CALL,
            retry_policy=options.WITHOUT_END,
            summary=summary,
            priority=options.priority(self._state.ref.org_id, urgent=True),
        )
        return in_the_end

    async def _check(self) -> None:
        """Something is due: refresh or probe, and believe what the provider answers."""
        epoch, forced = self._life.epoch, self._is_forced()
        self._wanted, self._life.doubted = -1, -1
        outcome = await self._ask_provider(forced)
        if outcome.sealed is not None:
            await self._store_sealed(outcome)
        overtaken = epoch != self._life.epoch
        if not overtaken:
            self._life.believe(outcome)
        elif outcome.generation > self._state.generation:
            self._life.believe_newer(outcome)  # the vault did move
        if not self._is_asked_again(outcome, overtaken):
            self._answer(outcome)
        self._life.show()

    def _answer(self, outcome: CredentialOutcome) -> None:
        """Whoever waits for a refresh or a probe has its outcome, those too who joined while it was under way."""
        self._last_verdict = outcome.verdict
        self._tries += 1
        if self._is_forced() and workflow.patched(MEANWHILE):
            self._wanted = -1

    async def _ask_provider(self, forced: bool) -> CredentialOutcome:
        lifetimes = self._state.lifetimes
        renewable = lifetimes.renewable
        wants_refresh = forced or self._state.expires_at is not None or lifetimes.idle_window is not None
        if renewable and wants_refresh and not self._state.suspect:
            return await self._refresh(forced)
        outcome = await self._round(Activity.PROBE, "probe", forced)
        if not renewable or outcome.deferred or outcome.verdict in (Verdict.OK, Verdict.SUPERSEDED):
            return outcome
        # A dead access token is not yet a dead grant; and a probe that nobody answers must not let it expire.
        return await self._refresh(forced)

    async def _refresh(self, urgent: bool) -> CredentialOutcome:
        """One try, which answers whoever waits, and a round of further ones."""
        summary = f"refresh #{self._state.refreshes + 1}"
        self._refreshes_in_run += 1
        if self._state.failures == 0 or urgent:
            epoch = self._life.epoch
            outcome = await self._first_try(summary, urgent)
            if outcome.verdict is not Verdict.TRANSIENT or epoch != self._life.epoch:
                return outcome
            if not outcome.deferred:
                if outcome.retry_after is not None:
                    return outcome  # the provider is left alone for that long
                self._answer(outcome)
                urgent = False
        return await self._round(Activity.REFRESH, summary, urgent)

    async def _first_try(self, summary: str, urgent: bool) -> CredentialOutcome:
        """The cheap path: a local activity, which costs half the history of a normal one."""
        try:
            outcome: CredentialOutcome = await workflow.execute_local_activity(
                Activity.REFRESH,
                self._task(urgent),
                result_type=CredentialOutcome,
                start_to_close_timeout=options.PROVIDER_CALL,
                retry_policy=options.FIRST_TRY,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=summary,
            )
            return outcome
        except FailureError as error:  # a local activity's failure comes unwrapped
            return self._outcome_of(error)

    async def _round(self, activity: Activity, summary: str, urgent: bool) -> CredentialOutcome:
        """A normal activity with its retries, given up early when a message or a forced refresh overtakes it."""
        epoch = self._life.epoch
        handle = workflow.start_activity(
            activity,
            self._task(urgent),
            result_type=CredentialOutcome,
            start_to_close_timeout=options.PROVIDER_CALL,
            retry_policy=options.ROUND,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=summary,
            priority=options.priority(self._state.ref.org_id, urgent=urgent),
        )
        await workflow.wait_condition(
            lambda: handle.done() or epoch != self._life.epoch or (self._is_forced() and not urgent)
        )
        if not handle.done():
            handle.cancel()
        try:
            outcome: CredentialOutcome = await handle
            return outcome
        except ActivityError as error:
            return self._outcome_of(error)

    async def _store_sealed(self, outcome: CredentialOutcome) -> None:
        """The provider rotated while the store was down: the sealed credential is stored, however long it takes."""
        assert outcome.sealed is not None and outcome.lifetimes is not None
        await workflow.execute_activity(
            Activity.STORE_SEALED,
            StoreSealedTask(
                ref=self._state.ref,
                replaces=outcome.generation - 1,
                sealed=outcome.sealed,
                lifetimes=outcome.lifetimes,
            ),
            start_to_close_timeout=options.STORE_CALL,
            retry_policy=options.WITHOUT_END,
            summary="store the refreshed credential",
        )

    async def _sleep(self) -> None:
        planned = (self._state.next_at, self._state.notice_at, self._state.remind_at)
        due = min((at for at in planned if at is not None), default=None)
        if self._state.status is ConnectionStatus.PENDING:
            due = workflow.info().start_time + PENDING_TIMEOUT
        timeout = None if due is None else max(timedelta(0), due - workflow.now())
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._has_work() or self._is_crowded(), timeout=timeout, timeout_summary=page.timer(self._state)
            )

    async def _end(self) -> None:
        """Record the end, revoke upstream with a receipt in the timeline, purge the credential."""
        while self._state.unrecorded:
            await self._record()
        self._life.note(await self._revoke())
        await self._record()
        await workflow.execute_activity(
            Activity.PURGE_CREDENTIAL,
            self._task(),
            start_to_close_timeout=options.STORE_CALL,
            retry_policy=options.WITHOUT_END,
            summary="purge the credential",
        )

    async def _revoke(self) -> str:
        try:
            outcome: CredentialOutcome = await workflow.execute_activity(
                Activity.REVOKE_UPSTREAM,
                self._task().model_copy(update={"uninstall": self._state.uninstall}),
                result_type=CredentialOutcome,
                schedule_to_close_timeout=options.REVOKE_FOR,
                start_to_close_timeout=options.PROVIDER_CALL,
                retry_policy=options.REVOKE,
                summary="revoke at the provider",
            )
        except ActivityError:
            return "the provider could not be reached to revoke; the credential was purged"
        return outcome.note

    def _continue_as_new(self) -> NoReturn:
        workflow.continue_as_new(
            self._state,
            # With worker versioning a run stays on its build; the next one takes the present build.
            initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
        )

    # Small questions

    def _is_due(self) -> bool:
        due = self._state.next_at
        return self._is_forced() or (due is not None and due <= workflow.now())

    def _is_forced(self) -> bool:
        return self._state.generation <= self._wanted and self._life.has_application

    def _is_asked_again(self, outcome: CredentialOutcome, overtaken: bool) -> bool:
        """At once: the outcome gave way to who came meanwhile, is about what is no more, or is doubted by now."""
        is_doubted = outcome.verdict in (Verdict.OK, Verdict.SUPERSEDED) and self._state.suspect
        unsettled = (overtaken and self._is_due()) or is_doubted
        return (outcome.deferred and self._is_forced()) or (unsettled and workflow.patched(MEANWHILE))

    def _is_notice_due(self) -> bool:
        at = self._state.notice_at
        return at is not None and at <= workflow.now()

    def _is_reminder_due(self) -> bool:
        at = self._state.remind_at
        return at is not None and at <= workflow.now()

    def _has_work(self) -> bool:
        is_told = self._is_notice_due() or self._is_reminder_due()
        return bool(self._state.unrecorded) or self._is_due() or is_told or self._life.is_over

    def _is_run_full(self) -> bool:
        suggested = workflow.info().is_continue_as_new_suggested()
        return suggested or self._refreshes_in_run >= REFRESHES_PER_RUN

    def _is_full_of_reports(self) -> bool:
        """They may come without a pause; what is doubted is verified in the next run."""
        is_full = self._state.suspect and self._is_run_full() and self._is_quiet()
        return is_full and workflow.patched("full-of-reports")

    def _is_crowded(self) -> bool:
        """Who waits comes and goes while the loop sleeps, and fills the run."""
        return self._waiters.are_there and self._is_run_full()

    def _is_quiet(self) -> bool:
        """Nothing is under way beside the loop."""
        return workflow.all_handlers_finished() and not self._waiters.are_being_told

    def _is_abandoned(self) -> bool:
        """The API started the workflow and its `connect` was refused or never came."""
        pending = self._state.status is ConnectionStatus.PENDING
        return pending and workflow.now() >= workflow.info().start_time + PENDING_TIMEOUT

    def _refuse_if_disconnected(self) -> None:
        if self._life.is_over:
            raise ApplicationError("the connection has ended", type="Disconnected", non_retryable=True)

    def _task(self, urgent: bool = False) -> CredentialTask:
        return CredentialTask(ref=self._state.ref, generation=self._state.generation, urgent=urgent)

    def _outcome_of(self, error: FailureError) -> CredentialOutcome:
        """A failed activity says nothing about the grant."""
        failure = TransientFailure(note="the worker was interrupted or its store was out of reach")
        cause = error.cause if isinstance(error, ActivityError) else error
        if isinstance(cause, CancelledError):
            failure = TransientFailure(note="overtaken by something more urgent", deferred=True)
        if isinstance(cause, ApplicationError) and cause.type == TRANSIENT and cause.details:
            failure = TransientFailure.model_validate(cause.details[0])
        return CredentialOutcome(
            verdict=Verdict.TRANSIENT,
            generation=self._state.generation,
            retry_after=failure.retry_after,
            deferred=failure.deferred,
            note=failure.note,
        )

    def _view(self) -> ConnectionView:
        state = self._state
        return ConnectionView(
            connection_id=state.ref.connection_id,
            status=state.status,
            health=state.health,
            reason=state.reason,
            generation=state.generation,
            since=state.since,
            expires_at=state.expires_at,
            ends_at=state.ends_at,
            next_at=state.next_at,
            waiting_for=page.waiting_for(state),
            last_failure=state.last_failure,
            refreshes=state.refreshes,
            sequence=state.sequence,
            last_verdict=self._last_verdict,
        )
