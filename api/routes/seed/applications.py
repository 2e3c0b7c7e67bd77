"""`/api/v2/public/application`: applications as one linked account sees them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Account, Made, Reads
from api.routes.seed.lookups import enabled, living
from api.routes.seed.views import ApplicationView, application_view

router = APIRouter(prefix="/api/v2/public/application", tags=["Seed API"])


@router.get("")
async def list_applications(
    made: Made,
    scope: Reads,
    account_id: Account,
    slug: Annotated[str | None, Query()] = None,
    auth_type: Annotated[str | None, Query()] = None,
) -> list[ApplicationView]:
    """The organization's applications, with what this linked account has connected and what needs a reconnect."""
    connections = await living(made, scope, account_id)
    views = []
    for application in await made.tenants.applications(scope):
        entry = made.catalog.get(application.slug)
        if entry is None or (slug and slug != entry.slug) or (auth_type and auth_type != entry.auth_type):
            continue
        views.append(application_view(application, entry, connections))
    return views


@router.get("/{slug}")
async def get_application(made: Made, scope: Reads, account_id: Account, slug: str) -> ApplicationView:
    """One application, as this linked account sees it."""
    application, entry = await enabled(made, scope, slug)
    return application_view(application, entry, await living(made, scope, account_id, slug))
