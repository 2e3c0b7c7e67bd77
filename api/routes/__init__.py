"""One router file per resource."""

from api.routes import applications, connect, connections, health, linked_accounts, seed, webhook_endpoints

ROUTERS = [
    *seed.ROUTERS,
    connections.router,
    applications.router,
    linked_accounts.router,
    webhook_endpoints.router,
    connect.router,
    health.router,
]

__all__ = ["ROUTERS"]
