"""The vocabulary: every state, reason, event and name that crosses a boundary."""

from __future__ import annotations

from enum import StrEnum

TASK_QUEUE = "everlink"
NEXUS_TASK_QUEUE = "everlink-nexus"  # of what is asked through Nexus
NEXUS_ENDPOINT = "everlink"  # by which every connection can be asked about; `nexus_endpoint` names narrower ones


class Environment(StrEnum):
    """Which of an organization's two worlds a thing belongs to; the API key decides."""

    TEST = "test"
    PRODUCTION = "production"


class KeyScope(StrEnum):
    """What an API key may do. None of them includes another."""

    READ = "read"  # everything but credentials
    CONNECT = "connect"  # take customers through connecting, reconnecting and disconnecting
    TOKENS = "tokens"  # credentials in the clear
    ADMIN = "admin"  # applications, webhook endpoints, API keys, settings; export and erase


class RemovalKind(StrEnum):
    """What a removal takes away, with its connections."""

    APPLICATION = "application"  # they stay, and need an application again
    LINKED_ACCOUNT = "linked_account"  # they end
    ORGANIZATION = "organization"  # they end, and all that is known of them in this environment goes


class AuthType(StrEnum):
    """How an application authenticates its customers."""

    OAUTH2 = "oauth2"
    KEY_BASED = "keybased"


class ConnectionStatus(StrEnum):
    PENDING = "pending"  # never finished connecting
    ACTIVE = "active"
    REAUTH_REQUIRED = "reauth_required"  # only the customer can mend it
    DISCONNECTED = "disconnected"  # the end; a disconnected id never lives again


class ConnectAttemptStatus(StrEnum):
    """What came of a link to a provider so far."""

    OPEN = "open"  # not used yet, or the customer is on their way
    CONNECTED = "connected"
    FAILED = "failed"  # the last try was; the link is good for another while it lives
    EXPIRED = "expired"


class Health(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # refreshes are failing, but nothing says that the grant is dead


class ReauthReason(StrEnum):
    """Why a connection needs its customer."""

    REFRESH_TOKEN_EXPIRED = "refresh_token_expired"
    CREDENTIALS_INVALID = "credentials_invalid"
    ACCESS_REVOKED = "access_revoked"
    APP_UNINSTALLED = "app_uninstalled"
    APPLICATION_DELETED = "application_deleted"
    REFRESH_OUTCOME_UNKNOWN = "refresh_outcome_unknown"

    @property
    def words(self) -> str:
        """The reason as a sentence for people."""
        return _REASON_WORDS[self]


_REASON_WORDS = {
    ReauthReason.REFRESH_TOKEN_EXPIRED: "the refresh token has expired",
    ReauthReason.CREDENTIALS_INVALID: "the provider no longer accepts the key or password",
    ReauthReason.ACCESS_REVOKED: "access was revoked at the provider",
    ReauthReason.APP_UNINSTALLED: "the application was uninstalled at the provider",
    ReauthReason.APPLICATION_DELETED: "the application was deleted",
    ReauthReason.REFRESH_OUTCOME_UNKNOWN: "a refresh was cut off and the provider refuses the old token",
}


class EventType(StrEnum):
    """What a webhook can announce; the values are the names on the wire."""

    CREATED = "Connection Created"
    EXPIRED = "Connection Expired"
    DELETED = "Connection Deleted"
    REAUTHENTICATED = "Connection Reauthenticated"
    EXPIRING = "Connection Expiring"
    DEGRADED = "Connection Degraded"
    RECOVERED = "Connection Recovered"
    APPLICATION_REFUSED = "Application Refused"  # the provider refuses our own client: no customer can help
    APPLICATION_ACCEPTED = "Application Accepted"
    APPLICATION_DEGRADED = "Application Degraded"  # the provider is out: said once, not by each connection
    APPLICATION_RECOVERED = "Application Recovered"
    EXPIRED_REMINDER = "Connection Expired Reminder"  # nobody has reconnected yet
    ENDPOINT_DISABLED = "Webhook Endpoint Disabled"  # told to the other endpoints
    TEST = "Webhook Test"  # on request, to one endpoint


# What endpoints name among their events. The others go where they concern somebody.
SUBSCRIBABLE = tuple(
    event
    for event in EventType
    if event not in (EventType.EXPIRED_REMINDER, EventType.ENDPOINT_DISABLED, EventType.TEST)
)


class DeliveryStatus(StrEnum):
    """How an event fares at a webhook endpoint."""

    SCHEDULED = "scheduled"
    DELIVERED = "delivered"
    FAILED = "failed"  # tried to the end, or the endpoint was disabled; it can be replayed


class DisabledReason(StrEnum):
    """Why Everlink disabled a webhook endpoint by itself."""

    GONE = "gone"  # it answered 410
    FAILING = "failing"  # nothing but failures for five days


class Verdict(StrEnum):
    """What a provider's answer means for the credential."""

    OK = "ok"
    DEAD = "dead"  # the grant is gone; a reason goes with it
    TRANSIENT = "transient"  # says nothing about the grant; try later
    APPLICATION_ERROR = "application_error"  # our own client is wrong; no customer's fault
    SUPERSEDED = "superseded"  # a newer credential is in the vault; the answer is about an old one
    UNSUPPORTED = "unsupported"  # the application's catalog entry has no such request


class ProviderEventKind(StrEnum):
    """What an inbound provider webhook says of a grant."""

    UNINSTALLED = "uninstalled"
    REVOKED = "revoked"
    SUSPECT = "suspect"  # not proof by itself: verify


class Workflow(StrEnum):
    """Workflow types, as they stand in Temporal."""

    CONNECTION = "Connection"
    DELIVERY = "Delivery"
    UPKEEP = "Upkeep"
    REMOVAL = "Removal"
    REPLAY = "Replay"
    INBOX = "Inbox"
    WAITING = "Waiting"


class Update(StrEnum):
    CONNECT = "connect"
    REFRESH = "refresh"
    DISCONNECT = "disconnect"


class Signal(StrEnum):
    CREDENTIAL_REJECTED = "credential_rejected"
    LATE_SUCCESS = "late_success"
    PROVIDER_EVENT = "provider_event"
    APPLICATION_DELETED = "application_deleted"
    EVENTS_CAME = "events_came"
    AWAIT_ACTIVE = "await_active"  # a waiting workflow registers
    STOP_AWAITING = "stop_awaiting"  # it waits no more
    SETTLED = "settled"  # what it is told


class Query(StrEnum):
    STATUS = "status"


class Activity(StrEnum):
    """Activity types, as they stand in Temporal."""

    REFRESH = "refresh"
    STORE_SEALED = "store_sealed"
    PROBE = "probe"
    REVOKE_UPSTREAM = "revoke_upstream"
    PURGE_CREDENTIAL = "purge_credential"
    RECORD_TRANSITION = "record_transition"
    DELIVER_WEBHOOK = "deliver_webhook"
    CLOSE_DELIVERY = "close_delivery"
    SWEEP_DELIVERIES = "sweep_deliveries"
    SWEEP_GRANTS = "sweep_grants"
    SWEEP_OVERDUE = "sweep_overdue"
    SWEEP_FLEET = "sweep_fleet"
    SWEEP_REMOVALS = "sweep_removals"
    SWEEP_REPLAYS = "sweep_replays"
    SWEEP_OUTAGES = "sweep_outages"
    REMOVE_CONNECTIONS = "remove_connections"
    SETTLE_REMOVAL = "settle_removal"
    FINISH_REMOVAL = "finish_removal"
    REPLAY_EVENTS = "replay_events"
    FINISH_REPLAY = "finish_replay"
    DISPATCH_EVENTS = "dispatch_events"
    SWEEP_INBOX = "sweep_inbox"


UPKEEP_SCHEDULE = "everlink-upkeep"


def connection_workflow_id(connection_id: str) -> str:
    """One for a connection's whole life."""
    return f"connection/{connection_id}"


def waiting_workflow_id(connection_id: str, request_id: str) -> str:
    """One for each Nexus operation, however often its start is tried."""
    return f"waiting/{connection_id}/{request_id}"


def nexus_endpoint(org_id: str, environment: Environment) -> str:
    """The endpoint by which only one tenant's connections can be asked about. Endpoints have no underscores."""
    return f"{NEXUS_ENDPOINT}-{org_id.replace('_', '-')}-{environment.value}"


def connect_update_id(generation: int) -> str:
    """One for each grant, so that whoever sends it again hears the same answer."""
    return f"connect-{generation}"


def delivery_workflow_id(event_id: str, endpoint_id: str, round: int = 0) -> str:
    """`round` counts the replays."""
    first = f"delivery/{event_id}/{endpoint_id}"
    return first if round == 0 else f"{first}/{round}"


def removal_workflow_id(removal_id: str) -> str:
    """One for each removal."""
    return f"removal/{removal_id}"


def replay_workflow_id(replay_id: str) -> str:
    """One for each replay."""
    return f"replay/{replay_id}"


def inbox_workflow_id(org_id: str, environment: Environment, slug: str) -> str:
    """One for each application of a tenant."""
    return f"inbox/{org_id}/{environment.value}/{slug}"
