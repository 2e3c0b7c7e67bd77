"""Starts the workflow of a delivery, as the activity that records an event and upkeep do, and that of a removal."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError

from everlink.contract import DeliveryTask, Workflow
from store.starting import delivery_start_options, removal_start_options
from store.strays import ScheduledDelivery
from store.tables import Removal

START_TIMEOUT = timedelta(seconds=10)


async def start_delivery(
    temporal: Client, delivery: DeliveryTask, *, event: str, slug: str, linked_account_id: str | None
) -> bool:
    """Whether it was started: not where one runs or has come to its own end, but again where one was cut off."""
    options = delivery_start_options(delivery, event=event, slug=slug, linked_account_id=linked_account_id)
    try:
        await temporal.start_workflow(Workflow.DELIVERY, **options, rpc_timeout=START_TIMEOUT)
    except WorkflowAlreadyStartedError:
        return False
    return True


async def start_scheduled(temporal: Client, delivery: ScheduledDelivery) -> bool:
    """The same where the store says how far it is."""
    return await start_delivery(
        temporal,
        delivery.task,
        event=delivery.event,
        slug=delivery.slug,
        linked_account_id=delivery.linked_account_id,
    )


async def start_removal(temporal: Client, removal: Removal) -> bool:
    """Whether it was started: not where one runs or has come to its own end, but again where one was cut off."""
    try:
        await temporal.start_workflow(Workflow.REMOVAL, **removal_start_options(removal), rpc_timeout=START_TIMEOUT)
    except WorkflowAlreadyStartedError:
        return False
    return True
