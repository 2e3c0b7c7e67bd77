"""Starts what is written down in the store already; where Temporal is away, upkeep starts it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from api.services import Services
from everlink.contract import Workflow
from store.outbox import Announced
from store.scope import Scope
from store.starting import delivery_start_options
from store.strays import announced_deliveries

START_TIMEOUT = timedelta(seconds=5)

log = logging.getLogger("everlink.api")


async def start_deliveries(made: Services, scope: Scope, announced: Announced) -> None:
    """Set an event on its way to each endpoint that it is due at."""
    for delivery in announced_deliveries(scope, announced):
        await start_or_leave(made, Workflow.DELIVERY, delivery_start_options(delivery))


async def start_or_leave(made: Services, workflow: Workflow, options: dict[str, Any]) -> None:
    """Start a workflow with what `store/starting.py` says, unless it runs or has run."""
    try:
        async with asyncio.timeout(START_TIMEOUT.total_seconds()):
            with suppress(WorkflowAlreadyStartedError):
                await made.temporal.start_workflow(workflow, **options)
    except (TimeoutError, RPCError, RuntimeError) as error:  # the last is how the SDK says that it cannot connect
        log.warning("%s is left to upkeep: %s", options["id"], type(error).__name__)
