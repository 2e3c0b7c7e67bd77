"""What the seed's routes look up before they act or answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from api.errors import not_found
from api.routes.seed.views import AccountView, ApplicationView, account_view, application_view
from api.services import Services
from everlink.contract import ConnectionStatus
from providers.entry import CatalogEntry
from store.scope import Scope
from store.tables import Application, Connection, LinkedAccount


async def enabled(made: Services, scope: Scope, slug: str) -> tuple[Application, CatalogEntry]:
    application, entry = await made.tenants.application(scope, slug), await made.entry(scope, slug)
    if application is None or entry is None:
        raise not_found("application")
    return application, entry


async def living(made: Services, scope: Scope, account_id: str, slug: str | None = None) -> list[Connection]:
    """All connections of a linked account that have not ended: the seed knows no pages."""
    return await made.connections.living(scope, [account_id], slug)


async def application_views(made: Services, scope: Scope, account_id: str) -> list[ApplicationView]:
    """The organization's applications, as this linked account sees them."""
    return (await _seen_by(made, scope, [account_id]))[account_id]


async def application_seen(made: Services, scope: Scope, account_id: str, slug: str) -> ApplicationView:
    """One application, as this linked account sees it."""
    for view in await application_views(made, scope, account_id):
        if view.slug == slug:
            return view
    raise not_found("application")


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
    enabled_ids = {row.slug: row.id for row in await made.tenants.applications(scope)}
    slugs = {account_id: enabled_ids.keys() | _connected(connections[account_id]) for account_id in account_ids}
    entries = {slug: await made.entry(scope, slug) for slug in set[str]().union(*slugs.values())}
    return {
        account_id: [
            application_view(enabled_ids.get(slug), entry, connections[account_id])
            for slug in sorted(slugs[account_id])
            if (entry := entries[slug]) is not None
        ]
        for account_id in account_ids
    }


def _connected(connections: Sequence[Connection]) -> set[str]:
    """What somebody has connected stays to be seen where the application was deleted: it has to be mended."""
    return {row.slug for row in connections if row.status != ConnectionStatus.PENDING}
