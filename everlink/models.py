"""What the API answers under `/v1`, and what the client makes of it. The service and the client share these models."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from everlink.answers import Refusal
from everlink.contract import (
    AuthType,
    ConnectAttemptStatus,
    ConnectionStatus,
    DeliveryStatus,
    DisabledReason,
    EventType,
    Health,
    KeyScope,
    ReauthReason,
    RemovalKind,
    Verdict,
)

NEXT = "Give it back as `cursor` for the next page"


class Connection(BaseModel):
    """A connection as the store has it."""

    id: str = Field(examples=["con_5f2c..."])
    linked_account_id: str = Field(examples=["acme"])
    slug: str = Field(examples=["sandbox"])
    identifier: str = Field(examples=["ada@acme.example"], description="The account at the provider")
    display_name: str | None
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
    next_cursor: str | None = Field(description=NEXT)


class ConnectionCounts(BaseModel):
    """How many connections are in each status."""

    pending: int = Field(examples=[1])
    active: int = Field(examples=[240])
    reauth_required: int = Field(examples=[3])
    disconnected: int = Field(examples=[12])
    degraded: int = Field(examples=[2], description="Of any status: refreshes are failing, the grant may live")


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
    headers: dict[str, str] = Field(
        default={}, description="What a request to the provider carries, so that it is accepted", repr=False
    )
    query: dict[str, str] = Field(default={}, description="The same in the query of its address", repr=False)
    secret_fields: list[str] = Field(
        default=[], examples=[["api_key"]], description="Which of `fields` nobody else may see"
    )
    refusals: list[Refusal] = Field(
        default=[], description="By any of these answers the provider refuses the credential", repr=False
    )


class Refreshed(BaseModel):
    """What a forced refresh, or probe, brought."""

    status: ConnectionStatus
    health: Health
    generation: int
    expires_at: datetime | None
    verdict: Verdict | None = Field(description="What the provider's answer meant")


class ReconnectLink(BaseModel):
    connect_url: str


class ConnectSession(BaseModel):
    """A link to the page where a customer connects and reconnects."""

    id: str
    session: str = Field(repr=False, description="The link's secret, which is shown once")
    url: str = Field(repr=False, examples=["https://everlink.product.example/connect/..."])
    expires_at: datetime = Field(description="Until when it can be opened")


class AttemptLink(BaseModel):
    """A connect attempt that has just been made."""

    id: str
    connect_url: str = Field(repr=False, description="For the customer's browser; good once, until `expires_at`")
    expires_at: datetime


class ConnectAttempt(BaseModel):
    """What came of a link to a provider."""

    id: str
    application: str = Field(examples=["sandbox"])
    status: ConnectAttemptStatus
    connection_id: str | None = Field(description="The connection that came of it")
    error_code: str | None = Field(examples=["access_denied"], description="Why nothing was connected")
    message: str | None = Field(description="The same in words for the customer, in the language of their browser")


class Event(BaseModel):
    """Something that happened, as it was announced."""

    id: str = Field(examples=["5b0e5a9c-..."], description="The `webhook-id` of its deliveries")
    position: int = Field(examples=[4711], description="Among your events: each has a higher one than those before it")
    type: EventType = Field(examples=["Connection Expired"])
    slug: str = Field(examples=["sandbox"], description="The application's; empty where it is about none")
    connection_id: str | None = Field(examples=["con_5f2c..."])
    created_at: datetime
    body: dict[str, Any] = Field(description="What webhook endpoints are sent")


class EventPage(BaseModel):
    events: list[Event]
    next_cursor: str = Field(description="Give it back as `after`, now or later: it goes on behind this page")
    has_more: bool = Field(description="Whether there is more now")


class Delivery(BaseModel):
    """How one event fares at one webhook endpoint."""

    event_id: str = Field(examples=["5b0e5a9c-..."], description="The `webhook-id`")
    endpoint_id: str = Field(examples=["we_5f2c..."])
    event: EventType = Field(examples=["Connection Expired"])
    position: int = Field(examples=[4711], description="The event's, among all of this environment")
    status: DeliveryStatus
    round: int = Field(examples=[0], description="How often it was replayed")
    attempts: int = Field(examples=[1], description="Made in this round")
    last_note: str
    next_attempt_at: datetime | None
    updated_at: datetime


class DeliveryPage(BaseModel):
    deliveries: list[Delivery]
    next_cursor: str | None = Field(description=NEXT)


class AttemptAnswer(BaseModel):
    """What a receiver answered, as much of it as is kept."""

    headers: dict[str, str]
    body: str = Field(repr=False)
    complete: bool = Field(description="Whether this is all of it: 20 KB are kept")


class DeliveryAttempt(BaseModel):
    """One try to deliver an event: what was sent, and what came back."""

    round: int
    attempt: int = Field(description="In its round, from 1")
    at: datetime
    seconds: float
    url: str
    method: str
    request_headers: dict[str, str] = Field(description="Without the endpoint's own, whose values may be secret")
    status: int | None = Field(description="null: no answer came")
    note: str
    answer: AttemptAnswer | None


class DeliveryDetails(BaseModel):
    """How one event fared at one webhook endpoint, try by try."""

    delivery: Delivery
    body: dict[str, Any] = Field(description="The event's: what each attempt sent")
    attempts: list[DeliveryAttempt] = Field(description="The last fifty, in their order")


class SentTest(BaseModel):
    """An event that was made on request, for one webhook endpoint."""

    event_id: str = Field(examples=["5b0e5a9c-..."], description="The `webhook-id` of its delivery")


class Replay(BaseModel):
    """Events that are sent to an endpoint once more, and how far that is. Positions are those of events."""

    id: str = Field(examples=["rep_9f86d081884c7d659a2feaa0c55ad015"])
    endpoint_id: str = Field(examples=["we_5f2c..."])
    missed_only: bool
    after: int = Field(examples=[4711], description="It began behind this position")
    until: int = Field(examples=[5200], description="The last event that there was then")
    position: int = Field(examples=[4900], description="All events up to here are on their way, or need not be")
    replayed: int = Field(examples=[120], description="Events that are sent again")
    scheduled: int = Field(examples=[20], description="Of those: on their way")
    delivered: int = Field(examples=[99])
    failed: int = Field(examples=[1])
    note: str = Field(description="Why it ended early")
    started_at: datetime
    finished_at: datetime | None = Field(description="When all were on their way, or it ended early; null before")


class Application(BaseModel):
    """A catalog entry that the organization enabled."""

    slug: str = Field(examples=["sandbox"])
    client_id: str | None
    has_client_secret: bool
    previous_secret_until: datetime | None = Field(description="Until when the secret before is tried, too")
    has_signing_secret: bool
    scopes: list[str]
    required_scopes: list[str] = Field(description="Without which a grant is not kept")
    alarm: str | None = Field(description="The provider refuses the application itself: no customer can help")
    alarm_at: datetime | None
    outage_since: datetime | None = Field(
        description="Since when many of its connections fail at once; while it is set, none of them says so by itself"
    )
    redirect_uri: str = Field(description="To be registered at the provider")
    events_url: str | None = Field(
        description="To be registered at the provider, for what it tells of grants; null where it tells nothing"
    )


class LinkedAccount(BaseModel):
    """An end customer, under the id that the product gave it."""

    id: str = Field(examples=["acme"])
    name: str | None = Field(examples=["Acme Inc."])
    udf: dict[str, Any] = Field(examples=[{"plan": "pro"}])
    created_at: datetime


class LinkedAccountPage(BaseModel):
    linked_accounts: list[LinkedAccount]
    next_cursor: str | None = Field(description=NEXT)


class Removal(BaseModel):
    """Something that is being taken away with its connections, and how far that is."""

    id: str = Field(examples=["rem_9f86d081884c7d659a2feaa0c55ad015"])
    kind: RemovalKind = Field(examples=["application"])
    subject: str = Field(examples=["sandbox"], description="The application's slug, or the id of what is removed")
    total: int = Field(examples=[300], description="Connections")
    done: int = Field(examples=[120], description="Connections that have followed")
    started_at: datetime
    finished_at: datetime | None = Field(description="None while it is under way")


class ApiKey(BaseModel):
    """An API key without its secret."""

    id: str = Field(examples=["5f2c9a01b3d4"], description="The middle part of the key")
    name: str = Field(examples=["backend"])
    scopes: list[KeyScope] = Field(examples=[["read", "connect"]])
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewApiKey(ApiKey):
    key: str = Field(examples=["tk_5f2c9a01b3d4_..."], description="Shown once; it cannot be read again", repr=False)


class LegacySignature(BaseModel):
    """The signature header of the product that Everlink replaces, sent beside the standard ones."""

    header: str


class WebhookEndpoint(BaseModel):
    """Where events go."""

    id: str = Field(examples=["we_5f2c..."])
    url: str
    events: list[EventType]
    applications: list[str] = Field(examples=[["sandbox"]], description="Whose events are sent; none: of all")
    reminders: bool = Field(description="Whether it is reminded of a `Connection Expired` that nobody has answered")
    header_names: list[str] = Field(
        description="Of the headers that are sent with each event; their values may be secret"
    )
    method: str
    is_enabled: bool
    disabled_reason: DisabledReason | None = Field(
        description="Why Everlink disabled it: it answered 410, or nothing but failures for days"
    )
    disabled_at: datetime | None = Field(description="When Everlink did")
    failing_since: datetime | None = Field(description="Every attempt since then has failed")
    previous_secret_until: datetime | None = Field(description="Until when the secret before signs, too")
    legacy_signature: LegacySignature | None = Field(description="null: off")
    created_at: datetime


class NewWebhookEndpoint(WebhookEndpoint):
    secret: str = Field(description="Shown once. Verifies the `webhook-signature` of Standard Webhooks", repr=False)


class SessionToken(BaseModel):
    """A browser's right to act for one linked account, for a while."""

    token: str = Field(
        examples=["st_..."], description="For the `Authorization: Bearer` header, or the browser SDK", repr=False
    )
    refresh_token: str = Field(examples=["sr_..."], repr=False)
    expires_in: int = Field(examples=[3600], description="Seconds that the token lives")
    refresh_expires_in: int = Field(examples=[86400], description="Seconds that the refresh token lives")


class ConnectedAccount(BaseModel):
    """One account of a customer at an application, as the seed's API shows it."""

    identifier: str
    connectedAt: datetime
    status: str  # `active`, or `expired` while the customer has to reconnect
    auth_type: AuthType
    connection_id: str


class Connected(BaseModel):
    """An application as one customer sees it, as the seed's API shows it."""

    slug: str
    name: str
    icon: str
    auth_type: AuthType
    connected: bool
    connected_accounts: list[ConnectedAccount]
    reauth_required: bool


class ConnectLink(BaseModel):
    auth_url: str


class Settings(BaseModel):
    """What an organization decides for one of its environments."""

    allowed_origins: list[str] = Field(
        examples=[["https://app.acme.example", "http://localhost:3000"]],
        description="Whose pages may use session tokens, and frame the connect page. While it is empty, pages of any "
        "origin may use tokens, and none may frame",
    )
    reminder_days: list[float] = Field(
        examples=[[1.0, 3.0, 7.0]],
        description="How many days after `Connection Expired` to remind of it, while nobody has reconnected; "
        "empty: never",
    )
    return_urls: list[str] = Field(
        examples=[["https://app.acme.example/integrations"]],
        description="Where customers may be sent back to after connecting: a `return_url` is exactly one of them",
    )
    brand_colour: str | None = Field(
        examples=["#2c52d6"], description="Of the pages that your customers read, as `#rrggbb`; null: ours"
    )
    logo: str | None = Field(
        examples=["data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4="],
        description="At the top of those pages: a `data:` address of a PNG, JPEG, WebP or SVG in base64, of at most "
        "32 KB; null: only your name",
    )
