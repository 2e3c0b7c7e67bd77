"""The schema of a catalog entry: what is known of one application."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, Strict, model_validator

from everlink.contract import AuthType, Lifetimes, ReauthReason
from providers import patterns
from providers.events import Events
from providers.icons import letter
from providers.request import Address, Header, Request
from providers.rules import AnswerRule, DeadRule, DenialRule, Part, TokenAnswer
from providers.templates import PLACE, host, names

# What a request for consent says of itself: an entry that sets one could send the grant elsewhere, or take the state
# and the challenge away. A request object (RFC 9101) replaces them all.
OURS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "redirect_uri",
        "request",
        "request_uri",
        "response_type",
        "state",
    }
)
# What a token request says of itself (RFC 6749 sections 4.1.3 and 6).
TOKEN_OURS = frozenset({"client_id", "client_secret", "code", "code_verifier", "redirect_uri", "refresh_token"})
CLIENT = frozenset({"client_id", "client_secret"})
TOKENS = frozenset({"access_token", "refresh_token"})
MAX_SECONDS = 100 * 365 * 86400.0
IDENTITY_PLACES = frozenset({"probe", "token", "id_token", "callback", "given"})


def _icon(address: str) -> str:
    if address and not address.startswith(("data:image/", "https://")):
        raise ValueError("an icon is a picture in a `data:` address, or stands at an https:// one")
    return address


Seconds = Annotated[float, Strict(), Field(gt=0, le=MAX_SECONDS)]


class Probe(Request):
    """A cheap authenticated request that tells whether a credential works."""

    every_seconds: Annotated[Seconds, Field(ge=10)] | None = None  # None: once a day
    # Answers by which the credential is no good any more.
    dead: tuple[DeadRule, ...] = (DeadRule(status=401, reason=ReauthReason.CREDENTIALS_INVALID),)


class Identity(Part):
    """How the account that was connected is told, by paths into what is known when it connects.

    A path begins with its place: `probe` (the probe's answer), `token` (the token endpoint's), `id_token` (the claims
    of the one that came with it), `callback` (the query of the return from consent) or `given` (a field).
    """

    id: str  # stable: a reconnect must open the same
    name: str | None = None  # for people
    keys: Mapping[str, str] = Field(default_factory=dict)  # further ids by which the provider's events name it

    def model_post_init(self, _: Any) -> None:
        for path in self.paths():
            place, _, rest = path.partition(".")
            if place not in IDENTITY_PLACES or not rest:
                raise ValueError(f"a path has to begin with one of {', '.join(sorted(IDENTITY_PLACES))}, and a dot")
        if "account" in self.keys:
            raise ValueError("`account` is the name of the id itself")

    def paths(self) -> tuple[str, ...]:
        return (self.id, *((self.name,) if self.name else ()), *self.keys.values())


class KeyField(Part):
    """Something that the customer types in, as the form shows it."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")  # by which it stands in requests as `{name}`
    label: str  # beside the field
    placeholder: str = ""  # in the empty field
    required: bool = True  # whether it may be left empty
    type: Literal["text", "password", "select"] = "password"  # how it is typed in
    options: tuple[str, ...] = ()  # what a `select` offers; nothing else is taken
    # What all of a value must match; no look-around, no back-references.
    pattern: Annotated[str, Field(max_length=patterns.MAX_PATTERN), AfterValidator(patterns.check)] | None = None
    help_text: str = ""  # where the customer finds it

    def model_post_init(self, _: Any) -> None:
        if bool(self.options) != (self.type == "select"):
            raise ValueError("a `select` needs `options`, and no other field has them")

    def takes(self, value: str) -> bool:
        """Whether a value that was typed in can be one of this field."""
        if self.options and value not in self.options:
            return False
        return self.pattern is None or patterns.matches(self.pattern, value)


class OAuth2(Part):
    """How the application speaks OAuth 2 (RFC 6749). Addresses may have the fields of the entry in them."""

    # By the customer's consent in a browser, or with a client of the customer's own.
    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    authorize_url: Address | None = None  # the consent page
    token_url: Address  # the token endpoint
    refresh_url: Address | None = None  # None: the token endpoint
    revoke_url: Address | None = None  # RFC 7009
    revoke: Request | None = None  # the provider's own way to revoke the grant
    revokes_account: bool = False  # that ends every grant of the account: not while another connection lives on it
    uninstall: Request | None = None  # ends the application at the customer's, with all of its grants there
    introspect_url: Address | None = None  # RFC 7662: asked where there is no probe
    issuer: str | None = None  # RFC 9207: what `iss` must be, where the server sends it
    # How the client shows itself at the token endpoint; secret: Basic with the secret for a user, and no client id.
    client_auth: Literal["basic", "post", "secret"] = "basic"
    token_body: Literal["form", "json"] = "form"  # of a token request
    client_id_param: str = "client_id"  # of a provider that names it otherwise
    pkce: bool = True  # RFC 7636, by S256
    scopes: tuple[str, ...] = ()  # asked for, unless the organization names its own
    scope_separator: str = " "  # between scopes in the request for consent
    authorize_params: Mapping[str, str] = Field(default_factory=dict)  # sent with the request for consent
    token_params: Mapping[str, str] = Field(default_factory=dict)  # sent with every token request
    token_headers: Mapping[Header, str] = Field(default_factory=dict)  # the same in headers
    access_token_seconds: Seconds | None = None  # where the answer has no `expires_in`
    refresh_margin_seconds: Seconds | None = None  # so long before the end a token is renewed
    rotates: bool = True  # a refresh may replace the refresh token, so that a lost answer may lose the grant
    reuse_grace_seconds: Seconds | None = None  # a rotated refresh token is answered that long
    idle_seconds: Seconds | None = None  # a refresh token unused that long dies
    grant_seconds: Seconds | None = None  # the hard end, counted from the customer's consent
    answer: TokenAnswer = TokenAnswer()  # where values stand in the token endpoint's answer
    # Looks like a refusal and says nothing of the grant: looked at before `dead`.
    transient: tuple[AnswerRule, ...] = ()
    # The grant is gone, and the customer has to reconnect.
    dead: tuple[DeadRule, ...] = (DeadRule(code="invalid_grant", source="RFC 6749 section 5.2"),)
    # Our own client is refused: no customer can help.
    application_errors: tuple[AnswerRule, ...] = (
        AnswerRule(code="invalid_client", source="RFC 6749 section 5.2"),
        AnswerRule(code="unauthorized_client", source="RFC 6749 section 5.2"),
    )
    denials: tuple[DenialRule, ...] = ()  # answers of the consent page that are in no standard, or mean something else
    sources: Mapping[str, str] = Field(default_factory=dict)  # by the name of a value above: where it is written down

    def model_post_init(self, _: Any) -> None:
        if (self.grant == "authorization_code") != (self.authorize_url is not None):
            raise ValueError("`authorize_url` belongs to `grant: authorization_code`")
        in_url = {name for name, _ in parse_qsl(urlsplit(self.authorize_url or "").query, keep_blank_values=True)}
        taken = sorted((OURS | {self.client_id_param}) & (in_url | set(self.authorize_params)))
        if taken:
            raise ValueError(f"`authorize_url` and `authorize_params` cannot set {', '.join(taken)}")
        taken = sorted((TOKEN_OURS | {self.client_id_param}) & set(self.token_params))
        if self.grant == "authorization_code" and "grant_type" in self.token_params:
            taken.append("grant_type")
        if taken:
            raise ValueError(f"`token_params` cannot set {', '.join(taken)}")
        if self.revoke is not None and self.revoke_url is not None:
            raise ValueError("a grant is revoked by `revoke_url` or by `revoke`")
        unknown = sorted(set(self.sources) - set(type(self).model_fields))
        if unknown:
            raise ValueError(f"`sources` names {', '.join(unknown)}, which is no value here")

    @property
    def asks_with_customers_client(self) -> bool:
        """The customer's own client asks for each token: there is no grant that a request could use up or lose."""
        return self.grant == "client_credentials"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its own requests go."""
        urls = (self.authorize_url, self.token_url, self.refresh_url, self.revoke_url, self.introspect_url)
        return tuple(url for url in urls if url is not None)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where the application's own client shows its secret."""
        urls = (self.token_url, self.refresh_url, self.revoke_url, self.introspect_url)
        calls = (self.revoke, self.uninstall)
        return tuple(url for url in (*urls, *(call.url for call in calls if call is not None)) if url is not None)

    @property
    def names(self) -> frozenset[str]:
        """The fields that its own requests need."""
        params = (*self.authorize_params.values(), *self.token_params.values(), *self.token_headers.values())
        return frozenset[str]().union(*(names(text) for text in (*self.addresses, *params)))


class Limits(Part):
    """How much of refreshing the application stands, for each process."""

    concurrency: Annotated[int, Strict(), Field(ge=1, le=1000)] = 8  # requests at a time
    per_second: Annotated[float, Strict(), Field(gt=0, le=10_000)] | None = None  # requests


class Definition(Part):
    """What is known of an application, whatever it is called."""

    name: str = Field(min_length=1, max_length=100)  # for people
    description: str = Field(max_length=2000)  # in a sentence or two
    icon: Annotated[str, AfterValidator(_icon)] = ""  # `data:` or https; without one, the first letter of the name
    tags: Annotated[tuple[str, ...], Field(max_length=20)] = ()  # what kinds of product it is
    ecosystem: str | None = None  # the family of products that it belongs to
    version: str = "1.0.0"  # of this description
    auth_type: AuthType  # oauth2: by consent in a browser; keybased: with the fields alone
    oauth2: OAuth2 | None = None  # of a key-based application: its fields are traded for tokens
    # Asked of the customer, before consent where there is one.
    fields: Annotated[tuple[KeyField, ...], Field(max_length=30)] = ()
    probe: Probe | None = None  # None: only a refresh tells whether a credential works
    identity: Identity | None = None  # None: its accounts cannot be told apart
    events: Events | None = None  # None: the provider does not tell when a grant ends
    limits: Limits = Limits()  # how much of refreshing it stands
    sources: tuple[str, ...] = ()  # where what is said here is written down

    def model_post_init(self, _: Any) -> None:
        grant = self.oauth2.grant if self.oauth2 is not None else None
        if self.auth_type is AuthType.OAUTH2 and grant != "authorization_code":
            raise ValueError("an oauth2 application needs `oauth2` with an `authorize_url`")
        if self.auth_type is AuthType.KEY_BASED and grant == "authorization_code":
            raise ValueError("a key-based application has no `oauth2`, or one with `grant: client_credentials`")
        if self.auth_type is AuthType.KEY_BASED and not self.fields:
            raise ValueError("a key-based application needs `fields`")
        self._check_fields()
        self._check_identity()
        self._check_events()

    @model_validator(mode="before")
    @classmethod
    def _draw_icon(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("icon") and isinstance(given.get("name"), str):
            return {**given, "icon": letter(given["name"])}
        return given

    def _check_fields(self) -> None:
        given = [field.name for field in self.fields]
        if len(set(given)) < len(given):
            raise ValueError("two fields have the same name")
        rules = (*(self.oauth2.dead if self.oauth2 else ()), *(self.probe.dead if self.probe else ()))
        if not {name for rule in rules for name in rule.fields} <= set(given):
            raise ValueError("a rule speaks of a field that there is not")
        if self.oauth2 is None:
            unknown = (self.probe.names if self.probe else frozenset()) - set(given)
        else:
            unknown = self.oauth2.names - set(given)
        if unknown:
            raise ValueError(f"a request speaks of a field that there is not: {', '.join(sorted(unknown))}")
        if self.oauth2 is not None and self.oauth2.grant == "client_credentials":
            if not set(given) >= CLIENT:
                raise ValueError("client credentials are the fields `client_id` and `client_secret`")
        elif set(given) & (CLIENT | TOKENS) and self.oauth2 is not None:
            raise ValueError("a field cannot take the place of the application's client or of a token")
        elif self.oauth2 is not None:
            for url in self.oauth2.endpoints:
                _check_host(url)

    def _check_identity(self) -> None:
        if self.identity is None:
            return
        places = {path.partition(".")[0] for path in self.identity.paths()}
        if "probe" in places and self.probe is None:
            raise ValueError("`identity` reads a probe's answer, and there is no probe")
        if places & {"token", "id_token", "callback"} and self.oauth2 is None:
            raise ValueError("a key-based application has neither a token's answer nor a callback")

    def _check_events(self) -> None:
        if self.events is None:
            return
        known = {"account", *self.identity.keys} if self.identity is not None else set[str]()
        named = {name for rule in self.events.rules for name in rule.match}
        if named - known:
            raise ValueError(f"`events` finds connections by {', '.join(sorted(named - known))}, no key of `identity`")
        if self.events.secret in ("client_secret", "jwks") and self.auth_type is not AuthType.OAUTH2:
            raise ValueError("a key-based application has no client by which the provider's events could be known")

    def lifetimes(self, *, renewable: bool, expires_in: float | None, ends_in: float | None = None) -> Lifetimes:
        """A credential's lifetimes with what the application says about renewing and probing it."""
        return Lifetimes(
            expires_in=expires_in,
            renewable=renewable,
            ends_in=ends_in,
            idle_window=self.oauth2.idle_seconds if self.oauth2 and renewable else None,
            refresh_margin=self.oauth2.refresh_margin_seconds if self.oauth2 else None,
            probe_every=self.probe.every_seconds if self.probe else None,
        )


class CatalogEntry(Definition):
    """One application."""

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)  # the file's name, without its ending


def _check_host(url: str) -> None:
    """The application's secret goes to the provider alone: a customer may choose a name under its domain, no other."""
    domain = host(url).rpartition("}")[2] if PLACE.search(host(url)) or PLACE.match(url) else None
    if domain is not None and not re.fullmatch(r"\.[a-z0-9-]+(\.[a-z0-9-]+)+", domain):
        raise ValueError("an address that the client's secret goes to must end in the provider's domain")
