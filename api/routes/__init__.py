"""One router file per resource."""

from api.routes import applications, connect, connections, health, public, webhook_endpoints

ROUTERS = [
    public.router,
    connections.router,
    applications.router,
    webhook_endpoints.router,
    connect.router,
    health.router,
]

__all__ = ["ROUTERS"]
