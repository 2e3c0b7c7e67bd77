"""Writes what happened, and sets its event on the way."""

from __future__ import annotations

from temporalio import activity
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.shared import Shared
from everlink.contract import (
    TASK_QUEUE,
    Activity,
    ConnectionRef,
    DeliveryTask,
    TransitionTask,
    Workflow,
    delivery_workflow_id,
    search_attributes,
)


class RecordActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.RECORD_TRANSITION)
    async def record_transition(self, task: TransitionTask) -> None:
        """One transaction for the transition and its event, then a delivery for each endpoint. Idempotent."""
        shared = self._shared
        due = await shared.connections.record(task.ref, task.transition, shared.clock())
        event_id = str(task.transition.event_id(task.ref.connection_id))
        for endpoint_id in due:
            await self._start_delivery(task.ref, event_id, endpoint_id, str(task.transition.event))

    async def _start_delivery(self, ref: ConnectionRef, event_id: str, endpoint_id: str, what: str) -> None:
        assert self._shared.temporal is not None
        delivery = DeliveryTask(
            org_id=ref.org_id, environment=ref.environment, event_id=event_id, endpoint_id=endpoint_id
        )
        try:
            await self._shared.temporal.start_workflow(
                Workflow.DELIVERY,
                delivery,
                id=delivery_workflow_id(event_id, endpoint_id),
                task_queue=TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=search_attributes(ref),
                static_summary=f"{what} · {ref.linked_account_id} · {ref.slug}",
            )
        except WorkflowAlreadyStartedError:
            return  # an earlier try of this activity got that far
