"""Signatures of a request: by a secret that both know, or by the provider's key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from providers.events import Ed25519Signature, HmacSignature, Signed, Stamp
from providers.inbound.incoming import Incoming, Refused, Said, moment
from providers.templates import PLACE


def verify_signed(
    scheme: HmacSignature | Ed25519Signature, incoming: Incoming, said: Said, secrets: Iterable[str], now: datetime
) -> None:
    """Whether one of the secrets, or keys, made the signature of these very bytes, a short while ago.

    Raises:
        Refused: none did, or it was too long ago.
    """
    parts = _parts(scheme, incoming.header(scheme.header))
    stamp = _stamp(scheme, incoming, said, parts)
    message = _message(scheme, incoming, stamp)
    shown = _shown(scheme, incoming, parts)
    works = _hmac_works if isinstance(scheme, HmacSignature) else _ed25519_works
    if not any([works(scheme, secret, message, shown) for secret in secrets]):  # all of them: in the same time
        raise Refused("the signature does not fit")
    if scheme.timestamp is not None:
        check_age(stamp, scheme.timestamp, now)


def check_age(text: str | None, stamp: Stamp, now: datetime) -> None:
    """
    Raises:
        Refused: the time is none, or too far away from now on either side.
    """
    at = moment(text, stamp.unit) if text is not None else None
    if at is None or abs(now - at) > timedelta(seconds=stamp.tolerance_seconds):
        raise Refused("it was signed too long ago, or ahead of time")


def _parts(scheme: Signed, header: str) -> list[tuple[str, str]]:
    """Of a header that is a list, by name; else nothing."""
    if scheme.part is None:
        return []
    pairs = (item.strip().partition("=") for item in header.split(","))
    return [(name, value) for name, _, value in pairs]


def _stamp(scheme: Signed, incoming: Incoming, said: Said, parts: list[tuple[str, str]]) -> str | None:
    if scheme.timestamp is None:
        return None
    place, _, name = scheme.timestamp.at.partition(".")
    if place == "header":
        return incoming.header(name)
    if place == "part":
        found = [value for known, value in parts if known == name]
        return found[0] if len(found) == 1 else None
    return said.text(scheme.timestamp.at)


def _message(scheme: Signed, incoming: Incoming, stamp: str | None) -> bytes:
    values = {
        "timestamp": (stamp or "").encode(errors="replace"),
        "body": incoming.body,
        "url": incoming.url.encode(),
        "method": incoming.method.encode(),
        "id": incoming.header(scheme.id_header).encode(errors="replace") if scheme.id_header else b"",
    }
    pieces = PLACE.split(scheme.signed)  # texts, with the names of values between them
    return b"".join(values[piece] if number % 2 else piece.encode() for number, piece in enumerate(pieces))


def _shown(scheme: Signed, incoming: Incoming, parts: list[tuple[str, str]]) -> list[bytes]:
    """The signatures that came; what is none is left out."""
    texts = [value for name, value in parts if name == scheme.part] if scheme.part else [incoming.header(scheme.header)]
    shown = []
    for text in texts:
        if text.startswith(scheme.prefix):
            try:
                shown.append(_decoded(text.removeprefix(scheme.prefix), scheme.encoding))
            except (ValueError, binascii.Error):
                continue
    return shown


def _decoded(text: str, encoding: str) -> bytes:
    return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)


def _hmac_works(scheme: Signed, secret: str, message: bytes, shown: list[bytes]) -> bool:
    assert isinstance(scheme, HmacSignature)
    made = hmac.new(secret.encode(), message, getattr(hashlib, scheme.algorithm)).digest()
    return any([hmac.compare_digest(made, one) for one in shown])


def _ed25519_works(_: Signed, public_key: str, message: bytes, shown: list[bytes]) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except ValueError:
        return False
    return any([_is_of(key, message, one) for one in shown])


def _is_of(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
