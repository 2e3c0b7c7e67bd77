"""The seed's API: products that were written for it work unchanged."""

from api.routes.seed import accounts, applications, integrations, migration, removals, sdk, sessions, webhooks

ROUTERS = [
    applications.router,
    integrations.router,
    accounts.router,  # behind the integrations: an account's id may hold slashes
    removals.router,
    migration.router,
    webhooks.router,
    sessions.router,
    sdk.router,
]

__all__ = ["ROUTERS"]
