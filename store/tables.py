"""The tables. Every tenant's row carries organization and environment, and foreign keys hold both."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from everlink.contract import AuthType, ConnectionStatus, Environment, Health


class UtcDateTime(TypeDecorator[datetime]):
    """Moments go in with a zone and come out as UTC, on SQLite too, which forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Word(TypeDecorator[StrEnum]):
    """One of the contract's words, kept as text."""

    impl = String
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.words(value)


def _word(words: type[StrEnum], *, primary_key: bool = False, **kwargs: Any) -> Any:
    return Field(sa_column=Column(Word(words), nullable=False, primary_key=primary_key), **kwargs)


def _moment(*, nullable: bool = False, **kwargs: Any) -> Any:
    return Field(sa_type=UtcDateTime, nullable=nullable, **kwargs)


def _json(default: Any) -> Any:
    return Field(default_factory=default, sa_column=Column(JSON, nullable=False))


def _sealed() -> Any:
    """A blob that the vault sealed."""
    return Field(default=None, sa_column=Column(LargeBinary, nullable=True))


def _belongs_to(table: str, local: str) -> ForeignKeyConstraint:
    """A row and what it belongs to are in the same organization and environment."""
    return ForeignKeyConstraint(
        ["org_id", "environment", local], [f"{table}.org_id", f"{table}.environment", f"{table}.id"]
    )


def _addressable() -> UniqueConstraint:
    return UniqueConstraint("org_id", "environment", "id")


class Organization(SQLModel, table=True):
    id: str = Field(primary_key=True)
    name: str
    created_at: datetime = _moment()


class DataKey(SQLModel, table=True):
    """One per organization and environment, wrapped by a key-encryption key."""

    __tablename__ = "data_key"
    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = _word(Environment)
    wrapped: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = _moment()
    __table_args__ = (UniqueConstraint("org_id", "environment"),)


class ApiKey(SQLModel, table=True):
    __tablename__ = "api_key"
    id: str = Field(primary_key=True)  # the public part
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = _word(Environment)
    name: str
    secret_sha256: str
    created_at: datetime = _moment()
    expires_at: datetime | None = _moment(nullable=True, default=None)
    revoked_at: datetime | None = _moment(nullable=True, default=None)


class Application(SQLModel, table=True):
    """A catalog entry that an organization enabled, with its own client at the provider."""

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = _word(Environment)
    slug: str
    client_id: str | None = None
    client_secret: bytes | None = _sealed()
    scopes: list[str] = _json(list)
    alarm: str | None = None  # the provider refuses the application itself, in static words
    alarm_at: datetime | None = _moment(nullable=True, default=None)
    created_at: datetime = _moment()
    __table_args__ = (UniqueConstraint("org_id", "environment", "slug"),)


class LinkedAccount(SQLModel, table=True):
    """An end customer, under the id that the product gave it."""

    __tablename__ = "linked_account"
    org_id: str = Field(primary_key=True, foreign_key="organization.id")
    environment: Environment = _word(Environment, primary_key=True)
    id: str = Field(primary_key=True)
    name: str | None = None
    udf: dict[str, Any] = _json(dict)
    created_at: datetime = _moment()


class Connection(SQLModel, table=True):
    """The store's copy of a connection's state; its workflow is the only writer of `status` once it runs."""

    id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = _word(Environment)
    linked_account_id: str
    slug: str
    identifier: str  # the account at the provider
    display_name: str | None = None
    auth_type: AuthType = _word(AuthType)
    status: ConnectionStatus = _word(ConnectionStatus, default=ConnectionStatus.PENDING)
    health: Health = _word(Health, default=Health.OK)
    reason: str | None = None
    status_since: datetime = _moment()
    connected_at: datetime | None = _moment(nullable=True, default=None)
    sequence: int = 0
    created_at: datetime = _moment()
    __table_args__ = (
        _addressable(),
        _belongs_to("linked_account", "linked_account_id"),
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
        Index("connection_page", "org_id", "environment", "id"),
    )


class Credential(SQLModel, table=True):
    """What the vault holds for a connection. `generation` moves by one at every successful write."""

    connection_id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = _word(Environment)
    generation: int
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    renewable: bool
    expires_at: datetime | None = _moment(nullable=True, default=None)
    ends_at: datetime | None = _moment(nullable=True, default=None)  # when the grant itself ends
    updated_at: datetime = _moment()
    __table_args__ = (_belongs_to("connection", "connection_id"),)


class RefreshIntent(SQLModel, table=True):
    """Written before a token request, closed when its answer is known: what a crash in between leaves open."""

    __tablename__ = "refresh_intent"
    id: str = Field(primary_key=True)
    connection_id: str = Field(foreign_key="connection.id", index=True)
    generation: int
    attempt: int
    started_at: datetime = _moment()
    lease_until: datetime = _moment()
    outcome: str | None = None
    __table_args__ = (UniqueConstraint("connection_id", "generation", "attempt"),)


class TransitionRow(SQLModel, table=True):
    """A connection's timeline, kept beyond Temporal's retention."""

    __tablename__ = "transition"
    connection_id: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True)
    org_id: str
    environment: Environment = _word(Environment)
    at: datetime = _moment()
    previous_status: str
    status: str
    health: str
    reason: str | None = None
    event: str | None = None
    note: str = ""
    __table_args__ = (_belongs_to("connection", "connection_id"),)


class Event(SQLModel, table=True):
    """The outbox: written in the transaction of the transition that it announces."""

    id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = _word(Environment)
    connection_id: str | None = None  # none: the event is an application's
    sequence: int
    type: str
    slug: str
    body: dict[str, Any] = _json(dict)
    created_at: datetime = _moment()
    __table_args__ = (
        _addressable(),
        UniqueConstraint("connection_id", "sequence"),
        _belongs_to("connection", "connection_id"),
    )


class WebhookEndpoint(SQLModel, table=True):
    __tablename__ = "webhook_endpoint"
    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organization.id")
    environment: Environment = _word(Environment)
    url: str
    events: list[str] = _json(list)
    headers: dict[str, str] = _json(dict)
    method: str = "POST"
    is_enabled: bool = True
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = _moment()
    __table_args__ = (_addressable(),)


class Delivery(SQLModel, table=True):
    """How one event fares at one endpoint."""

    event_id: str = Field(primary_key=True)
    endpoint_id: str = Field(primary_key=True)
    org_id: str
    environment: Environment = _word(Environment)
    status: str = "scheduled"  # scheduled | delivered | failed
    attempts: int = 0
    last_note: str = ""
    next_attempt_at: datetime | None = _moment(nullable=True, default=None)
    updated_at: datetime = _moment()
    __table_args__ = (_belongs_to("event", "event_id"), _belongs_to("webhook_endpoint", "endpoint_id"))


class ConnectTicket(SQLModel, table=True):
    """A link that takes one linked account through connecting one application, once."""

    __tablename__ = "connect_ticket"
    id: str = Field(primary_key=True)
    secret_sha256: str = Field(unique=True)
    org_id: str
    environment: Environment = _word(Environment)
    linked_account_id: str
    slug: str
    connection_id: str | None = None  # the connection to reconnect; none: by the account that consents
    expires_at: datetime = _moment()
    used_at: datetime | None = _moment(nullable=True, default=None)
    __table_args__ = (_addressable(), _belongs_to("linked_account", "linked_account_id"))


class OAuthState(SQLModel, table=True):
    """One visit to a provider's consent page: one-time, and bound to the browser that made it."""

    __tablename__ = "oauth_state"
    state_sha256: str = Field(primary_key=True)
    ticket_id: str = Field(foreign_key="connect_ticket.id")
    browser_sha256: str
    verifier: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: datetime = _moment()
    used_at: datetime | None = _moment(nullable=True, default=None)


def _table(model: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(model.__tablename__)]


ORGANIZATIONS = _table(Organization)
DATA_KEYS = _table(DataKey)
API_KEYS = _table(ApiKey)
APPLICATIONS = _table(Application)
LINKED_ACCOUNTS = _table(LinkedAccount)
CONNECTIONS = _table(Connection)
CREDENTIALS = _table(Credential)
REFRESH_INTENTS = _table(RefreshIntent)
TRANSITIONS = _table(TransitionRow)
EVENTS = _table(Event)
WEBHOOK_ENDPOINTS = _table(WebhookEndpoint)
DELIVERIES = _table(Delivery)
CONNECT_TICKETS = _table(ConnectTicket)
OAUTH_STATES = _table(OAuthState)
