"""Writes what happened, and sets its event on the way."""

from __future__ import annotations

from temporalio import activity

from activities.shared import Shared
from activities.starting import start_delivery
from everlink.contract import Activity, DeliveryTask, TransitionTask


class RecordActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.RECORD_TRANSITION)
    async def record_transition(self, task: TransitionTask) -> None:
        """One transaction for the transition and its event, then a delivery for each endpoint. Idempotent."""
        shared, ref = self._shared, task.ref
        due = await shared.connections.record(ref, task.transition, shared.clock())
        event_id = str(task.transition.event_id(ref.connection_id))
        for endpoint_id in due:
            assert shared.temporal is not None
            delivery = DeliveryTask(
                org_id=ref.org_id, environment=ref.environment, event_id=event_id, endpoint_id=endpoint_id
            )
            await start_delivery(
                shared.temporal,
                delivery,
                event=str(task.transition.event),
                slug=ref.slug,
                linked_account_id=ref.linked_account_id,
            )
