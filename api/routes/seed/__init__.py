"""The seed's API: products that were written for it work unchanged."""

from api.routes.seed import accounts, applications, integrations, migration, webhooks

ROUTERS = [
    applications.router,
    integrations.router,
    accounts.router,  # behind the integrations: an account's id may hold slashes
    migration.router,
    webhooks.router,
]

__all__ = ["ROUTERS"]
