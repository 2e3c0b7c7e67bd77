"""Signatures of outgoing webhooks: by the Standard Webhooks specification (v1, symmetric), and the seed's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

PREFIX = "whsec_"
LEGACY_HEADER = "x-cobalt-signature"


def new_secret() -> str:
    """A signing secret as its receiver gets it: 32 random bytes."""
    return PREFIX + base64.b64encode(os.urandom(32)).decode()


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: HMAC-SHA256 of id, timestamp (Unix seconds) and raw body."""
    key = base64.b64decode(secret.decode().removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def legacy_sign(secret: bytes, body: bytes) -> str:
    """The seed's header: HMAC-SHA256 of the raw body in hex. It says neither which message this is, nor when."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()
