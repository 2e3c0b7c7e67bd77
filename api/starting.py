"""Sets on its way what is written down already: at once, or by upkeep where Temporal is away."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from api.services import Services
from everlink.contract import DeliveryTask, Workflow
from store.outbox import Announced
from store.scope import Scope
from store.starting import delivery_start_options

START_TIMEOUT = timedelta(seconds=5)

log = logging.getLogger("everlink.api")


async def start_deliveries(made: Services, scope: Scope, announced: Announced) -> None:
    """Set an event on its way to each endpoint that it is due at."""
    event = announced.event
    try:
        async with asyncio.timeout(START_TIMEOUT.total_seconds()):
            for endpoint_id in announced.endpoints:
                delivery = DeliveryTask(**scope._asdict(), event_id=event.id, endpoint_id=endpoint_id)
                account = event.body.get("linked_account_id")
                options = delivery_start_options(delivery, event=event.type, slug=event.slug, linked_account_id=account)
                with suppress(WorkflowAlreadyStartedError):
                    await made.temporal.start_workflow(Workflow.DELIVERY, **options)
    except (TimeoutError, RPCError, RuntimeError) as error:  # the last is how the SDK says that it cannot connect
        log.warning("deliveries of %s are left to upkeep: %s", event.id, type(error).__name__)
