"""Whether a request is the provider's: one verifier for each way of signing, chosen by the catalog."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from datetime import datetime

from joserfc.errors import InvalidKeyIdError

from providers.events import (
    CLAIMS,
    ClientCredentials,
    Ed25519Signature,
    Events,
    HmacSignature,
    JwtSignature,
    SecurityEventToken,
    SharedToken,
    SignedRequest,
    Unsigned,
)
from providers.inbound.incoming import Incoming, Refused, Said, read
from providers.inbound.keysets import KeySets
from providers.inbound.signatures import verify_signed
from providers.inbound.tokens import Claims, verify_event_token, verify_jwt, verify_signed_request


@dataclass(frozen=True)
class Proofs:
    """What an application knows its provider by. Of secrets there are two while one replaces the other."""

    client_id: str | None
    signing_secrets: tuple[str, ...] = field(repr=False, default=())
    client_secrets: tuple[str, ...] = field(repr=False, default=())

    def secrets(self, events: Events) -> tuple[str, ...]:
        """Those that these events are signed with, where it is by a secret."""
        return self.client_secrets if events.secret == "client_secret" else self.signing_secrets


async def verify(events: Events, incoming: Incoming, proofs: Proofs, keys: KeySets, now: datetime) -> Said:
    """What the request says, once it is proven to be the provider's.

    Raises:
        Refused: it is not, or is too old, or the application has no secret to tell.
        KeysUnavailable: the provider's keys cannot be fetched now.
    """
    said, signature = read(incoming, events), events.signature
    claims: Claims | None = None
    secrets = proofs.secrets(events)
    match signature:
        case HmacSignature() | Ed25519Signature():
            verify_signed(signature, incoming, said, secrets, now)
        case JwtSignature():
            claims = verify_jwt(signature, incoming, secrets, now)
        case SecurityEventToken():
            claims = await _event_token(signature, incoming, proofs, keys)
        case SignedRequest():
            claims = verify_signed_request(said.text("body.signed_request"), secrets)
        case ClientCredentials():
            _verify_basic(incoming, proofs)
        case SharedToken():
            _verify_token(signature, incoming, secrets)
        case Unsigned():
            pass
    return Said({**said.places, CLAIMS: claims}) if claims is not None else said


async def _event_token(scheme: SecurityEventToken, incoming: Incoming, proofs: Proofs, keys: KeySets) -> Claims:
    """By the keys that are known, else by those that the provider has by now."""
    for newer in (False, True):
        known = await keys.get(scheme.jwks_url, newer=newer)
        try:
            return verify_event_token(scheme, incoming.body, known, proofs.client_id)
        except InvalidKeyIdError:
            continue
    raise Refused("the token is signed by a key that the provider does not have", "invalid_key")


def shown_client(incoming: Incoming) -> bytes:
    """The id and the secret of a client, as Basic authentication (RFC 7617) shows them.

    Raises:
        Refused: it shows none.
    """
    scheme, _, shown = incoming.header("authorization").partition(" ")
    try:
        if scheme.lower() == "basic":
            return base64.b64decode(shown.strip(), validate=True)
    except (ValueError, binascii.Error):
        pass
    raise Refused("it shows no client")


def _verify_basic(incoming: Incoming, proofs: Proofs) -> None:
    given = shown_client(incoming)
    known = [f"{proofs.client_id}:{secret}".encode() for secret in proofs.client_secrets]
    if not any([hmac.compare_digest(one, given) for one in known]):
        raise Refused("it shows another client")


def _verify_token(scheme: SharedToken, incoming: Incoming, secrets: tuple[str, ...]) -> None:
    given = incoming.header(scheme.header)
    known = [(scheme.prefix + secret).encode() for secret in secrets]
    if not any([hmac.compare_digest(one, given.encode(errors="replace")) for one in known]):
        raise Refused("it shows another token")
