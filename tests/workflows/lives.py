"""A connection that lives by steps, and what a customer expects of it after each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    ApplicationDeleted,
    ConnectCommand,
    ConnectionState,
    ConnectionStatus,
    ConnectionView,
    CredentialRejected,
    DisconnectCommand,
    EventType,
    Health,
    LateSuccess,
    Lifetimes,
    ProviderEvent,
    ProviderEventKind,
    Query,
    ReauthReason,
    RefreshCommand,
    Signal,
    Transition,
    Update,
    Workflow,
)
from tests.workflows.model import Answer, Hold, ModelledProvider
from tests.workflows.provider import Life, new_ref
from workflows import timing

STEP_SECONDS = 60  # of real time; a step takes tens of milliseconds
WAIT_SECONDS = 20
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HEALTH_EVENTS = (EventType.DEGRADED, EventType.RECOVERED)

TROUBLE_WORTH_TELLING = timedelta(seconds=timing.DEGRADED_AFTER.total_seconds())
PROOFS = {
    ProviderEventKind.UNINSTALLED: ReauthReason.APP_UNINSTALLED,
    ProviderEventKind.REVOKED: ReauthReason.ACCESS_REVOKED,
}
ACTIVE, REAUTH_REQUIRED = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED
DISCONNECTED = ConnectionStatus.DISCONNECTED

T = TypeVar("T")
Step = tuple[Callable[..., Coroutine[Any, Any, None]], dict[str, Any]]


class Message(StrEnum):
    """What can arrive while a refresh is under way."""

    RECONNECT = "reconnect"
    DISCONNECT = "disconnect"
    REVOKED = "revoked"
    REJECTED = "rejected"
    LATE_SUCCESS = "late success"
    REFRESH = "refresh"
    APPLICATION_DELETED = "application deleted"
    EVICTION = "eviction"


class Connection:
    """One connection, its worker, and what a customer expects of it."""

    def __init__(self, server: WorkflowEnvironment, lifetimes: Lifetimes) -> None:
        self.server = server
        self.provider = ModelledProvider(lifetimes=lifetimes)
        self.model = self.provider.model
        self.life = Life(server.client, self.provider, new_ref())
        self.worker = AsyncExitStack()
        self.view: ConnectionView
        self.last_signal: tuple[Signal, Any] | None = None
        self.untold: list[int] = []  # grants in the vault that no `connect` has told yet
        self.granted_at: datetime
        self.troubled_since: datetime  # not before the step that saw the first trouble since the last good answer

    async def live(self, steps: list[Step]) -> None:
        async with self.worker:
            await self._start_worker()
            self.granted_at = self.troubled_since = await self.server.get_current_time()
            await self._connect(self._new_grant())
            self.view = await self._settled()
            for step, arguments in steps:
                if self.model.status is DISCONNECTED:
                    await self._disturb_what_has_ended()
                    return
                await self._let_due_things_pass()
                await asyncio.wait_for(step(self, **arguments), STEP_SECONDS)

    # Steps

    async def reconnect(self, how: str) -> None:
        """A grant is in the vault first; the workflow may hear of it late, and of a later one before."""
        if how != "what was untold" or not self.untold:
            self.untold.append(self._new_grant())
        if how == "later":
            return
        async with self._step():
            await self._connect(self.untold.pop(-1 if how == "at once" else 0))

    async def do_what_changes_nothing(self, what: str) -> None:
        """A message that was sent twice, a refresh that somebody else got already, a replay."""
        await self._let_due_things_pass()
        async with self._step(asks=False):
            if what == "connect":
                await self._patiently(self.life.connect(self.model.grant))
            elif what == "refresh":
                await self.life.refresh(newer_than=self.model.generation - 1)
            elif what == "signal" and self.last_signal is not None:
                await self.life.handle.signal(*self.last_signal)
            elif what == "replay":
                await self._evict()

    async def force_a_refresh(self, refresh: Answer, probe: Answer, reason: ReauthReason) -> None:
        async with self._step(asks=self.model.has_application):
            self._says(refresh, probe, reason)
            await self._patiently(self._refresh())

    async def let_time_pass(self, duration: timedelta, refresh: Answer, probe: Answer, reason: ReauthReason) -> None:
        status, suspect = self.model.status, self.model.is_suspect
        looks = 2 if self.provider.vault > self.view.generation else 1  # the first only finds what the vault has
        asks = None if status is not REAUTH_REQUIRED or suspect or self._may_be_in_a_round else False
        async with self._step(asks=asks):
            self._says(refresh, probe, reason)
            await self.server.sleep(duration)
        answer = refresh if self.provider.lifetimes.renewable else probe
        if status is ACTIVE is self.model.status:
            await self._check_health(duration, answer, looks)

    async def report_a_refusal(self, behind: int | None, refresh: Answer, probe: Answer, reason: ReauthReason) -> None:
        generation = None if behind is None else self.model.generation - behind
        message = CredentialRejected(request_id=uuid4().hex, generation=generation)
        is_looked_into = behind != 1 and self.model.status is ACTIVE
        async with self._step(asks=is_looked_into):
            self._says(refresh, probe, reason)
            self.model.is_suspect |= is_looked_into
            await self._signal(Signal.CREDENTIAL_REJECTED, message)
        await self.do_what_changes_nothing("signal")

    async def hear_from_the_provider(
        self, kind: ProviderEventKind, outdated: bool, refresh: Answer, probe: Answer
    ) -> None:
        is_looked_into = kind is ProviderEventKind.SUSPECT and not outdated and self.model.status is ACTIVE
        async with self._step(asks=is_looked_into):
            self._says(refresh, probe)
            self.model.is_suspect |= is_looked_into
            if not outdated and kind in PROOFS:
                self.model.refused(PROOFS[kind])
            await self._signal(Signal.PROVIDER_EVENT, await self._event(kind, outdated))
        await self.do_what_changes_nothing("signal")

    async def hear_of_a_late_success(self, refresh: Answer, probe: Answer) -> None:
        async with self._step(asks=self.model.has_application):
            self._says(refresh, probe)
            self.model.is_suspect = self.model.has_application
            await self._signal(Signal.LATE_SUCCESS, LateSuccess(generation=self._new_grant()))

    async def lose_the_application(self) -> None:
        """The organization removes it; what comes back is for a customer to decide."""
        async with self._step(asks=None if self._may_be_in_a_round else False):
            self.model.lost_application()
            await self._signal(Signal.APPLICATION_DELETED, ApplicationDeleted(request_id=uuid4().hex))
        await self.do_what_changes_nothing("signal")

    async def overtake_a_refresh(self, message: Message, hold: Hold, refresh: Answer, probe: Answer) -> None:
        """A message arrives while the provider is being asked."""
        # This server loses a cancelled activity that asks for a retry, and a task that cancels one just answered.
        lost = refresh.is_trouble or (hold is Hold.LOCAL and self.model.status is not ACTIVE)
        lost |= hold is Hold.LOCAL and message is Message.EVICTION  # what holds a local try is in the cache
        moved = self.provider.vault != self.model.generation  # which a first try finds
        if lost or moved or not self._is_refreshed:
            return
        probes = self.provider.probes
        async with self._step(asks=True):
            self._says(refresh, probe)
            self.provider.hold_back(hold)
            waiting = asyncio.create_task(self._refresh())
            await self._until(self.provider.reached.is_set)
            understood, sending = await self._arrival(message)
            if hold is Hold.REMOTE:  # a local try holds messages up, and its answer counts first
                understood()
            sent = asyncio.create_task(sending)
            await self._until_heard(message, hold)
            self.provider.release()
            await self._patiently(waiting)
            if hold is Hold.LOCAL:
                understood()
            await self._patiently(sent)
            if self.model.is_suspect and self.model.status is REAUTH_REQUIRED:  # the vault did move: is it better now?
                await self._until(lambda: self.provider.probes > probes)

    async def interrupt_a_round(self, message: Message, refresh: Answer, probe: Answer) -> None:
        """A message arrives while a routine refresh waits for its next attempt."""
        if not self._is_refreshed or self.model.status is not ACTIVE:
            return
        async with self._step(asks=True):
            self._says(Answer.TRANSIENT, probe)
            assert self.view.next_at is not None
            await self.server.sleep(self.view.next_at - await self.server.get_current_time() + SECOND)
            understood, sending = await self._arrival(message)
            if message is Message.REFRESH:
                self._says(refresh, probe)
            understood()
            await self._patiently(sending)
            self._says(refresh, probe)

    async def disconnect(self) -> None:
        if len(self.model.events) < 3:
            return  # it has hardly lived
        async with self._step(asks=False):
            self.model.ended()
            await self.life.disconnect()

    async def _disturb_what_has_ended(self) -> None:
        """A disconnected connection never changes again."""
        await self._patiently(self.life.handle.result())
        view, told, asked = await self.life.status(), list(self.provider.transitions), self.provider.asked
        assert (view.status, self.provider.calls[-1]) == (DISCONNECTED, "purged")
        for update, command in (
            (Update.CONNECT, ConnectCommand(generation=self._new_grant(), lifetimes=self.provider.lifetimes)),
            (Update.REFRESH, RefreshCommand(newer_than=self.model.generation)),
            (Update.DISCONNECT, DisconnectCommand()),
        ):
            with pytest.raises(RPCError):
                await self.life.handle.execute_update(update, command)
        with pytest.raises(RPCError):
            await self.life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=self.provider.vault))
        await self.server.sleep(DAY)
        assert await self.life.status() == view
        assert (self.provider.transitions, self.provider.asked) == (told, asked)

    @property
    def _is_refreshed(self) -> bool:
        """Whether what is asked next is a refresh."""
        return self.provider.lifetimes.renewable and not self.model.is_suspect and self.model.has_application

    @property
    def _may_be_in_a_round(self) -> bool:
        """Whoever forced a refresh was answered after its first try; the others of its round go on."""
        return self.provider.is_in_trouble

    # A step, and what must hold after it

    @asynccontextmanager
    async def _step(self, *, asks: bool | None = None) -> AsyncIterator[None]:
        """`asks`: whether the provider must be asked in it, must not, or may."""
        before, asked, told = self.view, self.provider.asked, len(self.provider.transitions)
        if not self.provider.is_in_trouble:
            self.troubled_since = await self.server.get_current_time()
        yield
        if asks:
            await self._until(lambda: self.provider.asked > asked)
        self.view = await self._settled()
        was_due = before.next_at is not None and before.next_at <= await self.server.get_current_time()
        assert asks is not False or was_due or self.provider.asked == asked, "the provider was asked for nothing"
        self._check_sequence()
        for transition in self.provider.transitions[told:]:
            if transition.event is EventType.DEGRADED:
                expired = before.expires_at is not None and before.expires_at <= transition.at
                assert expired or transition.at - self.troubled_since >= TROUBLE_WORTH_TELLING

    async def _let_due_things_pass(self) -> None:
        """So that what a step does and what was due anyway come one after the other."""
        for _ in range(60):
            self.view = await self._settled()
            if self.view.next_at is None or self.view.next_at > await self.server.get_current_time() + 10 * SECOND:
                return
            await self.server.sleep(10 * SECOND)
        raise AssertionError("a round has no end")

    async def _settled(self) -> ConnectionView:
        """Wait until workflow and model agree; what they never agree on is a finding."""
        for _ in range(30):
            view = await self.life.status()
            if self._found(view) == self._expected():
                break
            await asyncio.sleep(0.05)
            await self.server.sleep(SECOND)
        assert self._found(view) == self._expected()
        return view

    def _found(self, view: ConnectionView) -> tuple[Any, ...]:
        events = [event for event in self.provider.events if event not in (*HEALTH_EVENTS, EventType.EXPIRED_REMINDER)]
        return view.status, view.reason, view.generation, events, view.next_at is not None

    def _expected(self) -> tuple[Any, ...]:
        model = self.model
        asks_by_itself = model.status is ACTIVE or model.is_suspect
        return model.status, model.reason, model.generation, model.events, asks_by_itself

    def _check_sequence(self) -> None:
        transitions = self.provider.transitions
        assert [transition.sequence for transition in transitions] == list(range(1, len(transitions) + 1))
        is_degraded = False
        for event in self.provider.events:
            if event in HEALTH_EVENTS:
                assert is_degraded is (event is EventType.RECOVERED)
                is_degraded = not is_degraded
            elif event is EventType.REAUTHENTICATED:  # which says as well that all is well
                is_degraded = False
        self._check_reminders()

    def _check_reminders(self) -> None:
        """Each is made once, when it is due, and of an expiry that nobody has answered."""
        expired: Transition | None = None
        number = 0
        for one in self.provider.transitions:
            if one.status is not one.previous_status or one.reason is ReauthReason.APPLICATION_DELETED:
                lacks_application = one.reason is ReauthReason.APPLICATION_DELETED
                expired = one if one.status is REAUTH_REQUIRED and not lacks_application else None
                number = 0
            if one.event is EventType.EXPIRED_REMINDER:
                assert expired is not None and one.reminder is not None and one.reminder.number > number
                number, days = one.reminder.number, self.provider.reminder_days
                assert one.reminder.expired_at == expired.at and one.reminder.total == len(days)
                assert one.at >= expired.at + timedelta(days=days[number - 1])

    async def _check_health(self, duration: timedelta, answer: Answer, looks: int) -> None:
        """Of a connection that was active all the time."""
        until_asked = HOUR if self.provider.lifetimes.renewable else DAY + 3 * HOUR
        if answer.is_trouble and duration >= looks * until_asked + 3 * HOUR:
            await self._health_becomes(Health.DEGRADED)
        if answer is Answer.OK and duration >= 3 * HOUR:
            await self._health_becomes(Health.OK)
        if answer in (Answer.OK, Answer.OUR_CLIENT_IS_WRONG) and not self.provider.is_in_trouble:
            await self._health_becomes(Health.OK)

    async def _health_becomes(self, health: Health) -> None:
        """The last round may still be told: health is no part of what has settled."""
        for _ in range(30):
            self.view = await self.life.status()
            if self.view.health is health:
                return
            await asyncio.sleep(0.05)
            await self.server.sleep(SECOND)
        raise AssertionError(f"the health is {self.view.health}, not {health}")

    # What steps are made of

    def _says(self, refresh: Answer, probe: Answer, reason: ReauthReason = ReauthReason.ACCESS_REVOKED) -> None:
        self.provider.refresh_says, self.provider.probe_says, self.provider.reason = refresh, probe, reason

    def _new_grant(self) -> int:
        self.provider.vault += 1
        return self.provider.vault

    async def _start_worker(self) -> None:
        await self.worker.enter_async_context(
            Worker(
                self.server.client,
                task_queue=TASK_QUEUE,
                activities=self.provider.activities,
                max_cached_workflows=1,
            )
        )

    async def _evict(self) -> None:
        """Another workflow takes the only place in the worker's cache: the next task replays the history.

        This server loses queries and tasks where the worker itself is another or has no cache.
        """
        neighbour = ConnectionState(ref=new_ref())  # which ends by itself
        workflow_id = f"neighbour/{neighbour.ref.connection_id}"
        handle = await self.server.client.start_workflow(
            Workflow.CONNECTION, neighbour, id=workflow_id, task_queue=TASK_QUEUE
        )
        await handle.query(Query.STATUS)

    async def _connect(self, generation: int) -> None:
        self.granted_at = await self.server.get_current_time()
        self.model.granted(generation)
        view = await self._patiently(self.life.connect(generation))
        assert view.status is self.model.status

    async def _refresh(self) -> None:
        """Whoever waits for a refresh gets what the provider says now."""
        refreshes = self.provider.refreshes
        view = await self.life.refresh(newer_than=self.view.generation)
        answered = self.provider.refreshes > refreshes and self.model.has_application  # else nobody waits for it
        if answered and self.provider.refresh_says is Answer.OK:
            assert view.generation > self.view.generation

    async def _signal(self, name: Signal, message: Any) -> None:
        self.last_signal = name, message
        await self.life.handle.signal(name, message)

    async def _event(self, kind: ProviderEventKind, outdated: bool) -> ProviderEvent:
        now = await self.server.get_current_time()
        at = self.granted_at - MINUTE if outdated else now + SECOND
        return ProviderEvent(request_id=uuid4().hex, kind=kind, occurred_at=at)

    async def _arrival(self, message: Message) -> tuple[Callable[[], None], Coroutine[Any, Any, Any]]:
        """What a message does to the model, and its sending."""
        model, life, generation = self.model, self.life, self.model.generation
        match message:
            case Message.RECONNECT:
                grant = self._new_grant()
                self.granted_at = await self.server.get_current_time()
                return (lambda: model.granted(grant)), life.connect(grant)
            case Message.DISCONNECT:
                return model.ended, life.disconnect()
            case Message.REVOKED:
                event = await self._event(ProviderEventKind.REVOKED, outdated=False)
                return (lambda: model.refused(ReauthReason.ACCESS_REVOKED)), life.tell(event)
            case Message.REJECTED:
                rejected = CredentialRejected(request_id=uuid4().hex, generation=generation)
                return (lambda: model.rejected(generation)), self._signal(Signal.CREDENTIAL_REJECTED, rejected)
            case Message.LATE_SUCCESS:
                late = self._new_grant()
                sending = self._signal(Signal.LATE_SUCCESS, LateSuccess(generation=late))
                return (lambda: model.came_late(late)), sending
            case Message.REFRESH:
                return (lambda: None), self._refresh()
            case Message.APPLICATION_DELETED:
                deleted = ApplicationDeleted(request_id=uuid4().hex)
                return model.lost_application, self._signal(Signal.APPLICATION_DELETED, deleted)
            case Message.EVICTION:
                return (lambda: None), self._evict()

    async def _until_heard(self, message: Message, hold: Hold) -> None:
        """Until the workflow knows the message, or the server has it where a local try holds it up."""
        await asyncio.sleep(0.1)
        if hold is Hold.REMOTE and message is not Message.EVICTION:
            async with asyncio.timeout(WAIT_SECONDS):
                while self._found(await self.life.status())[:3] != self._expected()[:3]:
                    await asyncio.sleep(0.02)

    async def _patiently(self, step: Awaitable[T]) -> T:
        """Let time pass for what takes some."""
        task = asyncio.ensure_future(step)
        while not (await asyncio.wait({task}, timeout=0.1))[0]:
            await self.server.sleep(5 * SECOND)
        return await task

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                await asyncio.sleep(0.01)
