"""The state of a `Connection` workflow: its input, what continue-as-new carries, what its page shows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, ConfigDict
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from everlink.contract.markdown import verbatim
from everlink.contract.messages import ConnectionRef, Lifetimes, Message
from everlink.contract.nexus import Waiter
from everlink.contract.words import ConnectionStatus, Environment, EventType, Health, ReauthReason

TIMELINE_LENGTH = 20
SEEN_LENGTH = 100


class Reminder(Message):
    """That nobody has answered "Connection Expired" yet."""

    expired_at: datetime
    number: int  # from 1; those that were due while nobody could make them count as one
    total: int


class Transition(Message):
    """One change in a connection's life, with the event that announces it, if any."""

    sequence: int
    at: datetime
    previous_status: ConnectionStatus
    status: ConnectionStatus
    health: Health
    reason: ReauthReason | None = None
    event: EventType | None = None
    note: str = ""  # static words, never a provider's text
    ends_at: datetime | None = None  # when the grant ends, on the notice that it will
    reminder: Reminder | None = None

    def event_id(self, connection_id: str) -> UUID:
        """Stable over retries, so that a lost acknowledgement makes no twin event."""
        return uuid5(NAMESPACE_URL, f"everlink:{connection_id}:{self.sequence}")


class ConnectionState(BaseModel):
    """Everything a `Connection` workflow knows. Deadlines are absolute, by the workflow's clock."""

    model_config = ConfigDict(extra="ignore")

    ref: ConnectionRef
    console_url: str | None = None  # its page in the console; None: started by a release that did not tell
    status: ConnectionStatus = ConnectionStatus.PENDING
    health: Health = Health.OK
    reason: ReauthReason | None = None
    since: datetime | None = None
    generation: int = 0
    grant_generation: int = 0  # the generation with which the present grant began
    granted_at: datetime | None = None  # when the customer gave it
    lifetimes: Lifetimes = Lifetimes()
    expires_at: datetime | None = None
    next_at: datetime | None = None  # when the next refresh or probe is due
    ends_at: datetime | None = None  # when the grant itself ends, which only the customer can renew
    notice_at: datetime | None = None  # when to announce that end next
    last_notice: int | None = None  # how many days ahead it was announced last
    reminder_days: list[float] = []  # after `since`, while the customer has to reconnect
    reminded: int = 0  # how many of those have passed
    suspect: bool = False  # somebody says the credential is dead: verify before believing it
    refreshes: int = 0
    failures: int = 0  # failed rounds in a row
    last_failure: str | None = None
    troubled_since: datetime | None = None  # the first failure since the last success
    recovered_at: datetime | None = None  # the last time that `health` became ok again
    uninstall: bool = False  # at the end, the application is uninstalled at the customer's
    sequence: int = 0
    unrecorded: list[Transition] = []  # changes that are not in the store yet
    timeline: list[Transition] = []  # the last ones, for the Web UI
    seen: list[str] = []  # request ids of the last signals
    waiters: list[Waiter] = []  # workflows that want to be told when the connection is active

    @property
    def remind_at(self) -> datetime | None:
        """When to remind next of an expiry that nobody has answered."""
        if self.since is None or self.reminded >= len(self.reminder_days):
            return None
        return self.since + timedelta(days=self.reminder_days[self.reminded])


STATUS = SearchAttributeKey.for_keyword("ConnectionStatus")
APPLICATION = SearchAttributeKey.for_keyword("Application")
LINKED_ACCOUNT = SearchAttributeKey.for_keyword("LinkedAccount")
ENVIRONMENT = SearchAttributeKey.for_keyword("Environment")
REAUTH_REASON = SearchAttributeKey.for_keyword("ReauthReason")
ORGANIZATION = SearchAttributeKey.for_keyword("Organization")
HEALTH = SearchAttributeKey.for_keyword("ConnectionHealth")
GRANT_ENDS_AT = SearchAttributeKey.for_datetime("GrantEndsAt")  # from the first notice of it on
MAX_SEARCH_ATTRIBUTE_BYTES = 2048  # Temporal's, by default; of the value as ASCII JSON
SEARCH_ATTRIBUTES: tuple[SearchAttributeKey[Any], ...] = (
    *(STATUS, APPLICATION, LINKED_ACCOUNT, ENVIRONMENT, REAUTH_REASON, ORGANIZATION),
    *(HEALTH, GRANT_ENDS_AT),
)


def is_searchable(value: str) -> bool:
    """Whether Temporal takes it as a search attribute. A workflow that has another is never started."""
    return len(json.dumps(value)) <= MAX_SEARCH_ATTRIBUTE_BYTES


def search_attributes(
    ref: ConnectionRef, status: ConnectionStatus | None = None, health: Health = Health.OK
) -> TypedSearchAttributes:
    """What the lists of Temporal's Web UI can be filtered by, as set when a workflow starts."""
    attributes = delivery_attributes(ref.org_id, ref.environment, ref.slug, ref.linked_account_id)
    if status is None:
        return attributes
    return attributes.updated(SearchAttributePair(STATUS, status.value), SearchAttributePair(HEALTH, health.value))


def delivery_attributes(
    org_id: str, environment: Environment, slug: str, linked_account_id: str | None
) -> TypedSearchAttributes:
    """The same for the delivery of an event, which may be an application's and no linked account's."""
    pairs = [
        SearchAttributePair(APPLICATION, slug),
        SearchAttributePair(ENVIRONMENT, environment.value),
        SearchAttributePair(ORGANIZATION, org_id),
    ]
    if linked_account_id is not None:
        pairs.append(SearchAttributePair(LINKED_ACCOUNT, linked_account_id))
    return TypedSearchAttributes(pairs)


def static_summary(ref: ConnectionRef) -> str:
    """A line of Markdown: whose connection, to what."""
    return f"{verbatim(ref.linked_account_id)} · {ref.slug} · {verbatim(ref.identifier)}"


def static_details(ref: ConnectionRef) -> str:
    """In Markdown. Temporal drops it, and the summary, where the workflow continues as new; its own details stay."""
    return (
        f"Keeps the **{ref.slug}** connection of {verbatim(ref.linked_account_id)} ({verbatim(ref.identifier)}) alive "
        f"in the {ref.environment.value} environment of organization {verbatim(ref.org_id)}."
    )
