"""One router file per resource."""

from api.routes import applications, connect, connections, health, hosted, seed, settings, webhook_endpoints

ROUTERS = [
    *seed.ROUTERS,
    connections.router,
    applications.router,
    webhook_endpoints.router,
    settings.router,
    connect.router,
    hosted.router,  # after the other addresses under /connect, which its link would catch
    health.router,
]

__all__ = ["ROUTERS"]
