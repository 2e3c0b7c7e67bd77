"""Activities for workflow tests: a provider, a store and a vault that a test scripts.

The activities' own tests run the real ones; here only what the workflow makes of their answers counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle, WorkflowUpdateStage
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.outcomes import retryable
from everlink.contract import (
    NEXUS_TASK_QUEUE,
    TASK_QUEUE,
    Activity,
    AuthType,
    ConnectCommand,
    ConnectionAsked,
    ConnectionRef,
    ConnectionStanding,
    ConnectionState,
    ConnectionView,
    CredentialOutcome,
    CredentialRejected,
    CredentialTask,
    DisconnectCommand,
    Environment,
    EventType,
    Lifetimes,
    ProviderEvent,
    Query,
    ReauthReason,
    Recorded,
    RefreshCommand,
    Signal,
    StoreSealedTask,
    Transition,
    TransitionTask,
    Update,
    Verdict,
    Waiter,
    Workflow,
    connection_workflow_id,
    waiting_workflow_id,
)
from workflows import NEXUS_WORKFLOWS

HOURLY = Lifetimes(expires_in=3600.0, renewable=True)
KEY = Lifetimes(expires_in=None, renewable=False, probe_every=86400.0)


@dataclass
class Provider:
    """Answers `ok` until a test says otherwise."""

    lifetimes: Lifetimes = HOURLY
    refreshes: int = 0
    probes: int = 0
    store_is_down: bool = False
    refused: int = 0  # transitions, because of that
    reminder_days: list[float] = field(default_factory=list)
    gate: asyncio.Event | None = None  # a refresh waits here for its answer, a probe's answer for its way back
    refresh_answer: Callable[[CredentialTask], CredentialOutcome] | None = None
    probe_answer: Callable[[CredentialTask], CredentialOutcome] | None = None
    transitions: list[Transition] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)  # whose account each transition was recorded of

    @property
    def events(self) -> list[EventType | None]:
        return [transition.event for transition in self.transitions if transition.event]

    @activity.defn(name=Activity.REFRESH)
    async def refresh(self, task: CredentialTask) -> CredentialOutcome:
        self.refreshes += 1
        if self.gate is not None:
            await self.gate.wait()
        outcome = self.refresh_answer(task) if self.refresh_answer else ok(task, self.lifetimes)
        return _raised(outcome)

    @activity.defn(name=Activity.PROBE)
    async def probe(self, task: CredentialTask) -> CredentialOutcome:
        self.probes += 1
        outcome = self.probe_answer(task) if self.probe_answer else works(task, self.lifetimes)
        if self.gate is not None:
            await self.gate.wait()
        return _raised(outcome)

    @activity.defn(name=Activity.RECORD_TRANSITION)
    async def record(self, task: TransitionTask) -> Recorded:
        if self.store_is_down:
            self.refused += 1
            raise ApplicationError("the database cannot be reached")
        self.transitions.append(task.transition)
        self.identifiers.append(task.ref.identifier)
        return self.recorded(task.transition)

    def recorded(self, transition: Transition) -> Recorded:
        return Recorded(reminder_days=self.reminder_days if transition.event is EventType.EXPIRED else [])

    @activity.defn(name=Activity.STORE_SEALED)
    async def store_sealed(self, task: StoreSealedTask) -> bool:
        if self.store_is_down:
            raise ApplicationError("the database cannot be reached")
        self.calls.append(f"stored {task.sealed} over {task.replaces}")
        return True

    @activity.defn(name=Activity.REVOKE_UPSTREAM)
    async def revoke(self, task: CredentialTask) -> CredentialOutcome:
        self.calls.append(f"{'uninstalled' if task.uninstall else 'revoked'} {task.generation}")
        return CredentialOutcome(verdict=Verdict.OK, generation=task.generation, note="revoked at the provider")

    @activity.defn(name=Activity.PURGE_CREDENTIAL)
    async def purge(self, task: CredentialTask) -> None:
        self.calls.append("purged")

    @property
    def activities(self) -> list[Callable[..., Any]]:
        return [self.refresh, self.probe, self.record, self.store_sealed, self.revoke, self.purge]


class Unhurried(Provider):
    """The cheap first try of a refresh finds a crowd; the activity behind it waits for its answer whoever cancels."""

    @activity.defn(name=Activity.REFRESH)
    async def refresh(self, task: CredentialTask) -> CredentialOutcome:
        if activity.info().is_local and self.gate is not None:
            return transient(task, deferred=True)
        return await super().refresh(task)


def ok(task: CredentialTask, lifetimes: Lifetimes) -> CredentialOutcome:
    return CredentialOutcome(
        verdict=Verdict.OK, generation=task.generation + 1, lifetimes=lifetimes, note="the provider granted a token"
    )


def works(task: CredentialTask, lifetimes: Lifetimes) -> CredentialOutcome:
    return CredentialOutcome(verdict=Verdict.OK, generation=task.generation, lifetimes=lifetimes, note="accepted")


def dead(task: CredentialTask, reason: ReauthReason = ReauthReason.ACCESS_REVOKED) -> CredentialOutcome:
    return CredentialOutcome(verdict=Verdict.DEAD, generation=task.generation, reason=reason, note="refused")


def transient(task: CredentialTask, retry_after: float | None = None, deferred: bool = False) -> CredentialOutcome:
    return CredentialOutcome(
        verdict=Verdict.TRANSIENT,
        generation=task.generation,
        note="HTTP 503",
        retry_after=retry_after,
        deferred=deferred,
    )


def unsupported(task: CredentialTask) -> CredentialOutcome:
    return CredentialOutcome(verdict=Verdict.UNSUPPORTED, generation=task.generation, note="no probe")


def application_error(task: CredentialTask) -> CredentialOutcome:
    return CredentialOutcome(verdict=Verdict.APPLICATION_ERROR, generation=task.generation, note="invalid client")


def _raised(outcome: CredentialOutcome) -> CredentialOutcome:
    if outcome.verdict is Verdict.TRANSIENT and not activity.info().is_local:
        raise retryable(outcome)
    return outcome


@dataclass
class Life:
    """One connection under test."""

    client: Client
    provider: Provider
    ref: ConnectionRef

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(connection_workflow_id(self.ref.connection_id))

    async def connect(
        self,
        generation: int = 1,
        lifetimes: Lifetimes | None = None,
        identifier: str | None = None,
        waiters: Sequence[Waiter] = (),
    ) -> ConnectionView:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            Workflow.CONNECTION,
            ConnectionState(ref=self.ref, waiters=list(waiters)),
            id=connection_workflow_id(self.ref.connection_id),
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        lifetimes = lifetimes or self.provider.lifetimes
        command = ConnectCommand(generation=generation, lifetimes=lifetimes, identifier=identifier)
        view: ConnectionView = await self.client.execute_update_with_start_workflow(
            Update.CONNECT, command, start_workflow_operation=start, result_type=ConnectionView
        )
        return view

    async def begin(self, state: ConnectionState) -> None:
        """As a run does that follows another."""
        await self.client.start_workflow(Workflow.CONNECTION, state, id=self.handle.id, task_queue=TASK_QUEUE)

    async def refresh(self, newer_than: int = 1) -> ConnectionView:
        command = RefreshCommand(newer_than=newer_than)
        view: ConnectionView = await self.handle.execute_update(Update.REFRESH, command, result_type=ConnectionView)
        return view

    async def report(self) -> None:
        rejected = CredentialRejected(request_id=uuid4().hex, generation=1)
        await self.handle.signal(Signal.CREDENTIAL_REJECTED, rejected)

    @asynccontextmanager
    async def asked_of_a_report(self) -> AsyncIterator[asyncio.Task[ConnectionView]]:
        """A report was made, and somebody asks for a refresh; the answer of the provider is on its way meanwhile."""
        self.provider.gate, asked = asyncio.Event(), self.provider.probes
        await self.report()
        async with asyncio.timeout(20):
            while self.provider.probes == asked:
                await asyncio.sleep(0.05)
        update = await self.handle.start_update(
            Update.REFRESH,
            RefreshCommand(newer_than=1),
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            result_type=ConnectionView,
        )
        yield asyncio.create_task(update.result())
        self.provider.gate.set()

    async def disconnect(self, *, uninstall: bool = False) -> ConnectionView:
        command = DisconnectCommand(uninstall=uninstall)
        view: ConnectionView = await self.handle.execute_update(Update.DISCONNECT, command, result_type=ConnectionView)
        return view

    async def tell(self, event: ProviderEvent) -> None:
        await self.handle.signal(Signal.PROVIDER_EVENT, event)

    async def wait(self) -> WorkflowHandle[Any, Any]:
        """What the Nexus operation `await_active` starts; needs a waiting room."""
        return await self.client.start_workflow(
            Workflow.WAITING,
            ConnectionAsked(connection_id=self.ref.connection_id),
            id=waiting_workflow_id(self.ref.connection_id, uuid4().hex),
            task_queue=NEXUS_TASK_QUEUE,
            result_type=ConnectionStanding,
        )

    async def until_waited_for(self, times: int) -> None:
        """As the connection's page says."""
        wanted = f"to be active: {times}" if times else None
        async with asyncio.timeout(20):
            while True:
                page: WorkflowMetadata = await self.handle.query("__temporal_workflow_metadata")
                details = page.current_details
                if (wanted in details) if wanted else ("to be active" not in details):
                    return
                await asyncio.sleep(0.05)

    async def status(self) -> ConnectionView:
        view: ConnectionView = await self.handle.query(Query.STATUS, result_type=ConnectionView)
        return view


@asynccontextmanager
async def living(client: Client, provider: Provider | None = None, **options: Any) -> AsyncIterator[Life]:
    """A worker with scripted activities and a connection that nobody has connected yet."""
    provider = provider or Provider()
    async with Worker(client, task_queue=TASK_QUEUE, activities=provider.activities, **options):
        yield Life(client, provider, new_ref())


@asynccontextmanager
async def waiting_room(client: Client) -> AsyncIterator[None]:
    """A worker for those who wait."""
    async with Worker(client, task_queue=NEXUS_TASK_QUEUE, workflows=NEXUS_WORKFLOWS):
        yield


def new_ref() -> ConnectionRef:
    return ConnectionRef(
        org_id="org",
        environment=Environment.TEST,
        connection_id=f"con_{uuid4().hex}",
        slug="sandbox",
        linked_account_id="acme",
        identifier="ada@acme.example",
        auth_type=AuthType.OAUTH2,
    )
