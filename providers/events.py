"""How an application tells of the end of grants: the schema of a catalog entry's `events`.

Paths say where a value stands in what came. They begin with its place: `body` (JSON, or the fields of a form),
`header` (names in small letters), `query`, `claims` (of the token that was verified), `event` (one of a security event
token's, with its type as `type`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from everlink.contract import ProviderEventKind
from providers.rules import Code, Part
from providers.templates import names

PLACES = frozenset({"body", "header", "query"})
CLAIMS, EVENT = "claims", "event"
SIGNED_VALUES = frozenset({"timestamp", "body", "url", "method", "id"})
HEADER = re.compile(r"[a-z0-9-]+")

Secret = Literal["signing_secret", "client_secret"]
Unit = Literal["s", "ms", "iso"]


def _header(name: str) -> str:
    if HEADER.fullmatch(name) is None:
        raise ValueError("a header is named in small letters")
    return name


Header = Annotated[str, AfterValidator(_header)]


class Moment(Part):
    """Where a time stands, and in what: Unix seconds, milliseconds, or an ISO 8601 date (UTC where it has no zone)."""

    at: str
    unit: Unit = "s"


class Stamp(Moment):
    """The time that is signed with a request. It stands at a path, or as `part.t` in the signature's own header."""

    tolerance_seconds: float = Field(default=300, gt=0)  # what is further away from now is a replay


class Signed(Part):
    """A signature in a header, of a text that is made of the request."""

    header: Header
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""  # what stands before the signature
    part: str | None = None  # of a header that is a list (`t=...,v1=...`): which of its parts are signatures
    signed: str = "{body}"  # of {timestamp}, {body}, {url}, {method} and {id}
    id_header: Header | None = None  # where {id} stands
    timestamp: Stamp | None = None
    secret: Secret = "signing_secret"

    def model_post_init(self, _: object) -> None:
        used = names(self.signed)
        if used - SIGNED_VALUES:
            raise ValueError(f"`signed` has {', '.join(sorted(used - SIGNED_VALUES))}, which no request has")
        if "body" not in used:
            raise ValueError("what is signed has to have the body in it")
        if ("id" in used) != (self.id_header is not None):
            raise ValueError("`{id}` and `id_header` belong together")
        in_body = self.timestamp is not None and self.timestamp.at.startswith("body.")
        if self.timestamp is not None and not in_body and "timestamp" not in used:
            raise ValueError("a time that is not signed says nothing: anybody can set it")
        if "timestamp" in used and self.timestamp is None:
            raise ValueError("`signed` needs a `timestamp`")


class HmacSignature(Signed):
    scheme: Literal["hmac"]
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"


class Ed25519Signature(Signed):
    """The signing secret is the provider's public key, in hex."""

    scheme: Literal["ed25519"]
    secret: Literal["signing_secret"] = "signing_secret"


class JwtSignature(Part):
    """A JSON Web Token (RFC 7519) that names the sender and an end (`exp`). It says nothing of the body."""

    scheme: Literal["jwt"]
    header: Header = "authorization"  # as it is, or behind `Bearer`
    audience: str | None = None
    secret: Secret = "client_secret"  # HS256


class SecurityEventToken(Part):
    """The body is a token of events (RFC 8417), pushed by RFC 8935; it is for our client, and never expires."""

    scheme: Literal["security_event_token"]
    issuer: tuple[str, ...]
    jwks_url: str  # RS256


class SignedRequest(Part):
    """A form's field `signed_request`: the signature, a dot, and the claims that it is of (Meta)."""

    scheme: Literal["signed_request"]
    secret: Literal["client_secret"] = "client_secret"


class ClientCredentials(Part):
    """Basic authentication with our own client's id and secret."""

    scheme: Literal["basic"]


class SharedToken(Part):
    """The signing secret itself, in a header."""

    scheme: Literal["token"]
    header: Header
    prefix: str = ""


class Unsigned(Part):
    """The provider cannot sign: what comes is no more than a reason to look."""

    scheme: Literal["none"]


Signature = Annotated[
    HmacSignature
    | Ed25519Signature
    | JwtSignature
    | SecurityEventToken
    | SignedRequest
    | ClientCredentials
    | SharedToken
    | Unsigned,
    Field(discriminator="scheme"),
]
WITH_CLAIMS = (JwtSignature, SecurityEventToken, SignedRequest)


class Challenge(Part):
    """A question by which the provider makes sure whose the address is: all of `when`, and what the reply needs."""

    when: Mapping[str, Code] = Field(default_factory=dict)
    is_signed: bool = True  # False: it comes without a signature, and only gets back what it brought
    status: Literal[200, 204] = 200
    reply: Mapping[str, str] = Field(default_factory=dict)  # a JSON object, with paths as `{body.challenge}`
    proof: str | None = None  # the text at this path under the secret (HMAC-SHA256, hex) is `{proof}` in the reply

    def model_post_init(self, _: object) -> None:
        if self.proof is not None and not self.is_signed:
            raise ValueError("who does not sign gets nothing that only we can make")
        if (self.status == 204) == bool(self.reply):
            raise ValueError("a challenge has a `reply`, or `status: 204`")
        if not self.paths():
            raise ValueError("a challenge is known by `when`, or by what its reply brings back")

    def paths(self) -> list[str]:
        places = [place for text in self.reply.values() for place in names(text) if place != "proof"]
        return [*self.when, *places, *([self.proof] if self.proof is not None else [])]


class EventRule(Part):
    """An event that ends grants, and whose they are.

    All of `when` must be there as it is written. `match` tells by which of a connection's recorded keys it is found;
    where several are named, all must be the connection's. Nothing at one of its paths: the rule is not about it.
    """

    when: Mapping[str, Code] = Field(default_factory=dict)
    kind: ProviderEventKind
    match: Mapping[str, str] = Field(min_length=1)
    source: str | None = None


class Events(Part):
    """What an application sends to `/hooks/{slug}/{environment}/{org_id}`."""

    method: Literal["POST", "GET", "DELETE"] = "POST"
    signature: Signature
    form: bool = False  # the body is a form
    challenge: Challenge | None = None
    rules: tuple[EventRule, ...] = Field(min_length=1)
    id: str | None = None  # a path; None: what is the same body is the same event
    occurred_at: Moment | None = None  # None: when it came
    status: int = Field(default=200, ge=200, le=299)  # what the provider expects for an answer
    setup: str  # where the address, and the secret, are to be pasted or found at the provider
    source: str

    def model_post_init(self, _: object) -> None:
        places = PLACES | ({CLAIMS} if isinstance(self.signature, WITH_CLAIMS) else frozenset())
        if isinstance(self.signature, SecurityEventToken):
            places |= {EVENT}
        for path in self.paths():
            place, _, rest = path.partition(".")
            if place not in places or not rest:
                raise ValueError(f"{path!r} must begin with one of {', '.join(sorted(places))} and a dot")
        if not self.is_proven and any(rule.kind is not ProviderEventKind.SUSPECT for rule in self.rules):
            raise ValueError("what nobody has signed is at most suspect")

    @property
    def is_proven(self) -> bool:
        """Whether the provider itself says whose grants end. A token that has only come along does not say it.

        Providers give tokens of the same secret to pages in their customers' browsers, too.
        """
        match self.signature:
            case Unsigned():
                return False
            case JwtSignature():
                return all(path.startswith(f"{CLAIMS}.") for rule in self.rules for path in rule.match.values())
            case _:
                return True

    @property
    def secret(self) -> Secret | Literal["jwks"] | None:
        """What proves an event; None: nothing does."""
        match self.signature:
            case Unsigned():
                return None
            case SecurityEventToken():
                return "jwks"
            case ClientCredentials():
                return "client_secret"
            case SharedToken():
                return "signing_secret"
            case _:
                return self.signature.secret

    def paths(self) -> list[str]:
        """All that are read, but for those of the signature itself."""
        rules = [path for rule in self.rules for path in (*rule.when, *rule.match.values())]
        challenge = self.challenge.paths() if self.challenge else []
        single = [path for path in (self.id, self.occurred_at.at if self.occurred_at else None) if path is not None]
        return [*rules, *challenge, *single]
