"""Starts the workflow of a delivery; the activity that records an event and upkeep both do."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from everlink.contract import (
    TASK_QUEUE,
    ConnectionRef,
    DeliveryTask,
    Workflow,
    delivery_workflow_id,
    search_attributes,
)

START_TIMEOUT = timedelta(seconds=10)


async def start_delivery(temporal: Client, ref: ConnectionRef, delivery: DeliveryTask, event: str) -> bool:
    """Whether it was started: not where one runs or has come to its own end, but again where one was cut off."""
    try:
        await temporal.start_workflow(
            Workflow.DELIVERY,
            delivery,
            id=delivery_workflow_id(delivery.event_id, delivery.endpoint_id),
            task_queue=TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            search_attributes=search_attributes(ref),
            static_summary=f"{event} · {ref.linked_account_id} · {ref.slug}",
            rpc_timeout=START_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
