"""How secrets are kept that are only ever compared."""

from __future__ import annotations

import hashlib


def sha256(secret: str) -> str:
    """How random secrets are kept: there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(secret.encode()).hexdigest()
