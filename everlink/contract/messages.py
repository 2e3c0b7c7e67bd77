"""What is said to a `Connection` workflow, and what it answers. No message holds a secret."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from everlink.contract.words import (
    AuthType,
    ConnectionStatus,
    Environment,
    Health,
    ProviderEventKind,
    ReauthReason,
    Verdict,
)


class Message(BaseModel):
    """Base of all messages: immutable, and tolerant of fields that a newer release added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ConnectionRef(Message):
    """Which connection, whose, and to what."""

    org_id: str
    environment: Environment
    connection_id: str
    slug: str
    linked_account_id: str
    identifier: str
    auth_type: AuthType


class Lifetimes(Message):
    """How long a credential lives, in seconds from when it was stored.

    Activities and the API return durations; the workflow computes deadlines from its own clock, so
    that time can be skipped in tests and no host's clock decides about a refresh.
    """

    expires_in: float | None = None
    renewable: bool = False  # a refresh can be tried
    refresh_margin: float | None = None  # overrides the default margin before expiry
    probe_every: float | None = None
    ends_in: float | None = None  # until the grant itself ends, which only the customer can renew
    idle_window: float | None = None  # the grant dies when unused that long


class ConnectCommand(Message):
    """A new credential is in the vault under this generation."""

    generation: int
    lifetimes: Lifetimes
    identifier: str | None = None  # the account that it opens: another than before, where that was asked for


class RefreshCommand(Message):
    """Refresh now, unless the credential is already newer than the one that the caller has seen.

    So a crowd that saw the same credential shares one refresh, however late each of its messages arrives.
    """

    newer_than: int


class DisconnectCommand(Message):
    """The end. Everything the application has at the customer's may go with it, where the provider can do that."""

    uninstall: bool = False


class CredentialRejected(Message):
    """A product saw the provider refuse the credential of this generation."""

    request_id: str
    generation: int | None = None


class ApplicationDeleted(Message):
    """The organization has removed the application of this connection."""

    request_id: str


class LateSuccess(Message):
    """A refresh that was given up stored its credential after all, under this generation: verify it."""

    generation: int


class ProviderEvent(Message):
    """A verified inbound webhook of the provider about this grant."""

    request_id: str
    kind: ProviderEventKind
    occurred_at: datetime


class ConnectionView(Message):
    """The answer of the updates and of the `status` query."""

    connection_id: str
    status: ConnectionStatus
    health: Health
    reason: ReauthReason | None
    generation: int
    since: datetime | None
    expires_at: datetime | None
    ends_at: datetime | None = None
    next_at: datetime | None
    waiting_for: str  # in words
    last_failure: str | None
    refreshes: int
    sequence: int
    last_verdict: Verdict | None = None
