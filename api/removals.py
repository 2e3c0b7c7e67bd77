"""Begins a removal: written down first, then started; upkeep starts what could not be started now."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from api.errors import not_found
from api.services import Services
from everlink import models
from everlink.contract import RemovalKind, Workflow
from store.scope import Scope
from store.starting import removal_start_options
from store.tables import Removal

START_TIMEOUT = timedelta(seconds=5)

log = logging.getLogger("everlink.api")


def removal_out(removal: Removal) -> models.Removal:
    return models.Removal(**removal.model_dump())


async def remove(made: Services, scope: Scope, kind: RemovalKind, subject: str) -> models.Removal:
    """The removal that is under way from now on, or was already.

    Raises:
        ApiError: 404 where there is nothing of that name.
    """
    removal = await made.removals.begin(scope, kind, subject, made.clock())
    if removal is None:
        raise not_found(kind.value)
    await _start(made, removal)
    return removal_out(removal)


async def _start(made: Services, removal: Removal) -> None:
    """At once; where Temporal is away, the removal is written down, and upkeep starts it."""
    try:
        async with asyncio.timeout(START_TIMEOUT.total_seconds()):
            with suppress(WorkflowAlreadyStartedError):
                await made.temporal.start_workflow(Workflow.REMOVAL, **removal_start_options(removal))
    except (TimeoutError, RPCError, RuntimeError) as error:  # the last is how the SDK says that it cannot connect
        log.warning("removal %s is left to upkeep: %s", removal.id, type(error).__name__)
