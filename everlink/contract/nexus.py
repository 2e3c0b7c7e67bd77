"""What workflows of any namespace and language can ask through Nexus. No answer holds a token."""

from __future__ import annotations

from datetime import datetime

import nexusrpc
from pydantic import Field

from everlink.contract.messages import Message
from everlink.contract.words import ConnectionStatus, Health, ReauthReason


class ConnectionAsked(Message):
    """Which connection is meant."""

    connection_id: str


class RejectionReport(Message):
    """The provider refused the credential of this generation."""

    connection_id: str
    generation: int | None = None  # None: of whichever there is


class ConnectionStanding(Message):
    """How a connection stands."""

    connection_id: str
    application: str  # its slug
    status: ConnectionStatus
    health: Health
    reason: ReauthReason | None
    generation: int | None  # of its credential; None where there is none
    since: datetime | None  # this status


class ReconnectOffer(Message):
    """A link for the customer's browser, which opens once."""

    connect_url: str = Field(repr=False)
    expires_at: datetime


@nexusrpc.service(name="Everlink")
class EverlinkService:
    """The service. An unknown connection is NOT_FOUND, as is one that the endpoint does not reach.

    One that has ended is BAD_REQUEST, but for `get_status`.
    """

    # Answers when the connection is active and not under suspicion, however long that takes; or when it ends.
    await_active: nexusrpc.Operation[ConnectionAsked, ConnectionStanding]
    get_status: nexusrpc.Operation[ConnectionAsked, ConnectionStanding]
    # The credential is verified before the report is believed; `await_active` waits for what comes of it.
    report_rejected: nexusrpc.Operation[RejectionReport, None]
    # For the page that shows this connection's application to its customer.
    start_reconnect: nexusrpc.Operation[ConnectionAsked, ReconnectOffer]


class Waiter(Message):
    """A `Waiting` workflow, which wants to be told when a connection is active again."""

    workflow_id: str
    until: datetime | None = None  # it does not live longer
