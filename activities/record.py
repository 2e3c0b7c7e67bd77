"""Writes what happened, and sets its event on the way."""

from __future__ import annotations

from temporalio import activity

from activities.shared import Shared
from everlink.contract import Activity, EventType, Recorded, TransitionTask
from store.scope import Scope


class RecordActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.RECORD_TRANSITION)
    async def record_transition(self, task: TransitionTask) -> Recorded:
        """One transaction for the transition and its event, then a delivery for each endpoint. Idempotent."""
        scope = Scope.of(task.ref)
        announced = await self._shared.connections.record(task.ref, task.transition, self._shared.clock())
        if announced is not None:
            await self._shared.start_deliveries(scope, announced)
        if task.transition.event is not EventType.EXPIRED:
            return Recorded()
        return Recorded(reminder_days=(await self._shared.tenants.settings(scope)).reminder_days)
