"""What the seed's routes look up before they act or answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from api.errors import not_found
from api.routes.seed.views import AccountView, ApplicationView, account_view, application_view
from api.services import Services
from providers.catalog import CatalogEntry
from store.scope import Scope
from store.tables import Application, Connection, LinkedAccount


async def enabled(made: Services, scope: Scope, slug: str) -> tuple[Application, CatalogEntry]:
    application, entry = await made.tenants.application(scope, slug), made.catalog.get(slug)
    if application is None or entry is None:
        raise not_found("application")
    return application, entry


async def living(made: Services, scope: Scope, account_id: str, slug: str | None = None) -> list[Connection]:
    """All connections of a linked account that have not ended: the seed knows no pages."""
    return await made.connections.living(scope, [account_id], slug)


async def application_views(made: Services, scope: Scope, account_id: str) -> list[ApplicationView]:
    """The organization's applications, as this linked account sees them."""
    return (await _seen_by(made, scope, [account_id]))[account_id]


async def account_views(made: Services, scope: Scope, rows: Sequence[LinkedAccount]) -> list[AccountView]:
    """Linked accounts, each with what it has connected."""
    seen = await _seen_by(made, scope, [row.id for row in rows])
    return [account_view(row, seen[row.id]) for row in rows]


async def account_seen(made: Services, scope: Scope, row: LinkedAccount) -> AccountView:
    """One linked account, with what it has connected."""
    return (await account_views(made, scope, [row]))[0]


async def _seen_by(made: Services, scope: Scope, account_ids: Sequence[str]) -> dict[str, list[ApplicationView]]:
    connections: dict[str, list[Connection]] = defaultdict(list)
    for connection in await made.connections.living(scope, account_ids):
        connections[connection.linked_account_id].append(connection)
    applications = [(row, made.catalog.get(row.slug)) for row in await made.tenants.applications(scope)]
    return {
        account_id: [application_view(row, entry, connections[account_id]) for row, entry in applications if entry]
        for account_id in account_ids
    }
