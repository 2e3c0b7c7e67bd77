"""The seed's API, as far as it concerns the life of a connection."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import AwareDatetime, BaseModel, Field

from api.auth import Account, Made, Tenant
from api.connecting import save_key, start_link
from api.errors import ApiError, not_found
from api.inputs import Input, KeyFields
from api.lifecycle import disconnect
from api.services import Services
from everlink.contract import ConnectionStatus
from providers.catalog import CatalogEntry
from store.connections import ConnectionFilter
from store.scope import Scope
from store.tables import Application, Connection, LinkedAccount

PAGE = 1000

router = APIRouter(prefix="/api/v2/public", tags=["Seed API"])


class Version(BaseModel):
    v: str = Field(serialization_alias="_v", examples=["1.0.0"])
    description: str


class ConnectedAccount(BaseModel):
    identifier: str = Field(examples=["ada@acme.example"])
    connectedAt: str = Field(examples=["2023-05-31T07:45:59.841Z"])
    status: str = Field(examples=["active"], description="`active`, or `expired` while the customer has to reconnect")
    auth_type: str
    connection_id: str


class FormField(BaseModel):
    name: str
    label: str
    placeholder: str
    required: bool
    type: str
    options: list[str] = []
    multiple: bool = False
    help_text: str


class ApplicationView(BaseModel):
    """An application as one linked account sees it."""

    app_id: str
    name: str = Field(examples=["Slack"])
    description: str
    icon: str
    slug: str = Field(examples=["slack"])
    type: str = "native"
    tags: list[str]
    ecosystem: str | None = None
    auth_type: str = Field(examples=["oauth2"])
    auth_type_options: dict[str, list[FormField]]
    auth_input_map: list[FormField]
    version: Version
    connected: bool
    connected_accounts: list[ConnectedAccount]
    reauth_required: bool = Field(description="True while any of its accounts has to reconnect")


class AccountView(BaseModel):
    id: str = Field(serialization_alias="_id")
    associated_org: str
    account_id: str
    name: str | None
    environment: str
    udf: dict[str, Any]


class AccountInput(Input):
    account_id: str | None = Field(default=None, min_length=1, max_length=255, examples=["acme"])
    linked_account_id: str | None = Field(default=None, min_length=1, max_length=255)
    name: str | None = Field(default=None, max_length=255, examples=["Acme Inc."])
    udf: dict[str, Any] = {}


class AuthUrl(BaseModel):
    auth_url: str


class Success(BaseModel):
    success: bool = True


@router.get("/application")
async def list_applications(
    made: Made,
    scope: Tenant,
    account_id: Account,
    slug: Annotated[str | None, Query()] = None,
    auth_type: Annotated[str | None, Query()] = None,
) -> list[ApplicationView]:
    """The organization's applications, with what this linked account has connected and what needs a reconnect."""
    connections = await _all(made, scope, ConnectionFilter(linked_account_id=account_id, living=True))
    views = []
    for application in await made.tenants.applications(scope):
        entry = made.catalog.get(application.slug)
        if entry is None or (slug and slug != entry.slug) or (auth_type and auth_type != entry.auth_type):
            continue
        views.append(_view(application, entry, connections))
    return views


@router.get("/application/{slug}")
async def get_application(made: Made, scope: Tenant, account_id: Account, slug: str) -> ApplicationView:
    """One application, as this linked account sees it."""
    application, entry = await _enabled(made, scope, slug)
    wanted = ConnectionFilter(linked_account_id=account_id, slug=slug, living=True)
    return _view(application, entry, await _all(made, scope, wanted))


@router.post("/linked-account")
async def save_account(made: Made, scope: Tenant, account: AccountInput) -> AccountView:
    """Create a linked account, or change its name and fields."""
    account_id = account.account_id or account.linked_account_id
    if account_id is None:
        raise ApiError(400, "account_id_missing", "give an account_id")
    values = account.model_dump(include={"name", "udf"}, exclude_unset=True)
    return _account(await made.tenants.save_linked_account(scope, account_id, values, made.clock()))


@router.get("/linked-account/integration/oauth-url/{slug}")
async def oauth_url(made: Made, scope: Tenant, account_id: Account, slug: str) -> AuthUrl:
    """A link that takes the customer's browser to the provider's consent page, and back."""
    _, entry = await _enabled(made, scope, slug)
    return AuthUrl(auth_url=await start_link(made, scope, account_id, entry))


@router.put("/linked-account/integration/save-key-credentials/{slug}")
async def save_key_credentials(
    made: Made,
    scope: Tenant,
    account_id: Account,
    slug: str,
    fields: Annotated[KeyFields, Body(examples=[{"api_key": "sk_sandbox_..."}])],
    expires_at: Annotated[
        AwareDatetime | None, Query(description="When the key ends, if that is known: announced 30, 7 and 1 days ahead")
    ] = None,
) -> Success:
    """Connect a key-based application. The provider is asked first; what it refuses is not stored."""
    _, entry = await _enabled(made, scope, slug)
    await save_key(made, scope, account_id, entry, fields, expires_at)
    return Success()


@router.delete("/linked-account/integration/{slug}")
async def remove_integration(made: Made, scope: Tenant, account_id: Account, slug: str) -> AccountView:
    """Disconnect every account of this application. 200 even where none was connected."""
    wanted = ConnectionFilter(linked_account_id=account_id, slug=slug, living=True)
    for connection in await _all(made, scope, wanted):
        await disconnect(made, connection)
    account = await made.tenants.linked_account(scope, account_id)
    if account is None:
        raise not_found("linked_account")
    return _account(account)


async def _enabled(made: Services, scope: Scope, slug: str) -> tuple[Application, CatalogEntry]:
    application, entry = await made.tenants.application(scope, slug), made.catalog.get(slug)
    if application is None or entry is None:
        raise not_found("application")
    return application, entry


async def _all(made: Services, scope: Scope, wanted: ConnectionFilter) -> list[Connection]:
    """All that is wanted: the seed knows no pages."""
    found: list[Connection] = []
    while page := await made.connections.page(scope, wanted, after=found[-1].id if found else None, limit=PAGE):
        found += page
        if len(page) < PAGE:
            break
    return found


def _view(application: Application, entry: CatalogEntry, connections: list[Connection]) -> ApplicationView:
    mine = [row for row in connections if row.slug == entry.slug and row.status != ConnectionStatus.PENDING]
    fields = [
        FormField(**field.model_dump(include={"name", "label", "placeholder", "required", "type", "help_text"}))
        for field in entry.fields
    ]
    return ApplicationView(
        app_id=application.id,
        name=entry.name,
        description=entry.description,
        icon=entry.icon,
        slug=entry.slug,
        tags=list(entry.tags),
        auth_type=entry.auth_type,
        auth_type_options={entry.auth_type.value: fields},
        auth_input_map=fields,
        version=Version(v=entry.version, description=entry.description),
        connected=bool(mine),
        connected_accounts=[_connected(row) for row in mine],
        reauth_required=any(row.status == ConnectionStatus.REAUTH_REQUIRED for row in mine),
    )


def _connected(row: Connection) -> ConnectedAccount:
    expired = row.status == ConnectionStatus.REAUTH_REQUIRED
    return ConnectedAccount(
        identifier=row.identifier,
        connectedAt=_milliseconds(row.connected_at or row.created_at),
        status="expired" if expired else "active",
        auth_type=row.auth_type,
        connection_id=row.id,
    )


def _milliseconds(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _account(row: LinkedAccount) -> AccountView:
    return AccountView(
        id=row.id,
        associated_org=row.org_id,
        account_id=row.id,
        name=row.name,
        environment=row.environment,
        udf=row.udf,
    )
