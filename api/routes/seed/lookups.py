"""What the seed's routes look up before they act."""

from __future__ import annotations

from api.errors import not_found
from api.services import Services
from providers.catalog import CatalogEntry
from store.listing import ConnectionFilter
from store.scope import Scope
from store.tables import Application, Connection

PAGE = 1000


async def enabled(made: Services, scope: Scope, slug: str) -> tuple[Application, CatalogEntry]:
    application, entry = await made.tenants.application(scope, slug), made.catalog.get(slug)
    if application is None or entry is None:
        raise not_found("application")
    return application, entry


async def living(made: Services, scope: Scope, account_id: str, slug: str | None = None) -> list[Connection]:
    """All connections of a linked account that have not ended: the seed knows no pages."""
    wanted = ConnectionFilter(linked_account_id=account_id, slug=slug, living=True)
    found: list[Connection] = []
    while page := await made.connections.page(scope, wanted, after=found[-1].id if found else None, limit=PAGE):
        found += page
        if len(page) < PAGE:
            break
    return found
