"""Finds what should have a workflow and may have none, a page at a time, and starts or tells it.

Every start and message here is idempotent, and the workflow's own state is the truth: upkeep writes no status.
What cannot be mended now is counted, and stays for a later round.
"""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import activity
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.pages import each
from activities.shared import Shared
from activities.starting import START_TIMEOUT, start_delivery, start_removal, start_replay, wake_inbox
from everlink.contract import (
    Activity,
    ConnectCommand,
    ConnectionStatus,
    ConnectionView,
    InboxTask,
    Lifetimes,
    SweepOutcome,
    SweepTask,
    Update,
    Workflow,
    connect_update_id,
)
from store.connections import connection_ref
from store.inbox import Inbox, inbox_place
from store.outage_ends import OutageEnds
from store.removals import Removals
from store.replays import Replays
from store.scope import Scope
from store.starting import start_options
from store.strays import Held, ScheduledDelivery, Strays
from store.tables import Application, Removal, Replay

PAGE = 100


class UpkeepActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._strays = Strays(shared.database)
        self._removals = Removals(shared.database)
        self._replays = Replays(shared.database)
        self._outages = OutageEnds(shared.database)
        self._inbox = Inbox(shared.database)

    @activity.defn(name=Activity.SWEEP_DELIVERIES)
    async def sweep_deliveries(self, task: SweepTask) -> SweepOutcome:
        """Deliveries whose next attempt is overdue are started, unless their workflow runs."""
        event_id, _, endpoint_id = (task.after or "").partition("/")
        page = await self._strays.deliveries(self._shared.clock(), (event_id, endpoint_id), PAGE)
        return await each(page, self._deliver, lambda last: f"{last.task.event_id}/{last.task.endpoint_id}", PAGE)

    @activity.defn(name=Activity.SWEEP_GRANTS)
    async def sweep_grants(self, task: SweepTask) -> SweepOutcome:
        """Grants that the vault has and no workflow has confirmed are sent again."""
        return await each(await self._strays.unconfirmed(task.after or "", PAGE), self._connect, _id, PAGE)

    @activity.defn(name=Activity.SWEEP_OVERDUE)
    async def sweep_overdue(self, task: SweepTask) -> SweepOutcome:
        """Connections whose credential has expired and nobody renews it: their workflow may be missing."""
        page = await self._strays.overdue(self._shared.clock(), task.after or "", PAGE)
        return await each(page, self._start, _id, PAGE)

    @activity.defn(name=Activity.SWEEP_FLEET)
    async def sweep_fleet(self, task: SweepTask) -> SweepOutcome:
        """Whatever holds a credential has a workflow.

        Asking Temporal for each of tens of thousands is too much for every minute, and a list of all that run
        would be both late and long: so every round asks for a part.
        """
        page = await self._strays.part(task.part, task.parts, task.after or "", PAGE)
        return await each(page, self._start, _id, PAGE)

    @activity.defn(name=Activity.SWEEP_REMOVALS)
    async def sweep_removals(self, task: SweepTask) -> SweepOutcome:
        """Removals that have not finished have a workflow: Temporal may have been away when they began."""
        page = await self._removals.unfinished(task.after or "", PAGE)
        return await each(page, self._remove, lambda last: last.id, PAGE)

    @activity.defn(name=Activity.SWEEP_REPLAYS)
    async def sweep_replays(self, task: SweepTask) -> SweepOutcome:
        """The same of replays."""
        page = await self._replays.unfinished(task.after or "", PAGE)
        return await each(page, self._replay, lambda last: last.id, PAGE)

    async def _replay(self, replay: Replay) -> bool:
        return await start_replay(self._temporal, replay)

    @activity.defn(name=Activity.SWEEP_OUTAGES)
    async def sweep_outages(self, task: SweepTask) -> SweepOutcome:
        """What time brings about is told: that an outage is over, and of whom it lasts."""
        page = await self._outages.pending(task.after or "", PAGE)
        return await each(page, self._settle, lambda last: last.id, PAGE)

    @activity.defn(name=Activity.SWEEP_INBOX)
    async def sweep_inbox(self, task: SweepTask) -> SweepOutcome:
        """What providers told has somebody who passes it on; what was passed on long ago is forgotten."""
        now = self._shared.clock()
        page = await self._inbox.overdue(now, task.after or "", PAGE)
        outcome = await each(page, self._wake, inbox_place, PAGE)
        while outcome.after is None and await self._inbox.forget(now):
            activity.heartbeat()
        return outcome

    async def _wake(self, task: InboxTask) -> bool:
        return await wake_inbox(self._temporal, task)

    async def _settle(self, application: Application) -> bool:
        announced = await self._outages.settle(application.id, self._shared.clock())
        for one in announced:
            await self._shared.start_deliveries(Scope(application.org_id, application.environment), one)
        return bool(announced)

    async def _remove(self, removal: Removal) -> bool:
        return await start_removal(self._temporal, removal)

    async def _deliver(self, overdue: ScheduledDelivery) -> bool:
        return await start_delivery(self._temporal, overdue)

    async def _connect(self, held: Held) -> bool:
        assert held.unconfirmed is not None
        scope = Scope.of(connection_ref(held.connection))
        latest = await self._shared.connections.get(scope, held.connection.id)
        if latest is None or latest.status is ConnectionStatus.DISCONNECTED:
            return False  # it ended after the page was read; one that never lived would be started anew
        lifetimes = await self._lifetimes(held)
        if lifetimes is None:
            raise LookupError("this worker's catalog lacks the application")
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            Workflow.CONNECTION,
            **await self._options(held, lifetimes),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT.total_seconds()):
                await self._temporal.execute_update_with_start_workflow(
                    Update.CONNECT,
                    ConnectCommand(
                        generation=held.unconfirmed, lifetimes=lifetimes, identifier=held.connection.identifier
                    ),
                    start_workflow_operation=start,
                    id=connect_update_id(held.unconfirmed),
                    result_type=ConnectionView,
                )
        except WorkflowAlreadyStartedError:
            return False  # the connection has ended, and is purged
        await self._shared.credentials.confirm(scope, held.connection.id, held.unconfirmed)
        return True

    async def _start(self, held: Held) -> bool:
        options = await self._options(held, await self._lifetimes(held))
        try:
            await self._temporal.start_workflow(Workflow.CONNECTION, **options, rpc_timeout=START_TIMEOUT)
        except WorkflowAlreadyStartedError:
            return False  # it runs, or has come to its own end
        return True

    async def _options(self, held: Held, lifetimes: Lifetimes | None) -> dict[str, Any]:
        shared = self._shared
        reminders = await shared.reminders.plan(held.connection)
        return start_options(held.connection, held.stored, lifetimes, reminders, shared.clock(), shared.public_url)

    async def _lifetimes(self, held: Held) -> Lifetimes | None:
        connection, stored = held.connection, held.stored
        entry = await self._shared.find_entry(Scope(connection.org_id, connection.environment), connection.slug)
        if entry is None:
            return None
        return entry.lifetimes(**stored.left(self._shared.clock()))

    @property
    def _temporal(self) -> Client:
        assert self._shared.temporal is not None
        return self._shared.temporal


def _id(held: Held) -> str:
    return held.connection.id
