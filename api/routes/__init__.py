"""One router file per resource."""

from api.routes import (
    api_keys,
    applications,
    catalog,
    connect,
    connect_attempts,
    connect_sessions,
    connections,
    console,
    event_deliveries,
    events,
    export,
    framed,
    health,
    hooks,
    hosted,
    linked_accounts,
    removals,
    replays,
    sdk,
    seed,
    settings,
    webhook_endpoints,
)

ROUTERS = [
    *seed.ROUTERS,
    connections.router,
    applications.router,
    catalog.router,
    linked_accounts.router,
    connect_sessions.router,
    webhook_endpoints.router,
    event_deliveries.router,
    events.router,
    replays.router,
    api_keys.router,
    settings.router,
    removals.router,
    export.router,
    hooks.router,
    connect_attempts.router,
    connect.router,
    framed.router,
    hosted.router,  # after the other addresses under /connect, which its link would catch
    sdk.router,
    console.router,
    health.router,
]

__all__ = ["ROUTERS"]
