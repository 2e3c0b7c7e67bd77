"""Begins a removal: written down first, then started; upkeep starts what could not be started now."""

from __future__ import annotations

from api.errors import not_found
from api.services import Services
from api.starting import start_or_leave
from everlink import models
from everlink.contract import RemovalKind, Workflow
from store.scope import Scope
from store.starting import removal_start_options
from store.tables import Removal


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
    await start_or_leave(made, Workflow.REMOVAL, removal_start_options(removal))
    return removal_out(removal)
