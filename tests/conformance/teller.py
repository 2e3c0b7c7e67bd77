"""What a provider sends of itself when a grant is gone, made and signed as the entry says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from providers.events import (
    ClientCredentials,
    Ed25519Signature,
    EventRule,
    Events,
    HmacSignature,
    JwtSignature,
    Moment,
    SecurityEventToken,
    SharedToken,
    SignedRequest,
    Unsigned,
)
from tests.conformance.answers import filled, plain, put
from tests.conformance.provider import CLIENT, Provider
from tests.providers import signing

OTHERS = "a-secret-of-somebody-else-that-is-long-enough"


@dataclass
class Message:
    """An event on its way."""

    method: str
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Teller:
    """Tells of the first account of a provider's."""

    provider: Provider
    events: Events
    url: str  # as it is registered

    @property
    def secret(self) -> str:
        """What the organization gives Everlink as `signing_secret`."""
        if isinstance(self.events.signature, Ed25519Signature):
            return signing.ED25519.public_key().public_bytes_raw().hex()
        return signing.SECRET

    @property
    def ages(self) -> bool:
        """Whether what it has signed is too old after a while."""
        signature = self.events.signature
        timed = isinstance(signature, HmacSignature | Ed25519Signature) and signature.timestamp is not None
        return timed or isinstance(signature, JwtSignature)

    def message(self, rule: EventRule, at: datetime, signed_at: datetime, *, forged: bool = False) -> Message:
        """An event of a rule that happened at a moment, signed at another."""
        events, places = (
            self.events,
            {name: dict[str, Any]() for name in ("body", "header", "query", "claims", "event")},
        )
        for path, value in self._said(rule, at):
            place, _, rest = path.partition(".")
            if place in ("header", "query"):
                places[place][rest] = str(value)
            else:
                put(places[place], rest, value)
        if isinstance(events.signature, HmacSignature | Ed25519Signature) and events.signature.timestamp is not None:
            stamp = events.signature.timestamp
            if stamp.at.startswith("body."):
                put(places["body"], stamp.at.removeprefix("body."), _moment(stamp, signed_at))
        body = urlencode(places["body"]) if events.form else json.dumps(places["body"])
        message = Message(events.method, dict(places["header"]), places["query"], body.encode())
        kind = "application/x-www-form-urlencoded" if events.form else "application/json"
        message.headers["content-type"] = kind
        self._sign(message, places, signed_at, forged)
        return message

    def _said(self, rule: EventRule, at: datetime) -> Iterator[tuple[str, Any]]:
        yield from ((path, plain(text)) for path, text in rule.when.items())
        yield from ((path, self.provider.key(name)) for name, path in rule.match.items())
        if self.events.id is not None:
            yield self.events.id, uuid4().hex
        if self.events.occurred_at is not None:
            yield self.events.occurred_at.at, _moment(self.events.occurred_at, at)

    def _sign(self, message: Message, places: dict[str, dict[str, Any]], at: datetime, forged: bool) -> None:
        client_secret = OTHERS if forged else CLIENT["client_secret"]
        secret = client_secret if self.events.secret == "client_secret" else OTHERS if forged else signing.SECRET
        claims, signature = places["claims"], self.events.signature
        match signature:
            case HmacSignature() | Ed25519Signature():
                self._sign_bytes(signature, message, secret, at, forged)
            case JwtSignature():
                claims |= {"iat": at.timestamp(), "exp": (at + timedelta(minutes=5)).timestamp()}
                claims |= {"aud": signature.audience} if signature.audience else {}
                message.headers[signature.header] = signing.hs256(claims, secret)
            case SecurityEventToken():
                kind = places["event"].pop("type")
                claims = {"jti": uuid4().hex, "iat": int(at.timestamp()), **claims, "events": {kind: places["event"]}}
                claims |= {"iss": signature.issuer[0], "aud": CLIENT["client_id"]}
                message.body = signing.rs256(claims, signing.OTHER_RSA if forged else signing.RSA)
            case SignedRequest():
                message.body = signing.signed_request({"algorithm": "HMAC-SHA256", **claims}, secret)
            case ClientCredentials():
                message.headers["authorization"] = signing.basic(CLIENT["client_id"], client_secret)
            case SharedToken():
                message.headers[signature.header] = signature.prefix + secret
            case Unsigned():
                pass

    def _sign_bytes(
        self, scheme: HmacSignature | Ed25519Signature, message: Message, secret: str, at: datetime, forged: bool
    ) -> None:
        stamp, id_ = scheme.timestamp, uuid4().hex
        moment = str(_moment(stamp, at)) if stamp is not None else ""
        values = {
            "timestamp": moment,
            "body": message.body.decode(),
            "url": self.url,
            "method": message.method,
            "id": id_,
        }
        text = filled(scheme.signed, values).encode()
        if isinstance(scheme, Ed25519Signature):
            made = signing.ED25519.sign(b"another" if forged else text)
            shown = made.hex() if scheme.encoding == "hex" else signing.base64.b64encode(made).decode()
        else:
            digest = signing.hex_hmac if scheme.encoding == "hex" else signing.base64_hmac
            shown = digest(secret, text, scheme.algorithm)
        shown = scheme.prefix + shown
        if scheme.id_header is not None:
            message.headers[scheme.id_header] = id_
        if stamp is not None and stamp.at.startswith("header."):
            message.headers[stamp.at.removeprefix("header.")] = moment
        if scheme.part is not None:
            shown = f"{scheme.part}={shown}"
            if stamp is not None and stamp.at.startswith("part."):
                shown = f"{stamp.at.removeprefix('part.')}={moment},{shown}"
        message.headers[scheme.header] = shown


def _moment(moment: Moment, at: datetime) -> Any:
    match moment.unit:
        case "s":
            return int(at.timestamp())
        case "ms":
            return int(at.timestamp() * 1000)
        case "iso":
            return at.isoformat()
