"""Requests as providers sign them, made with nothing of ours: the standard library, and `cryptography` for keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from providers.inbound.incoming import Incoming

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECRET = "a-secret-that-is-long-enough-for-hs256"
CLIENT_ID, CLIENT_SECRET = "client-1", "the-client-secret-that-is-long-enough"
URL = "https://everlink.example/hooks/app/production/org"

ED25519 = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Sent:
    """A request of a provider's, to be altered."""

    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    url: str = URL
    query: str = ""
    said: dict[str, Any] = field(default_factory=dict)

    def incoming(self) -> Incoming:
        return Incoming(self.method, self.url, self.headers, self.query, self.body)

    def header(self, name: str) -> str:
        return next(value for known, value in self.headers if known == name)

    def with_header(self, name: str, value: str) -> Sent:
        others = tuple(one for one in self.headers if one[0] != name)
        return replace(self, headers=(*others, (name, value)))

    def without(self, name: str) -> Sent:
        return replace(self, headers=tuple(one for one in self.headers if one[0] != name))


def hex_hmac(secret: str, text: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), text, getattr(hashlib, algorithm)).hexdigest()


def base64_hmac(secret: str, text: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.new(secret.encode(), text, getattr(hashlib, algorithm)).digest()).decode()


def base64url(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def hs256(claims: dict[str, Any], secret: str = CLIENT_SECRET, algorithm: str = "HS256") -> str:
    head = base64url(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signed = f"{head}.{base64url(json.dumps(claims).encode())}"
    made = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest() if algorithm != "none" else b""
    return f"{signed}.{base64url(made)}"


def rs256(claims: dict[str, Any], key: rsa.RSAPrivateKey = RSA, kid: str = "one", typ: str = "secevent+jwt") -> bytes:
    head = base64url(json.dumps({"alg": "RS256", "kid": kid, "typ": typ}).encode())
    signed = f"{head}.{base64url(json.dumps(claims).encode())}"
    return f"{signed}.{base64url(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}".encode()


def jwks(key: rsa.RSAPrivateKey = RSA, kid: str = "one") -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    n = base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big"))
    return {"keys": [{"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": n, "e": "AQAB"}]}


def signed_request(claims: dict[str, Any], secret: str = CLIENT_SECRET) -> bytes:
    payload = base64url(json.dumps(claims).encode())
    made = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest()
    return f"signed_request={base64url(made)}.{payload}".encode()


def basic(client_id: str = CLIENT_ID, secret: str = CLIENT_SECRET) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
