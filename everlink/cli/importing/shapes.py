"""What a row says: whose it is, of which application, and what the other system holds. Three shapes are recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from everlink.catalog import CatalogField, CatalogItem
from everlink.cli.importing.reading import Row, RowRefused
from everlink.contract import AuthType

Given = TypeVar("Given", bound=BaseModel)
Text = Annotated[str, Field(min_length=1)]
AccountId = Annotated[str, Field(min_length=1, max_length=255)]


class NangoAccount(StrEnum):
    """What becomes the linked account of a connection that Nango holds."""

    END_USER = "end-user"  # or else the connection's own id, which many products choose to be their customer's
    ORGANIZATION = "organization"
    CONNECTION = "connection"


@dataclass(frozen=True)
class Held:
    """One customer's grant, or key, at one application."""

    account_id: str
    account_name: str | None
    slug: str
    grant: Mapping[str, Any] | None = field(default=None, repr=False)
    key: Mapping[str, str] | None = field(default=None, repr=False)
    ends_at: datetime | None = None  # of a key


@dataclass(frozen=True)
class Reader:
    """Reads rows, with what the command and the catalog say of them."""

    catalog: Mapping[str, CatalogItem]
    slugs: Mapping[str, str]  # of the other system's names: ours
    nango_account: NangoAccount

    def held(self, row: Row) -> Held:
        """What is to be imported.

        Raises:
            RowRefused: it is not of a shape that is known, or does not fit its application.
        """
        values = row.values
        if isinstance(values, RowRefused):
            raise values
        if "provider_config_key" in values:
            held = self._of_nango(_parsed(Nango, values))
        elif "auth_object" in values:
            held = self._of_the_seed(_parsed(Seed, values))
        elif "linked_account_id" in values and "slug" in values:
            held = self._of_ours(_parsed(Ours, values))
        else:
            raise RowRefused("it is of no shape that is known: see docs/cli.md")
        _require(held, self._application(held.slug))
        return held

    def _application(self, name: str) -> CatalogItem:
        found = self.catalog.get(name)
        if found is None:
            raise RowRefused("there is no such application; --map THEIRS=OURS says what it is called here")
        if not found.enabled:
            raise RowRefused("the application is not enabled")
        return found

    def _slug(self, name: str) -> str:
        return self.slugs.get(name, name)

    def _of_ours(self, row: Ours) -> Held:
        slug = self._slug(row.slug)
        if self._application(slug).auth_type is AuthType.KEY_BASED:
            return Held(row.linked_account_id, row.name, slug, key=row.fields, ends_at=row.expires_at)
        tokens = row.model_dump(mode="json", include=set(TOKEN_PARTS), exclude_none=True)
        grant = {**row.extra, **row.fields, **tokens}
        return Held(row.linked_account_id, row.name, slug, grant=grant)

    def _of_the_seed(self, row: Seed) -> Held:
        slug, auth = self._slug(row.slug), row.auth_object
        return Held(row.linked_account_id, row.name, slug, grant=auth.oauth2, key=auth.keybased)

    def _of_nango(self, row: Nango) -> Held:
        slug, credentials = self._slug(row.provider_config_key), row.credentials
        account_id, name = self._account_of_nango(row)
        if isinstance(credentials, NangoOAuth2):
            return Held(account_id, name, slug, grant=_grant_of_nango(credentials, row.connection_config or {}))
        key = _key_of_nango(credentials, row.connection_config or {}, self._application(slug).fields)
        return Held(account_id, name, slug, key=key)

    def _account_of_nango(self, row: Nango) -> tuple[str, str | None]:
        """The id and the name."""
        tags, user = row.tags or {}, row.end_user
        match self.nango_account:
            case NangoAccount.CONNECTION:
                return row.connection_id, None
            case NangoAccount.ORGANIZATION:
                of = user.organization if user else None
                account_id = of.id if of else tags.get("organization_id")
                if not account_id:
                    raise RowRefused("it names no organization")
                return account_id, of.display_name if of else None
            case NangoAccount.END_USER:
                account_id = user.id if user else tags.get("end_user_id")
                name = user.display_name if user else tags.get("end_user_display_name")
                return (account_id, name) if account_id else (row.connection_id, None)


TOKEN_PARTS = ("access_token", "refresh_token", "expires_at", "scope", "token_type")


class Ours(BaseModel):
    """The flat shape. `fields`: the key, or what the application asks before consent. `extra`: kept beside tokens."""

    model_config = ConfigDict(extra="forbid")

    linked_account_id: AccountId
    slug: Text
    name: str | None = None
    access_token: Text | None = None
    refresh_token: Text | None = None
    expires_at: AwareDatetime | None = None
    scope: str | None = None
    token_type: Text | None = None
    fields: dict[str, str] = {}
    extra: dict[str, Any] = {}


class SeedAuth(BaseModel):
    oauth2: dict[str, Any] | None = None
    keybased: dict[str, str] | None = None


class Seed(BaseModel):
    """What `PUT /api/v2/public/migrate-token` takes, with the account that it names beside it."""

    linked_account_id: AccountId = Field(validation_alias=AliasChoices("linked_account_id", "account_id"))
    name: str | None = None
    slug: Text
    auth_object: SeedAuth


# What Nango answers to GET /connections/{connectionId}, and to GET /connection/{connectionId} before it. Its types are
# in the repository NangoHQ/nango: packages/types/lib/connection/api/get.ts (ApiPublicConnectionFull) and
# packages/types/lib/auth/api.ts; https://nango.dev/docs/reference/backend/http-api/connections/get is their page.
class NangoOAuth2(BaseModel):
    type: Literal["OAUTH2"]
    access_token: Text
    refresh_token: str | None = None
    expires_at: AwareDatetime | None = None
    raw: dict[str, Any] | None = None  # what the provider's token endpoint answered
    config_override: dict[str, str | None] | None = None  # a client of its own


class NangoApiKey(BaseModel):
    type: Literal["API_KEY"]
    api_key: Text = Field(validation_alias=AliasChoices("apiKey", "api_key"))


class NangoBasic(BaseModel):
    type: Literal["BASIC"]
    username: str = ""
    password: str = ""


class NangoOrganization(BaseModel):
    id: Text
    display_name: str | None = Field(default=None, validation_alias=AliasChoices("display_name", "displayName"))


class NangoEndUser(NangoOrganization):
    organization: NangoOrganization | None = None


class Nango(BaseModel):
    connection_id: AccountId
    provider_config_key: Text
    credentials: Annotated[NangoOAuth2 | NangoApiKey | NangoBasic, Field(discriminator="type")]
    connection_config: dict[str, Any] | None = None
    end_user: NangoEndUser | None = None
    tags: dict[str, str] | None = None


def _grant_of_nango(credentials: NangoOAuth2, config: Mapping[str, Any]) -> dict[str, Any]:
    """The tokens as Nango has them now; `raw` may be older, and is only asked for what else the provider said."""
    if credentials.config_override and credentials.config_override.get("client_id"):
        raise RowRefused("it was granted to a client of its own (config_override), which cannot refresh it here")
    raw = credentials.raw or {}
    said = {name: value for name, value in raw.items() if name not in (*TOKEN_PARTS, "expires_in")}
    texts = {name: raw[name] for name in ("scope", "token_type") if isinstance(raw.get(name), str) and raw[name]}
    tokens = credentials.model_dump(
        mode="json", include={"access_token", "refresh_token", "expires_at"}, exclude_none=True
    )
    return {**said, **config, **texts, **{name: value for name, value in tokens.items() if value}}


def _key_of_nango(
    credentials: NangoApiKey | NangoBasic, config: Mapping[str, Any], fields: list[CatalogField]
) -> dict[str, str]:
    """Nango has one name for every key, and two for every pair; the application has its own."""
    key = {one.name: str(config[one.name]) for one in fields if config.get(one.name)}
    open_ones = [one for one in fields if one.required and one.name not in key]
    secret = [one.name for one in open_ones if one.type == "password"]
    others = [one.name for one in open_ones if one.type != "password"]
    if isinstance(credentials, NangoApiKey) and len(secret) == 1 and not others:
        return {**key, secret[0]: credentials.api_key}
    if isinstance(credentials, NangoBasic) and len(secret) == 1 and len(others) == 1:
        return {**key, others[0]: credentials.username, secret[0]: credentials.password}
    if isinstance(credentials, NangoBasic) and len(secret) == 1 and not others and not credentials.password:
        return {**key, secret[0]: credentials.username}
    raise RowRefused(f"it does not say what this application asks ({_names(open_ones)}): use the flat shape")


def _require(held: Held, application: CatalogItem) -> None:
    """What the API would refuse is said before it is asked.

    Raises:
        RowRefused: something is missing, or of the other kind of application.
    """
    if application.auth_type is AuthType.OAUTH2:
        if held.grant is None or not (held.grant.get("access_token") or held.grant.get("refresh_token")):
            raise RowRefused("the application takes an access token, a refresh token or both, and there is none")
        return
    if not held.key:
        raise RowRefused("the application takes a key (`fields`), and there is none")
    missing = [one for one in application.fields if one.required and not held.key.get(one.name)]
    if missing:
        raise RowRefused(f"the application asks for what is not there: {_names(missing)}")


def _names(fields: list[CatalogField]) -> str:
    return ", ".join(one.name for one in fields)


# Where pydantic's words have what was given.
NO_TYPE = "not of the type OAUTH2, API_KEY or BASIC, or not there: Nango leaves them out for some of its keys"
WORDS = {"union_tag_invalid": NO_TYPE, "union_tag_not_found": NO_TYPE}


def _parsed(shape: type[Given], row: Mapping[str, Any]) -> Given:
    """The row in its shape; what is wrong is said without what was given."""
    try:
        return shape.model_validate(row)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(str(part) for part in one['loc'])}: {WORDS.get(one['type'], one['msg'])}"
            for one in error.errors()
        ]
        raise RowRefused("; ".join(wrong)) from None
