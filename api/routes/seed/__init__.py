"""The seed's API: products that were written for it work unchanged."""

from api.routes.seed import accounts, applications, integrations, sdk, sessions

ROUTERS = [applications.router, accounts.router, integrations.router, sessions.router, sdk.router]

__all__ = ["ROUTERS"]
