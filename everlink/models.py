"""What the API answers. The service and the client share the models of `/v1`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from everlink.contract import (
    AuthType,
    ConnectionStatus,
    Environment,
    EventType,
    Health,
    KeyScope,
    ReauthReason,
    RemovalKind,
    Verdict,
)

CONNECTION_ID = "con_5f2c8a0d1e3b4c6f9a7d2e1b0c4f8a6d"


class Connection(BaseModel):
    """A connection as the store has it."""

    id: str = Field(examples=[CONNECTION_ID])
    linked_account_id: str = Field(examples=["acme"])
    slug: str = Field(examples=["sandbox"])
    identifier: str = Field(examples=["ada@acme.example"], description="The account at the provider")
    display_name: str | None = Field(examples=["Ada"])
    auth_type: AuthType
    status: ConnectionStatus
    health: Health
    reason: ReauthReason | None = Field(description="Why the customer has to reconnect")
    status_since: datetime
    connected_at: datetime | None
    sequence: int = Field(description="Of the latest transition; events carry the same numbers")
    workflow_url: str = Field(description="The connection's page in Temporal's Web UI")


class ConnectionPage(BaseModel):
    connections: list[Connection]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page")


class ConnectionCounts(BaseModel):
    """How many connections are in each status."""

    pending: int
    active: int
    reauth_required: int
    disconnected: int
    degraded: int = Field(description="Of the active ones: their refreshes are failing")


class Transition(BaseModel):
    """One change in a connection's life."""

    sequence: int
    at: datetime
    previous_status: ConnectionStatus
    status: ConnectionStatus
    health: Health
    reason: ReauthReason | None
    event: EventType | None = Field(description="What webhooks were told")
    note: str


class Timeline(BaseModel):
    as_of: datetime
    transitions: list[Transition]


class Token(BaseModel):
    """A credential in the clear. Do not store it: ask again."""

    connection_id: str
    access_token: str | None = Field(description="For OAuth 2 applications", repr=False)
    token_type: str | None
    fields: dict[str, str] | None = Field(description="For key-based applications", repr=False)
    extra: dict[str, Any] = Field(description="What else the provider granted, e.g. `instance_url`", repr=False)
    expires_at: datetime | None
    ends_at: datetime | None = Field(description="When the grant itself ends, which only the customer can renew")
    generation: int = Field(description="Name it when you report a refusal")


class Refreshed(BaseModel):
    """What a forced refresh, or probe, brought."""

    status: ConnectionStatus
    health: Health
    generation: int
    expires_at: datetime | None
    verdict: Verdict | None = Field(description="What the provider's answer meant")


class ReconnectLink(BaseModel):
    connect_url: str


class Application(BaseModel):
    """A catalog entry that the organization enabled."""

    slug: str
    client_id: str | None
    has_client_secret: bool
    scopes: list[str]
    alarm: str | None = Field(description="The provider refuses the application itself: no customer can help")
    alarm_at: datetime | None
    redirect_uri: str = Field(description="To be registered at the provider")


class LinkedAccount(BaseModel):
    """An end customer, under the id that the product gave it."""

    id: str = Field(examples=["acme"])
    name: str | None
    udf: dict[str, Any]
    environment: Environment
    created_at: datetime


class LinkedAccountPage(BaseModel):
    linked_accounts: list[LinkedAccount]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page")


class Removal(BaseModel):
    """Something is taken away with its connections: how far that is."""

    id: str
    kind: RemovalKind
    subject: str
    total: int
    done: int
    started_at: datetime
    finished_at: datetime | None


class ApiKey(BaseModel):
    """An API key without its secret."""

    id: str
    name: str
    scopes: list[KeyScope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewApiKey(ApiKey):
    key: str = Field(description="Shown once", repr=False)


class WebhookEndpoint(BaseModel):
    """Where events go."""

    id: str
    url: str
    events: list[EventType]
    is_enabled: bool


class NewWebhookEndpoint(WebhookEndpoint):
    secret: str = Field(description="Shown once. Verifies the `webhook-signature` of Standard Webhooks", repr=False)


class SessionToken(BaseModel):
    """A browser's right to act for one linked account, for a while."""

    token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    expires_in: int
    refresh_expires_in: int


class ConnectedAccount(BaseModel):
    """One account of a customer at an application."""

    identifier: str
    connectedAt: datetime
    status: str  # `active`, or `expired` while the customer has to reconnect
    auth_type: AuthType
    connection_id: str


class Connected(BaseModel):
    """An application as one customer sees it."""

    slug: str
    name: str
    icon: str
    auth_type: AuthType
    connected: bool
    connected_accounts: list[ConnectedAccount]
    reauth_required: bool


class ConnectLink(BaseModel):
    auth_url: str
