"""The headers of a webhook that are ours: no endpoint's own headers replace them, however they are written."""

from __future__ import annotations

from providers.signature import LEGACY_HEADER

RESERVED_PREFIXES = ("webhook-", "content-")
RESERVED_HEADERS = {
    LEGACY_HEADER,
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def is_reserved(name: str) -> bool:
    """Whether a header is not an endpoint's to set: it would break the request, or pass for ours."""
    return name.lower().startswith(RESERVED_PREFIXES) or name.lower() in RESERVED_HEADERS
