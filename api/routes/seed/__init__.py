"""The seed's API: products that were written for it work unchanged."""

from api.routes.seed import accounts, applications, integrations, removals

ROUTERS = [applications.router, accounts.router, integrations.router, removals.router]

__all__ = ["ROUTERS"]
