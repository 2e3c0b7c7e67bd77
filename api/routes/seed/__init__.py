"""The seed's API: products that were written for it work unchanged."""

from api.routes.seed import accounts, applications, integrations

ROUTERS = [applications.router, accounts.router, integrations.router]

__all__ = ["ROUTERS"]
