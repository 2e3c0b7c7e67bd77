"""One router file per resource."""

from api.routes import applications, connect, connections, export, health, removals, seed, webhook_endpoints

ROUTERS = [
    *seed.ROUTERS,
    connections.router,
    applications.router,
    webhook_endpoints.router,
    removals.router,
    export.router,
    connect.router,
    health.router,
]

__all__ = ["ROUTERS"]
