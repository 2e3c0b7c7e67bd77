"""How a connection's state changes. Everything that happens to one is a method here.

Runs inside the workflow, by its clock and its random numbers; knows no activity.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from everlink.contract import (
        GRANT_ENDS_AT,
        HEALTH,
        REAUTH_REASON,
        SEEN_LENGTH,
        STATUS,
        TIMELINE_LENGTH,
        ApplicationDeleted,
        ConnectCommand,
        ConnectionState,
        ConnectionStatus,
        CredentialOutcome,
        CredentialRejected,
        EventType,
        Health,
        LateSuccess,
        Lifetimes,
        ProviderEvent,
        ProviderEventKind,
        ReauthReason,
        Reminder,
        Transition,
        Verdict,
    )
    from workflows import page, timing

MEANWHILE = "who-comes-meanwhile"  # the change that sees to who comes while the provider is asked
ANY_GENERATION = 2**31  # above all that there are
CLOCKS_DIFFER = timedelta(seconds=5)  # between a provider and us; many write whole seconds, too


class Life:
    """The state, and the ways in which it changes."""

    def __init__(self, state: ConnectionState) -> None:
        self.state = state
        self.epoch = 0  # moves with every message that overtakes a refresh in flight
        self.doubted = -1  # the newest generation that was doubted since the provider was last asked

    @property
    def is_over(self) -> bool:
        return self.state.status is ConnectionStatus.DISCONNECTED

    @property
    def has_application(self) -> bool:
        """Without its application nothing is refreshed, until a customer connects anew."""
        return self.state.reason is not ReauthReason.APPLICATION_DELETED

    def rejected(self, message: CredentialRejected) -> None:
        """A product saw a refusal: suspect the credential, unless it has been renewed since."""
        stale = message.generation is not None and message.generation < self.state.generation
        if self._is_new(message.request_id) and not stale:
            self._suspect(message.generation)

    def came_late(self, message: LateSuccess) -> None:
        """A refresh that was given up has moved the vault after all: verify what is there now."""
        if message.generation > self.state.generation and not self.is_over and self.has_application:
            if workflow.patched("late-success-overtakes"):
                self.epoch += 1  # what is under way is about the generation before
            self._verify(message.generation - 1)

    def announced(self, message: ProviderEvent) -> None:
        """The provider says that the grant is gone, unless it means one that a reconnect has replaced."""
        granted_at = self.state.granted_at
        if not self._is_new(message.request_id) or granted_at is None:
            return
        if message.occurred_at < granted_at:
            close = message.occurred_at > granted_at - CLOCKS_DIFFER
            if close and workflow.patched("close-events"):
                self._suspect()  # a second or two may be the clocks': the provider itself has to say it
            return
        match message.kind:
            case ProviderEventKind.UNINSTALLED:
                self._flag(ReauthReason.APP_UNINSTALLED, "the provider announced it")
            case ProviderEventKind.REVOKED:
                self._flag(ReauthReason.ACCESS_REVOKED, "the provider announced it")
            case ProviderEventKind.SUSPECT:
                self._suspect()

    def lost_application(self, message: ApplicationDeleted) -> None:
        """The organization removed the application: what never lived ends, the rest needs its customer."""
        state = self.state
        if self.is_over or not self._is_new(message.request_id):
            return
        if state.status is ConnectionStatus.PENDING:
            self.end()
        elif state.status is ConnectionStatus.ACTIVE:
            self._flag(ReauthReason.APPLICATION_DELETED, "")
        elif self.has_application:
            self.epoch += 1
            state.next_at, state.suspect, state.reminder_days = None, False, []
            self._move(
                state.status,
                event=None,
                reason=ReauthReason.APPLICATION_DELETED,
                note="the application was deleted, while the customer had to reconnect already",
            )

    def end(self, *, uninstall: bool = False) -> None:
        """The customer or the product disconnects."""
        if not self.is_over:
            self.state.uninstall = uninstall
            self.epoch += 1
            self.state.next_at = self.state.notice_at = None
            self._move(ConnectionStatus.DISCONNECTED, event=EventType.DELETED)

    def begin_grant(self, command: ConnectCommand) -> None:
        state = self.state
        first = state.status is ConnectionStatus.PENDING
        switched = command.identifier is not None and command.identifier != state.ref.identifier
        if switched:
            state.ref = state.ref.model_copy(update={"identifier": command.identifier})
        state.grant_generation = command.generation
        if command.generation < state.generation and state.status is ConnectionStatus.REAUTH_REQUIRED:
            return  # the news of it came late: what has replaced it is refused already, or being verified
        self.epoch += 1
        state.granted_at = workflow.now()
        state.suspect = False
        state.ends_at = state.notice_at = state.last_notice = None
        if command.generation >= state.generation:
            state.generation = command.generation
            self._schedule(command.lifetimes)
        state.health = Health.OK
        self._move(
            ConnectionStatus.ACTIVE,
            event=EventType.CREATED if first else EventType.REAUTHENTICATED,
            note="with another account than before" if switched else "",
        )

    def believe(self, outcome: CredentialOutcome) -> None:
        match outcome.verdict:
            case Verdict.OK:
                self.adopt(outcome)
                self._recover()
            case Verdict.SUPERSEDED:
                self.believe_newer(outcome)
            case Verdict.DEAD:
                self._flag(self._reason(outcome), outcome.note)
            case Verdict.TRANSIENT | Verdict.APPLICATION_ERROR:
                self._back_off(outcome)
            case Verdict.UNSUPPORTED:
                self._trust_the_clock()

    def adopt(self, outcome: CredentialOutcome) -> None:
        if outcome.generation > self.state.generation:
            self.state.refreshes += 1
        self.state.generation = outcome.generation
        self.state.suspect = False
        self._schedule(outcome.lifetimes or self.state.lifetimes)
        if self.doubted >= outcome.generation and workflow.patched(MEANWHILE):
            self._suspect()  # that answer may be older than what the report is about

    def believe_newer(self, outcome: CredentialOutcome) -> None:
        """The vault has moved, which says nothing of what the provider accepts."""
        newer = outcome.generation > self.state.generation
        self.adopt(outcome)
        if self.state.status is not ConnectionStatus.ACTIVE:
            self.state.next_at = None
            # Only what the provider accepts leaves reauth_required, and only where there is an application.
            if newer and not self.is_over and self.has_application:
                self._verify()
        elif newer:
            self._recover_health()

    def _reason(self, outcome: CredentialOutcome) -> ReauthReason:
        reason, ends_at = outcome.reason or ReauthReason.ACCESS_REVOKED, self.state.ends_at
        if reason is ReauthReason.ACCESS_REVOKED and ends_at is not None and ends_at <= workflow.now():
            return ReauthReason.REFRESH_TOKEN_EXPIRED  # its end was known
        return reason

    def _schedule(self, lifetimes: Lifetimes) -> None:
        state, now = self.state, workflow.now()
        state.lifetimes = lifetimes
        state.failures, state.last_failure, state.troubled_since = 0, None, None
        expires_in = lifetimes.expires_in
        state.expires_at = None if expires_in is None else now + timedelta(seconds=expires_in)
        if lifetimes.ends_in is not None:
            self._set_end(now + timedelta(seconds=lifetimes.ends_in))
        elif state.ends_at is not None:
            lifetimes = lifetimes.model_copy(update={"ends_in": (state.ends_at - now).total_seconds()})
        state.next_at = now + timedelta(seconds=timing.seconds_until_due(lifetimes, workflow.random()))

    def _set_end(self, ends_at: datetime) -> None:
        """When the grant ends. A refresh that prolongs it clearly takes a notice back."""
        state = self.state
        prolonged = state.ends_at is not None and ends_at > state.ends_at + timing.PROLONGED
        state.ends_at = ends_at
        if prolonged and state.last_notice is not None:
            state.last_notice = None
            self._show_in_lists(moved=False)
        self._plan_notice()

    def _plan_notice(self) -> None:
        state = self.state
        if state.ends_at is not None and state.status is ConnectionStatus.ACTIVE:
            state.notice_at = timing.next_notice(state.ends_at, workflow.now(), state.last_notice)

    def announce_end(self) -> None:
        """The grant ends soon, and only the customer can renew it."""
        state = self.state
        assert state.ends_at is not None
        state.last_notice = timing.days_ahead(state.ends_at, workflow.now())
        self._move(
            state.status,
            event=EventType.EXPIRING,
            note=f"the grant ends at {page.clock(state.ends_at)}",
            ends_at=state.ends_at,
        )
        self._plan_notice()

    def plan_reminders(self, days: list[float]) -> None:
        """Of an expiry that is written by now, unless something followed. No customer can answer for an application."""
        state = self.state
        if state.status is ConnectionStatus.REAUTH_REQUIRED and self.has_application and not state.unrecorded:
            state.reminder_days = days
            self.show()

    def remind(self) -> None:
        """The customer has not reconnected yet."""
        state, now = self.state, workflow.now()
        assert state.since is not None
        state.reminded = timing.reminders_passed(state.since, state.reminder_days, now)
        reminder = Reminder(expired_at=state.since, number=state.reminded, total=len(state.reminder_days))
        self._move(state.status, event=EventType.EXPIRED_REMINDER, reason=state.reason, reminder=reminder)

    def _recover(self) -> None:
        if self.state.status is ConnectionStatus.REAUTH_REQUIRED:
            self.state.health = Health.OK
            self._move(
                ConnectionStatus.ACTIVE,
                event=EventType.REAUTHENTICATED,
                note="the provider accepts the credential again",
            )
        else:
            self._recover_health()

    def _recover_health(self) -> None:
        if self.state.status is ConnectionStatus.ACTIVE and self.state.health is Health.DEGRADED:
            self.state.health = Health.OK
            self.state.recovered_at = workflow.now()
            self._move(ConnectionStatus.ACTIVE, event=EventType.RECOVERED)

    def _trust_the_clock(self) -> None:
        """There is nothing to renew the credential with and nobody to ask about it."""
        state, now = self.state, workflow.now()
        state.suspect = False
        if state.status is not ConnectionStatus.ACTIVE:
            state.next_at = None
        elif state.expires_at is not None and state.expires_at <= now:
            self._flag(ReauthReason.REFRESH_TOKEN_EXPIRED, "the access token has expired and cannot be renewed")
        else:
            state.next_at = state.expires_at or now + timedelta(days=1)

    def _flag(self, reason: ReauthReason, note: str) -> None:
        """Only the customer can help: flag the connection, once."""
        state = self.state
        state.next_at, state.notice_at, state.suspect = None, None, False
        if state.status is ConnectionStatus.ACTIVE:
            self.epoch += 1
            self._move(ConnectionStatus.REAUTH_REQUIRED, reason=reason, event=EventType.EXPIRED, note=note)

    def _back_off(self, outcome: CredentialOutcome) -> None:
        """Nothing is known of the grant: try again later, for as long as it may live."""
        state, now = self.state, workflow.now()
        state.last_failure = outcome.note
        if state.status is not ConnectionStatus.ACTIVE and not state.suspect:
            state.next_at = None  # a try on request; the customer is asked already
            return
        if outcome.deferred:
            delay = max(1.0, outcome.retry_after or 0.0) * workflow.random().uniform(1.0, 1.2)
        else:
            state.failures += 1
            refused = outcome.verdict is Verdict.APPLICATION_ERROR
            longest = timing.APPLICATION_BACKOFF if refused else timing.MAX_BACKOFF
            delay = timing.backoff(state.failures, outcome.retry_after, workflow.random(), longest)
        state.next_at = now + timedelta(seconds=delay)
        if outcome.verdict is Verdict.TRANSIENT:
            state.troubled_since = state.troubled_since or now
            self._degrade(outcome.note)

    def _degrade(self, note: str) -> None:
        """Trouble is announced once it lasts: a storm is one announcement, not many."""
        state, now = self.state, workflow.now()
        if state.status is not ConnectionStatus.ACTIVE or state.health is not Health.OK:
            return
        if workflow.patched("damped-health"):
            assert state.troubled_since is not None
            if not timing.is_worth_telling(state.troubled_since, state.recovered_at, state.expires_at, now):
                return
        state.health = Health.DEGRADED
        self._move(ConnectionStatus.ACTIVE, event=EventType.DEGRADED, note=note)

    def _suspect(self, generation: int | None = None) -> None:
        if self.state.status is ConnectionStatus.ACTIVE:
            self._verify(generation)

    def _verify(self, generation: int | None = None) -> None:
        self.doubted = max(self.doubted, ANY_GENERATION if generation is None else generation)
        self.state.suspect = True
        self.state.next_at = workflow.now()

    def _move(
        self,
        status: ConnectionStatus,
        *,
        event: EventType | None,
        reason: ReauthReason | None = None,
        note: str = "",
        ends_at: datetime | None = None,
        reminder: Reminder | None = None,
    ) -> None:
        """One transition: the state, the store's copy to come, the search attributes, the page."""
        state, now = self.state, workflow.now()
        previous, previous_reason = state.status, state.reason
        if status is not previous:
            state.since, state.reminder_days, state.reminded = now, [], 0
        state.status, state.reason = status, reason
        if status is ConnectionStatus.ACTIVE is not previous:
            self._plan_notice()
        state.sequence += 1
        transition = Transition(
            sequence=state.sequence,
            at=now,
            previous_status=previous,
            status=status,
            health=state.health,
            reason=reason,
            event=event,
            note=note,
            ends_at=ends_at,
            reminder=reminder,
        )
        state.unrecorded.append(transition)
        state.timeline = [*state.timeline, transition][-TIMELINE_LENGTH:]
        self._show_in_lists(moved=(previous, previous_reason) != (status, reason))
        self.show()

    def _show_in_lists(self, *, moved: bool) -> None:
        """What has changed; each write costs, so a refresh makes none."""
        shown = workflow.info().typed_search_attributes
        changed = [
            update
            for update in self._listed()
            if (moved and update.key in (STATUS, REAUTH_REASON)) or shown.get(update.key) != update.value
        ]
        if moved or (changed and workflow.patched("health-in-lists")):
            workflow.upsert_search_attributes(changed)

    def _listed(self) -> list[SearchAttributeUpdate[Any]]:
        """What the lists of Temporal's Web UI can be filtered by."""
        state = self.state
        announced = state.status is ConnectionStatus.ACTIVE and state.last_notice is not None
        ends_at = state.ends_at if announced else None
        return [
            STATUS.value_set(state.status.value),
            REAUTH_REASON.value_set(state.reason.value) if state.reason else REAUTH_REASON.value_unset(),
            HEALTH.value_set(state.health.value),
            GRANT_ENDS_AT.value_set(ends_at) if ends_at else GRANT_ENDS_AT.value_unset(),
        ]

    def note(self, note: str) -> None:
        """A receipt in the timeline, without a change of status and without an event."""
        self._move(self.state.status, event=None, reason=self.state.reason, note=note)

    def show(self) -> None:
        """Tell the state on the workflow's page."""
        workflow.set_current_details(page.details(self.state))

    def _is_new(self, request_id: str) -> bool:
        """Signals may arrive twice; each is believed once."""
        if request_id in self.state.seen:
            return False
        self.state.seen = [*self.state.seen, request_id][-SEEN_LENGTH:]
        return True
