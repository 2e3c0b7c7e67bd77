"""Applications and linked accounts as the seed's API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from everlink.contract import ConnectionStatus
from providers.entry import CatalogEntry
from store.tables import Connection, LinkedAccount


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
    options: list[str]
    multiple: bool = Field(default=False, description="No field of a credential takes several values")
    help_text: str


class ApplicationView(BaseModel):
    """An application as one linked account sees it."""

    app_id: str | None = Field(
        description="null: the organization deleted it; what was connected needs a reconnect once it is enabled again"
    )
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


class Integration(BaseModel):
    """An application that a linked account has connected."""

    type: str = Field(examples=["slack"], description="The application's slug")
    name: str = Field(examples=["Slack"])
    icon: str
    app_id: str | None
    auth_type: str
    connected_accounts: list[ConnectedAccount]
    reauth_required: bool


class UserField(BaseModel):
    key: str = Field(examples=["plan"])
    value: Any = Field(examples=["pro"])


class AccountView(BaseModel):
    id: str = Field(serialization_alias="_id", examples=["acme"])
    associated_org: str
    account_id: str = Field(examples=["acme"])
    name: str | None
    environment: str
    udf: list[UserField]
    integrations: list[Integration]


class AuthUrl(BaseModel):
    auth_url: str


class Success(BaseModel):
    success: bool = True


class Saved(Success):
    connection_id: str


class Message(BaseModel):
    message: str


def application_view(app_id: str | None, entry: CatalogEntry, connections: list[Connection]) -> ApplicationView:
    mine = [row for row in connections if row.slug == entry.slug and row.status != ConnectionStatus.PENDING]
    fields = [FormField(**field.model_dump()) for field in entry.fields]
    return ApplicationView(
        app_id=app_id,
        name=entry.name,
        description=entry.description,
        icon=entry.icon,
        slug=entry.slug,
        tags=list(entry.tags),
        ecosystem=entry.ecosystem,
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


def account_view(row: LinkedAccount, applications: list[ApplicationView]) -> AccountView:
    """A linked account, with the applications as it sees them."""
    return AccountView(
        id=row.id,
        associated_org=row.org_id,
        account_id=row.id,
        name=row.name,
        environment=row.environment,
        udf=[UserField(key=key, value=value) for key, value in row.udf.items()],
        integrations=[
            Integration(type=one.slug, **one.model_dump(include=set(Integration.model_fields) - {"type"}))
            for one in applications
            if one.connected
        ],
    )
