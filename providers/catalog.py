"""What is known of each application: one YAML file each, validated when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from everlink.contract import AuthType, Lifetimes, ReauthReason

BUILT_IN = Path(__file__).parent / "catalog"

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


class CatalogError(Exception):
    """A catalog file is not what the schema says; names the file and the field."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def code_text(value: Any) -> Any:
    """A code as text, so that 190 and "190" are one; a truth value is a word, and never a number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


class AnswerRule(_Entry):
    """An answer of the provider, recognized by what is given here; all that is given must match.

    Paths go deeper with dots; where a list stands on the way, one of its items must match. A rule without
    `status` is not looked for in an answer that is no statement about the request: a redirect, "too many
    requests", "too early", a timeout or a server's fault.
    """

    status: int | None = None
    field: str = "error"  # where the code stands in the JSON body
    code: Annotated[str | None, BeforeValidator(code_text)] = None
    contains: str | None = Field(default=None, min_length=1)  # a part of another field's text, in any case
    contains_in: str = "error_description"
    source: str | None = None  # where this is written down

    def model_post_init(self, _: Any) -> None:
        if self.status is None and self.code is None and self.contains is None:
            raise ValueError("a rule needs `status`, `code` or `contains`: without, it would match every answer")


class DeadRule(AnswerRule):
    reason: ReauthReason = ReauthReason.ACCESS_REVOKED


class TokenAnswer(_Entry):
    """Where the standard values stand in a token endpoint's answer; paths go deeper with dots."""

    access_token: str = "access_token"
    refresh_token: str = "refresh_token"
    expires_in: str = "expires_in"
    expires_at: str | None = None  # an ISO 8601 date or epoch seconds, of a server that says no `expires_in`
    refresh_expires_in: str | None = "refresh_token_expires_in"
    scope: str = "scope"
    token_type: str | None = "token_type"  # None: what stands there is no HTTP scheme
    success: AnswerRule | None = None  # what a success must show beside its token

    def paths(self) -> tuple[str, ...]:
        """All places that are named here."""
        named = (self.access_token, self.refresh_token, self.expires_in, self.expires_at, self.refresh_expires_in)
        success = self.success.field if self.success else None
        return tuple(path for path in (*named, self.scope, self.token_type, success) if path is not None)


class OAuth2(_Entry):
    """How the application speaks OAuth 2 (RFC 6749)."""

    authorize_url: str
    token_url: str
    revoke_url: str | None = None  # RFC 7009
    issuer: str | None = None  # RFC 9207: what `iss` must be, where the server sends it
    client_auth: Literal["basic", "post", "json"] = "basic"  # how the client shows itself; json: all of it is JSON
    pkce: bool = True
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    authorize_params: Mapping[str, str] = Field(default_factory=dict)
    access_token_seconds: float | None = None  # where the answer has no `expires_in`
    refresh_margin_seconds: float | None = None
    rotates: bool = True  # a refresh may replace the refresh token, so that a lost answer may lose the grant
    reuse_grace_seconds: float | None = Field(default=None, gt=0)  # a rotated refresh token is answered that long
    idle_seconds: float | None = Field(default=None, gt=0)  # a refresh token unused that long dies
    grant_seconds: float | None = Field(default=None, gt=0)  # the hard end, counted from the customer's consent
    answer: TokenAnswer = TokenAnswer()
    # Looks like a refusal and says nothing of the grant: looked at before `dead`.
    transient: tuple[AnswerRule, ...] = ()
    dead: tuple[DeadRule, ...] = (DeadRule(code="invalid_grant", source="RFC 6749 section 5.2"),)
    application_errors: tuple[AnswerRule, ...] = (
        AnswerRule(code="invalid_client", source="RFC 6749 section 5.2"),
        AnswerRule(code="unauthorized_client", source="RFC 6749 section 5.2"),
    )

    def model_post_init(self, _: Any) -> None:
        in_url = {name for name, _ in parse_qsl(urlsplit(self.authorize_url).query, keep_blank_values=True)}
        taken = sorted(OURS & (in_url | set(self.authorize_params)))
        if taken:
            raise ValueError(f"`authorize_url` and `authorize_params` cannot set {', '.join(taken)}")


class Header(_Entry):
    """A header of the probe; `{name}` stands for a field of the credential, `{access_token}` for the token."""

    name: str
    value: str


class Probe(_Entry):
    """A cheap authenticated request that tells whether a credential works."""

    method: Literal["GET", "POST"] = "GET"
    url: str
    headers: tuple[Header, ...] = ()
    basic: tuple[str, str] | None = None  # user and password, templates like the headers
    every_seconds: float | None = None
    dead: tuple[DeadRule, ...] = (DeadRule(status=401, reason=ReauthReason.CREDENTIALS_INVALID),)
    success: AnswerRule | None = None  # what a success must show beside its status
    identifier: str | None = None  # where the account's stable id stands in the answer
    display_name: str | None = None


class KeyField(_Entry):
    """One field of a key-based credential, as the form shows it."""

    name: str
    label: str
    placeholder: str = ""
    required: bool = True
    type: Literal["text", "password", "select"] = "password"
    options: tuple[str, ...] = ()  # what a `select` offers; nothing else is taken
    help_text: str = ""

    def model_post_init(self, _: Any) -> None:
        if bool(self.options) != (self.type == "select"):
            raise ValueError("a `select` needs `options`, and no other field has them")


class Limits(_Entry):
    """How much of refreshing the application stands, for each process."""

    concurrency: int = Field(default=8, ge=1)
    per_second: float | None = Field(default=None, gt=0)


class CatalogEntry(_Entry):
    """One application."""

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    name: str
    description: str
    icon: str
    tags: tuple[str, ...] = ()
    ecosystem: str | None = None  # the family of products that it belongs to
    version: str = "1.0.0"
    auth_type: AuthType
    oauth2: OAuth2 | None = None
    fields: tuple[KeyField, ...] = ()
    probe: Probe | None = None
    limits: Limits = Limits()
    sources: tuple[str, ...] = ()

    def model_post_init(self, _: Any) -> None:
        if self.auth_type is AuthType.OAUTH2 and self.oauth2 is None:
            raise ValueError("an oauth2 application needs `oauth2`")
        if self.auth_type is AuthType.KEY_BASED and not self.fields:
            raise ValueError("a key-based application needs `fields`")

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


class Catalog:
    """All applications by slug."""

    def __init__(self, entries: Iterable[CatalogEntry], further: Iterable[CatalogEntry] = ()) -> None:
        self._built_in = {entry.slug: entry for entry in entries}
        self._entries = {**self._built_in, **{entry.slug: entry for entry in further}}

    @classmethod
    def load(cls, further: Path | None = None) -> Catalog:
        """Read the built-in folder, and a further one.

        Raises:
            CatalogError: a file is not valid, or the further folder is not there.
        """
        if further is not None and not further.is_dir():
            raise CatalogError(f"{further} is not a folder")
        return cls(_read_all(BUILT_IN), _read_all(further) if further is not None else ())

    def get(self, slug: str) -> CatalogEntry | None:
        return self._entries.get(slug)

    def built_in(self, slug: str) -> CatalogEntry | None:
        """The entry that everybody may know of: a further folder may tell whom an organization works with."""
        return self._built_in.get(slug)

    def __iter__(self) -> Any:
        return iter(self._entries.values())


def _read_all(folder: Path) -> list[CatalogEntry]:
    return [_read(file) for file in sorted(folder.glob("*.yaml"))]


def _read(file: Path) -> CatalogEntry:
    try:
        entry = CatalogEntry.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (ValueError, OSError, RecursionError, yaml.YAMLError) as error:
        raise CatalogError(f"{file.name}: {error}") from error
    if entry.slug != file.stem:
        raise CatalogError(f"{file.name}: the slug is {entry.slug!r}, the file must be named after it")
    return entry
