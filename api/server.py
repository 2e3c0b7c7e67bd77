"""How the API is served."""

from __future__ import annotations

from typing import Any

from api.limits import MAX_HEADER_BYTES
from store.settings import Settings


def server_options(settings: Settings) -> dict[str, Any]:
    """For uvicorn."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level.lower(),
        "access_log": False,  # it would log the links' secrets
        "server_header": False,
        "http": "h11",
        "h11_max_incomplete_event_size": 2 * MAX_HEADER_BYTES,  # beyond, it answers 400 by itself
        "forwarded_allow_ips": settings.trusted_proxies,
        "timeout_graceful_shutdown": 10,
    }
