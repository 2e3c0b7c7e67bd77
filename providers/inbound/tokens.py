"""Tokens that prove where a request comes from, and claim what happened."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeGuard

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, OctKey

from providers.events import JwtSignature, SecurityEventToken
from providers.inbound.incoming import Incoming, Refused

LEEWAY_SECONDS = 60.0  # of two clocks
SET_TYPE = "secevent+jwt"

Claims = dict[str, Any]


def verify_jwt(scheme: JwtSignature, incoming: Incoming, secrets: Iterable[str], now: datetime) -> Claims:
    """The claims of a token in a header (HS256), which has to say when it ends.

    Raises:
        Refused: it is not signed by one of the secrets, for another audience, over, or not yet begun.
    """
    claims = _by_secret(incoming.header(scheme.header).removeprefix("Bearer "), secrets)
    if scheme.audience is not None and scheme.audience not in _audience(claims):
        raise Refused("the token is for somebody else", "invalid_audience")
    ends, begins = claims.get("exp"), claims.get("nbf", claims.get("iat", 0))
    if not _is_time(ends) or not _is_time(begins):
        raise Refused("the token does not say when it ends")
    if not begins - LEEWAY_SECONDS <= now.timestamp() < ends + LEEWAY_SECONDS:
        raise Refused("the token is over, or has not begun")
    return claims


def verify_event_token(scheme: SecurityEventToken, body: bytes, keys: KeySet, client_id: str | None) -> Claims:
    """The claims of a security event token (RFC 8417). It has no end; `jti` tells one from another.

    Raises:
        Refused: malformed, of another issuer, for another client, or not signed by one of the issuer's keys.
        InvalidKeyIdError: the key that it names is not among these.
    """
    try:
        token = jwt.decode(body.strip(), keys, algorithms=["RS256"])
    except InvalidKeyIdError:
        raise
    except (JoseError, ValueError, RecursionError) as error:
        malformed = getattr(error, "error", "") in ("decode_error", "invalid_payload")
        words = "it is no signed token" if malformed else "the signature does not fit"
        raise Refused(words, "invalid_request" if malformed else "authentication_failed") from None
    claims = token.claims
    if str(token.header.get("typ", SET_TYPE)).lower().removeprefix("application/") not in (SET_TYPE, "jwt"):
        raise Refused("it is a token of something else", "invalid_request")
    if claims.get("iss") not in scheme.issuer:
        raise Refused("the token is of another issuer", "invalid_issuer")
    if client_id is None or client_id not in _audience(claims):
        raise Refused("the token is for another client", "invalid_audience")
    whole = (
        isinstance(claims.get("events"), dict) and isinstance(claims.get("jti"), str) and _is_time(claims.get("iat"))
    )
    if not whole:
        raise Refused("it is no security event token", "invalid_request")
    return dict(claims)


def verify_signed_request(token: str | None, secrets: Iterable[str]) -> Claims:
    """The claims of a Meta `signed_request`: HMAC-SHA256 of the second part, as it stands, by the client's secret.

    Raises:
        Refused: it is not signed by one of the secrets.
    """
    shown, _, payload = (token or "").partition(".")
    try:
        signature, claims = _base64url(shown), json.loads(_base64url(payload))
    except (ValueError, binascii.Error, RecursionError):
        raise Refused("there is no signed request") from None
    if not isinstance(claims, dict) or str(claims.get("algorithm", "")).upper() != "HMAC-SHA256":
        raise Refused("there is no signed request")
    made = [hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest() for secret in secrets]
    if not any([hmac.compare_digest(one, signature) for one in made]):
        raise Refused("the signature does not fit")
    return claims


def _by_secret(token: str, secrets: Iterable[str]) -> Claims:
    for secret in secrets:
        try:
            return dict(jwt.decode(token, OctKey.import_key(secret.encode()), algorithms=["HS256"]).claims)
        except (JoseError, ValueError, RecursionError):
            continue
    raise Refused("the token is not signed as it should be")


def _audience(claims: Claims) -> list[Any]:
    audience = claims.get("aud")
    return audience if isinstance(audience, list) else [audience]


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11


def _base64url(text: str) -> bytes:
    if not text.isascii() or set("+/") & set(text):
        raise ValueError("not base64url")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
