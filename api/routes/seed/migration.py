"""Taking over what another system holds, and the shape in which it is given."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from api.auth import Account, Connects, Made
from api.errors import ErrorBody, not_found
from api.fields import complete
from api.inputs import Input, KeyFields, NoStandIn
from api.keys import save_key
from api.migrating import HeldGrant, take_over
from api.routes.seed.lookups import enabled
from everlink.contract import AuthType
from providers.credential import OAuthCredential, bounded
from providers.entry import CatalogEntry
from providers.verdict import MAX_LIFETIME

router = APIRouter(prefix="/api/v2/public", tags=["Seed API"], responses={404: {"model": ErrorBody}})


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


Token = Annotated[SecretStr, Field(min_length=1, max_length=16_384)]
Seconds = Annotated[float, Field(ge=-MAX_LIFETIME, le=MAX_LIFETIME, allow_inf_nan=False), NoStandIn]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_no_truth),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}),
    Field(description="ISO 8601 with a zone, or Unix seconds"),
]


class OAuth2Grant(Input):
    """Everything else that is given is kept beside the tokens (`instance_url`, ...), up to 64 KB.

    What the application asks before consent (its `auth_input_map`) stands among it, by its name.
    """

    model_config = ConfigDict(extra="allow")

    access_token: Token | None = Field(default=None, description="Not needed where there is a refresh token")
    refresh_token: Token | None = None
    expires_in: Seconds | None = Field(
        default=None, examples=[3600], description="Seconds that the access token still lives"
    )
    expires_at: Moment | None = None
    scope: str | None = Field(default=None, max_length=16_384)
    token_type: str | None = Field(default=None, min_length=1, max_length=100, examples=["Bearer"])

    @model_validator(mode="after")
    def _has_a_token(self) -> OAuth2Grant:
        if self.access_token is None and self.refresh_token is None:
            raise ValueError("give an access token or a refresh token")
        if self.expires_in is not None and self.expires_at is not None:
            raise ValueError("give expires_in or expires_at")
        return self


class AuthObject(Input):
    """One of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"oauth2": {"access_token": "...", "refresh_token": "...", "expires_in": 1800}}]
        }
    )

    oauth2: OAuth2Grant | None = None
    keybased: KeyFields | None = Field(default=None, examples=[{"api_key": "sk_sandbox_..."}])

    @model_validator(mode="after")
    def _is_one(self) -> AuthObject:
        if (self.oauth2 is None) == (self.keybased is None):
            raise ValueError("give oauth2 or keybased")
        return self


class Migration(Input):
    slug: str = Field(max_length=100, examples=["sandbox"])
    auth_object: AuthObject = Field(examples=[{"keybased": {"api_key": "sk_sandbox_..."}}])


class Migrated(BaseModel):
    success: bool = True
    message: str


class AuthStructure(BaseModel):
    oauth2: dict[str, str]
    keybased: dict[str, str]


@router.put("/migrate-token", responses={status: {"model": ErrorBody} for status in (400, 409, 502)})
async def migrate_token(made: Made, scope: Connects, account_id: Account, given: Migration) -> Migrated:
    """Take over a connection that another system holds, without its customer.

    The provider is asked first: what it refuses is a 422 and is not stored. Made for moving thousands of connections
    by a script that may stop and start again:

    - The client id and secret of the application must be those that the grant was given to.
    - While the access token lives it is only tried. Nothing is used up, and the other system may go on until Everlink
      refreshes for the first time; stop it before then, or one takes the rotated token from the other. Without
      `expires_in` or `expires_at` that is a minute later.
    - An access token that is over is no hindrance where there is a refresh token: it is refreshed at once. From then on
      the other system's copy may be worth nothing.
    - The same grant sent again changes nothing and succeeds, also after its tokens were rotated here.
    - A connection of the same account that is there already keeps its id; one that waits for its customer is mended.
    - 502 means that the provider gave no answer or asks to wait (`retry-after`): send it again.
    """
    _, entry = await enabled(made, scope, given.slug)
    oauth2, keybased = given.auth_object.oauth2, given.auth_object.keybased
    if oauth2 is None:
        await save_key(made, scope, account_id, entry, keybased or {})
    elif not await take_over(made, scope, account_id, entry, _held(made, entry, oauth2)):
        return Migrated(message="this grant was taken over before; nothing was changed")
    return Migrated(message="the connection was taken over")


@router.get("/auth-structure/{slug}")
async def auth_structure(made: Made, slug: str) -> AuthStructure:
    """Which fields an application's credential has, by their types: what `migrate-token` takes. Built-in ones only."""
    entry = made.catalog.built_in(slug)
    if entry is None:
        raise not_found("application")
    oauth2 = {
        "access_token": "string",
        "refresh_token": "string",
        "expires_in": "number",
        "expires_at": "string",
        "scope": "string",
        "token_type": "string",
    }
    fields = {field.name: "string" for field in entry.fields}
    by_consent = entry.auth_type is AuthType.OAUTH2
    return AuthStructure(oauth2={**oauth2, **fields} if by_consent else {}, keybased={} if by_consent else fields)


def _held(made: Made, entry: CatalogEntry, given: OAuth2Grant) -> HeldGrant:
    expires_in, more = given.expires_in, given.model_extra or {}
    texts = {name: value for name, value in more.items() if isinstance(value, str)}
    fields = {field.name: texts[field.name] for field in entry.fields if field.name in texts}
    if given.expires_at is not None:
        expires_in = min(MAX_LIFETIME, (given.expires_at.astimezone(UTC) - made.clock()).total_seconds())
    credential = OAuthCredential(
        access_token=given.access_token.get_secret_value() if given.access_token else "",
        refresh_token=given.refresh_token.get_secret_value() if given.refresh_token else None,
        token_type=given.token_type or "Bearer",
        scope=given.scope,
        extra=bounded({name: value for name, value in more.items() if name not in fields}),
        given=complete(entry, fields) if entry.auth_type is AuthType.OAUTH2 else {},
    )
    return HeldGrant(credential, expires_in)
