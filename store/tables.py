"""The tables. Every tenant's row carries organization and environment, and foreign keys hold both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from everlink.contract import (
    AuthType,
    ConnectionStatus,
    DeliveryStatus,
    DisabledReason,
    Environment,
    Health,
    KeyScope,
    RemovalKind,
)
from store.columns import Word, addressable, belongs_to, few, json, moment, sealed, word

REMINDER_DAYS = (1.0, 3.0, 7.0)


class Organization(SQLModel, table=True):
    id: str = Field(primary_key=True)
    name: str
    created_at: datetime = moment()


class DataKey(SQLModel, table=True):
    """One per organization and environment, wrapped by a key-encryption key."""

    __tablename__ = "data_key"
    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = word(Environment)
    wrapped: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = moment()
    __table_args__ = (UniqueConstraint("org_id", "environment"),)


class ApiKey(SQLModel, table=True):
    __tablename__ = "api_key"
    id: str = Field(primary_key=True)  # the public part
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = word(Environment)
    name: str
    secret_sha256: str
    scopes: list[str] = json(lambda: list(KeyScope))
    created_at: datetime = moment()
    expires_at: datetime | None = moment(nullable=True, default=None)
    overlap_until: datetime | None = moment(nullable=True, default=None)  # another has taken its place
    revoked_at: datetime | None = moment(nullable=True, default=None)

    @property
    def ends_at(self) -> datetime | None:
        return min((at for at in (self.expires_at, self.overlap_until) if at is not None), default=None)


class Application(SQLModel, table=True):
    """A catalog entry that an organization enabled, with its own client at the provider."""

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = word(Environment)
    slug: str
    client_id: str | None = None
    client_secret: bytes | None = sealed()
    previous_client_secret: bytes | None = sealed()  # tried where the new one is refused, while it lives
    previous_until: datetime | None = moment(nullable=True, default=None)
    signing_secret: bytes | None = sealed()  # what the provider's events are known by
    previous_signing_secret: bytes | None = sealed()  # tried beside it, while it lives
    previous_signing_until: datetime | None = moment(nullable=True, default=None)
    scopes: list[str] = json(list)
    required_scopes: list[str] = json(list)  # without which a grant is not kept
    alarm: str | None = None  # the provider refuses the application itself, in static words
    alarm_at: datetime | None = moment(nullable=True, default=None)
    outage_since: datetime | None = moment(nullable=True, default=None)  # the provider is out, and that was announced
    outage_ended_at: datetime | None = moment(nullable=True, default=None)
    created_at: datetime = moment()
    removed_at: datetime | None = moment(nullable=True, default=None)  # its removal is under way
    __table_args__ = (UniqueConstraint("org_id", "environment", "slug"),)


class OwnApplication(SQLModel, table=True):
    """A catalog entry that an organization brought itself."""

    __tablename__ = "own_application"
    org_id: str = Field(primary_key=True, foreign_key="organization.id")
    environment: Environment = word(Environment, primary_key=True)
    slug: str = Field(primary_key=True)
    definition: dict[str, Any] = json(dict)  # of the entry, without the slug
    created_at: datetime = moment()
    updated_at: datetime = moment()


class LinkedAccount(SQLModel, table=True):
    """An end customer, under the id that the product gave it."""

    __tablename__ = "linked_account"
    org_id: str = Field(primary_key=True, foreign_key="organization.id")
    environment: Environment = word(Environment, primary_key=True)
    id: str = Field(primary_key=True)
    name: str | None = None
    udf: dict[str, Any] = json(dict)
    created_at: datetime = moment()
    removed_at: datetime | None = moment(nullable=True, default=None)  # its removal is under way


class TenantSettings(SQLModel, table=True):
    """What an organization has set for one of its environments."""

    __tablename__ = "tenant_settings"
    org_id: str = Field(primary_key=True, foreign_key="organization.id")
    environment: Environment = word(Environment, primary_key=True)
    allowed_origins: list[str] = json(list)
    reminder_days: list[float] = json(lambda: list(REMINDER_DAYS))  # after "Connection Expired"; none: no reminders
    return_urls: list[str] = json(list)  # where customers may be sent back to, exactly
    brand_colour: str | None = None  # of the pages that they read, `#rrggbb`
    logo: str | None = None  # a `data:` address


class SessionToken(SQLModel, table=True):
    """A browser's right to act for one linked account, for a while."""

    __tablename__ = "session_token"
    id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    linked_account_id: str
    family: str  # of the pairs that came of one another
    token_sha256: str = Field(unique=True)
    refresh_sha256: str = Field(unique=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # both, so that a living one is given again
    created_at: datetime = moment()
    expires_at: datetime = moment()
    refresh_expires_at: datetime = moment(index=True)
    revoked_at: datetime | None = moment(nullable=True, default=None)
    __table_args__ = (
        addressable(),
        belongs_to("linked_account", "linked_account_id"),
        Index("session_token_of_account", "org_id", "environment", "linked_account_id"),
    )


class ConnectSession(SQLModel, table=True):
    """A link to the hosted page, where a linked account connects and reconnects its applications."""

    __tablename__ = "connect_session"
    id: str = Field(primary_key=True)
    secret_sha256: str = Field(unique=True)
    org_id: str
    environment: Environment = word(Environment)
    linked_account_id: str
    body: dict[str, Any] = json(dict)  # what the product gave with it
    applications: list[str] = json(list)  # which the page shows; none: all
    return_url: str | None = None  # where the customer goes from there
    embed_origin: str | None = None  # the page that frames it; none: nobody does
    locale: str | None = None  # none: as the browser asks
    created_at: datetime = moment()
    expires_at: datetime = moment(index=True)
    browser_sha256: str | None = None  # of the browser that opened the link first, and no other may
    __table_args__ = (
        addressable(),
        belongs_to("linked_account", "linked_account_id"),
        Index("connect_session_of_browser", "browser_sha256", unique=True),
    )


class ConsoleSession(SQLModel, table=True):
    """An operator's browser, which has shown an API key."""

    __tablename__ = "console_session"
    id: str = Field(primary_key=True)
    secret_sha256: str = Field(unique=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = word(Environment)
    api_key_id: str = Field(foreign_key="api_key.id")
    may_act: bool  # and not only read
    created_at: datetime = moment()
    expires_at: datetime = moment(index=True)
    __table_args__ = (Index("console_session_of_key", "api_key_id"),)


class IdempotentAnswer(SQLModel, table=True):
    """What a POST with an idempotency key was answered, to answer it again."""

    __tablename__ = "idempotent_answer"
    org_id: str = Field(primary_key=True, foreign_key="organization.id")
    environment: Environment = word(Environment, primary_key=True)
    owner: str = Field(primary_key=True)  # who may hear it again: the tenant's keys, or one linked account
    key: str = Field(primary_key=True)
    request_sha256: str
    claim: str  # of the request that works on it
    status: int | None = None  # none: the first request has not been answered yet
    sealed: bytes | None = sealed()  # body and headers: they may hold a secret
    started_at: datetime = moment()
    expires_at: datetime = moment(index=True)


class Removal(SQLModel, table=True):
    """Something is taken away with all of its connections: how far that is."""

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = word(Environment)
    kind: RemovalKind = word(RemovalKind)
    subject: str  # the application's slug, the linked account's id, the organization's id
    total: int = 0
    done: int = 0
    started_at: datetime = moment()
    finished_at: datetime | None = moment(nullable=True, default=None)
    __table_args__ = (addressable(), few("unfinished_removal", "id", where="finished_at IS NULL"))


def _listed(name: str, *columns: str) -> list[Index]:
    """What `store/listing.py` reads. Refreshes change none of it."""
    given = ("org_id", "environment", *columns)
    return [
        Index(f"{name}_by_status", *given, "status", "health", "id"),
        few(f"{name}_by_reason", *given, "reason", "health", "id", where="reason IS NOT NULL"),
    ]


class Connection(SQLModel, table=True):
    """The store's copy of a connection's state; its workflow is the only writer of `status` once it runs."""

    id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    linked_account_id: str
    slug: str
    identifier: str  # the account at the provider
    display_name: str | None = None
    auth_type: AuthType = word(AuthType)
    status: ConnectionStatus = word(ConnectionStatus, default=ConnectionStatus.PENDING)
    health: Health = word(Health, default=Health.OK)
    reason: str | None = None
    status_since: datetime = moment()
    connected_at: datetime | None = moment(nullable=True, default=None)
    sequence: int = 0
    in_outage: bool = False  # its `degraded` was told by the application's outage, and not by itself
    created_at: datetime = moment()
    __table_args__ = (
        addressable(),
        belongs_to("linked_account", "linked_account_id"),
        Index(
            "one_living_connection",
            "org_id",
            "environment",
            "linked_account_id",
            "slug",
            "identifier",
            unique=True,
            sqlite_where=text("status != 'disconnected'"),
            postgresql_where=text("status != 'disconnected'"),
        ),
        *_listed("connections"),
        *_listed("connections_of_application", "slug"),
        *_listed("connections_of_account", "linked_account_id"),
        *_listed("connections_of_both", "linked_account_id", "slug"),
    )


class ConnectionKey(SQLModel, table=True):
    """An id by which the provider's events name the account of a connection. `account` is the identifier itself."""

    __tablename__ = "connection_key"
    connection_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    slug: str
    __table_args__ = (
        belongs_to("connection", "connection_id"),
        Index("connection_of_key", "org_id", "environment", "slug", "name", "value"),
    )


class Credential(SQLModel, table=True):
    """What the vault holds for a connection. `generation` moves by one at every successful write."""

    connection_id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    generation: int
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    renewable: bool
    expires_at: datetime | None = moment(nullable=True, default=None)
    ends_at: datetime | None = moment(nullable=True, default=None)  # when the grant itself ends
    updated_at: datetime = moment()
    unconfirmed_generation: int | None = None  # a customer's grant of which the workflow may not know yet
    __table_args__ = (
        belongs_to("connection", "connection_id"),
        few("unconfirmed_grant", "connection_id", where="unconfirmed_generation IS NOT NULL"),
    )


class RefreshIntent(SQLModel, table=True):
    """Written before a token request, closed when its answer is known: what a crash in between leaves open."""

    __tablename__ = "refresh_intent"
    id: str = Field(primary_key=True)
    connection_id: str = Field(foreign_key="connection.id", index=True)
    generation: int
    attempt: int
    started_at: datetime = moment()
    lease_until: datetime = moment()
    outcome: str | None = None
    __table_args__ = (UniqueConstraint("connection_id", "generation", "attempt"),)


class TransitionRow(SQLModel, table=True):
    """A connection's timeline, kept beyond Temporal's retention."""

    __tablename__ = "transition"
    connection_id: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    at: datetime = moment()
    previous_status: str
    status: str
    health: str
    reason: str | None = None
    event: str | None = None
    note: str = ""
    __table_args__ = (belongs_to("connection", "connection_id"),)


class Event(SQLModel, table=True):
    """The outbox: written in the transaction of the transition that it announces."""

    id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    connection_id: str | None = None  # none: the event is an application's
    sequence: int
    position: int = Field(sa_column=Column(BigInteger, nullable=False))  # among the tenant's, as they were committed
    type: str
    slug: str  # empty: the event is a webhook endpoint's
    body: dict[str, Any] = json(dict)
    created_at: datetime = moment()
    __table_args__ = (
        addressable(),
        UniqueConstraint("connection_id", "sequence"),
        belongs_to("connection", "connection_id"),
        Index("event_position", "org_id", "environment", "position", unique=True),
    )


class EventCounter(SQLModel, table=True):
    """The position of a tenant's last event. Who announces one holds the row until the event is committed.

    So whoever has read up to a position has missed none before it.
    """

    __tablename__ = "event_counter"
    org_id: str = Field(primary_key=True, foreign_key="organization.id")
    environment: Environment = word(Environment, primary_key=True)
    last: int = Field(sa_column=Column(BigInteger, nullable=False))


class WebhookEndpoint(SQLModel, table=True):
    __tablename__ = "webhook_endpoint"
    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = word(Environment)
    url: str
    events: list[str] = json(list)
    applications: list[str] = json(list)  # whose events it wants; none: all
    reminders: bool = True
    header_names: list[str] = json(list)
    sealed_headers: bytes | None = sealed()  # of those names; their values may be secret
    headers: dict[str, str] = json(dict)  # of rows that were made when they were not sealed
    method: str = "POST"
    is_enabled: bool = True
    disabled_reason: DisabledReason | None = Field(default=None, sa_column=Column(Word(DisabledReason), nullable=True))
    disabled_at: datetime | None = moment(nullable=True, default=None)
    failing_since: datetime | None = moment(nullable=True, default=None)  # nothing but failures since then
    failed_at: datetime | None = moment(nullable=True, default=None)  # the last of them
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    previous_secret: bytes | None = sealed()  # signs beside the new one
    previous_secret_until: datetime | None = moment(nullable=True, default=None)
    legacy_secret: bytes | None = sealed()  # the caller's own, for the seed's signature header; none: it is off
    created_at: datetime = moment()
    __table_args__ = (addressable(),)


class Delivery(SQLModel, table=True):
    """How one event fares at one endpoint."""

    event_id: str = Field(primary_key=True)
    endpoint_id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    position: int = Field(sa_column=Column(BigInteger, nullable=False))  # the event's
    status: DeliveryStatus = word(DeliveryStatus, default=DeliveryStatus.SCHEDULED)
    round: int = 0  # how often it was replayed
    replay_id: str | None = None  # the replay that began this round, where it was one of many events
    attempts: int = 0  # in this round
    last_note: str = ""
    next_attempt_at: datetime | None = moment(nullable=True, default=None)
    updated_at: datetime = moment()
    __table_args__ = (
        belongs_to("event", "event_id"),
        belongs_to("webhook_endpoint", "endpoint_id"),
        few("scheduled_delivery", "event_id", "endpoint_id", where="status = 'scheduled'"),
        few("failed_delivery", "org_id", "environment", "endpoint_id", "position", where="status = 'failed'"),
        Index("delivery_of_endpoint", "org_id", "environment", "endpoint_id", "position"),
        few("delivery_of_replay", "replay_id", "status", where="replay_id IS NOT NULL"),
    )


class DeliveryAttempt(SQLModel, table=True):
    """What was sent and what came back. The body that was sent is the event's."""

    __tablename__ = "delivery_attempt"
    event_id: str = Field(primary_key=True)
    endpoint_id: str = Field(primary_key=True)
    round: int = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    at: datetime = moment()
    seconds: float
    url: str
    method: str
    request_headers: dict[str, str] = json(dict)  # without the endpoint's own, whose values may be secret
    status: int | None = None  # none: no answer came
    note: str
    answer: bytes | None = sealed()  # headers and body: a receiver may send back what it was sent
    __table_args__ = (
        belongs_to("event", "event_id"),
        belongs_to("webhook_endpoint", "endpoint_id"),
        Index("attempt_of_endpoint", "org_id", "environment", "endpoint_id"),  # of one that is removed
    )


class Replay(SQLModel, table=True):
    """Events that are sent to an endpoint once more: how far that is."""

    id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = word(Environment)
    endpoint_id: str
    after_position: int = Field(sa_column=Column(BigInteger, nullable=False))
    until_position: int = Field(sa_column=Column(BigInteger, nullable=False))
    position: int = Field(sa_column=Column(BigInteger, nullable=False))  # all up to here are on their way
    missed_only: bool = True  # not what was delivered
    replayed: int = 0  # events
    note: str = ""
    started_at: datetime = moment()
    finished_at: datetime | None = moment(nullable=True, default=None)
    __table_args__ = (
        addressable(),
        belongs_to("webhook_endpoint", "endpoint_id"),
        few("unfinished_replay", "id", where="finished_at IS NULL"),
    )


class ProviderEventRow(SQLModel, table=True):
    """The inbox: what a provider told of grants, kept before it is answered."""

    __tablename__ = "provider_event"
    id: str = Field(primary_key=True)  # in the order in which they came
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = word(Environment)
    slug: str
    event_id: str  # a hash of what the provider says is its id
    body_sha256: str
    ended: list[dict[str, Any]] = json(list)  # whose grants, and why; forgotten once all are told
    occurred_at: datetime = moment()
    received_at: datetime = moment()
    part: int = 0  # of `ended`: where telling goes on
    after: str = ""  # the last connection that was told of that part
    told: int = 0
    dispatched_at: datetime | None = moment(nullable=True, default=None)  # when the last one was
    __table_args__ = (
        UniqueConstraint("org_id", "environment", "slug", "event_id"),
        Index("provider_event_body", "org_id", "environment", "slug", "body_sha256"),
        few("undispatched_event", "org_id", "environment", "slug", "id", where="dispatched_at IS NULL"),
        few("dispatched_event", "dispatched_at", where="dispatched_at IS NOT NULL"),
    )


class ConnectTicket(SQLModel, table=True):
    """A link that takes one linked account through connecting one application, once."""

    __tablename__ = "connect_ticket"
    id: str = Field(primary_key=True)
    secret_sha256: str = Field(unique=True)
    org_id: str
    environment: Environment = word(Environment)
    linked_account_id: str
    slug: str
    connection_id: str | None = None  # the connection to reconnect; none: by the account that consents
    switch_account: bool = False  # another account may take the place of the one that was connected
    given: bytes | None = sealed()  # the fields that the customer gave before consent
    session_id: str | None = None  # the page of ours that it was made on
    return_url: str | None = None  # where the customer goes when it has done its work
    locale: str | None = None
    error_code: str | None = None  # what came of the last try, where it did not connect
    connected_id: str | None = None  # the connection that came of it
    expires_at: datetime = moment(index=True)
    used_at: datetime | None = moment(nullable=True, default=None)
    __table_args__ = (addressable(), belongs_to("linked_account", "linked_account_id"))


class OAuthState(SQLModel, table=True):
    """One visit to a provider's consent page: one-time, and bound to the browser that made it."""

    __tablename__ = "oauth_state"
    state_sha256: str = Field(primary_key=True)
    ticket_id: str = Field(foreign_key="connect_ticket.id", index=True)
    browser_sha256: str
    verifier: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: datetime = moment(index=True)
    used_at: datetime | None = moment(nullable=True, default=None)


def _table(model: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(model.__tablename__)]


ORGANIZATIONS = _table(Organization)
DATA_KEYS = _table(DataKey)
API_KEYS = _table(ApiKey)
APPLICATIONS = _table(Application)
OWN_APPLICATIONS = _table(OwnApplication)
LINKED_ACCOUNTS = _table(LinkedAccount)
TENANT_SETTINGS = _table(TenantSettings)
SESSION_TOKENS = _table(SessionToken)
CONNECT_SESSIONS = _table(ConnectSession)
CONSOLE_SESSIONS = _table(ConsoleSession)
IDEMPOTENT_ANSWERS = _table(IdempotentAnswer)
REMOVALS = _table(Removal)
CONNECTIONS = _table(Connection)
CONNECTION_KEYS = _table(ConnectionKey)
CREDENTIALS = _table(Credential)
REFRESH_INTENTS = _table(RefreshIntent)
TRANSITIONS = _table(TransitionRow)
EVENTS = _table(Event)
EVENT_COUNTERS = _table(EventCounter)
WEBHOOK_ENDPOINTS = _table(WebhookEndpoint)
DELIVERIES = _table(Delivery)
DELIVERY_ATTEMPTS = _table(DeliveryAttempt)
REPLAYS = _table(Replay)
PROVIDER_EVENTS = _table(ProviderEventRow)
CONNECT_TICKETS = _table(ConnectTicket)
OAUTH_STATES = _table(OAuthState)
