"""What workflows ask of activities, and what these answer. No task or outcome holds a secret in the clear."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from everlink.contract.messages import ConnectionRef, Lifetimes, Message
from everlink.contract.state import Transition
from everlink.contract.words import Activity, Environment, ReauthReason, Verdict


class CredentialTask(Message):
    """Refresh, probe, revoke or purge the credential of this generation."""

    ref: ConnectionRef
    generation: int
    urgent: bool = False  # somebody waits for the answer
    uninstall: bool = False  # in place of a revocation


class CredentialOutcome(Message):
    """What a refresh or a probe found out."""

    verdict: Verdict
    generation: int
    lifetimes: Lifetimes | None = None
    reason: ReauthReason | None = None
    retry_after: float | None = None  # seconds
    deferred: bool = False  # nobody was asked: a crowd or an unfinished request is ahead
    note: str = ""
    sealed: str | None = None  # base64 of the vault's blob, only where the store could not be written


class StoreSealedTask(Message):
    """Store a credential that the vault had sealed when the store was down."""

    ref: ConnectionRef
    replaces: int  # the generation that the provider rotated away
    sealed: str
    lifetimes: Lifetimes


class TransitionTask(Message):
    """Record a transition and its event in one transaction, then start the deliveries."""

    ref: ConnectionRef
    transition: Transition


class Recorded(Message):
    """What a transition that is written asks of the workflow."""

    reminder_days: list[float] = []  # when to remind of an expiry that nobody answers


class DeliveryTask(Message):
    """Deliver one event to one webhook endpoint. The input of a `Delivery` workflow."""

    org_id: str
    environment: Environment
    event_id: str
    endpoint_id: str
    round: int = 0  # how often the event was replayed to this endpoint
    attempts: int = 0  # those that an earlier run of the workflow has made


class AttemptTask(Message):
    """Send an event to an endpoint."""

    delivery: DeliveryTask
    attempt: int  # from 1
    next_delay: float | None  # seconds until the next attempt should this one fail; None: it is the last


MAX_RETRY_AFTER = 24 * 3600.0  # seconds; an endpoint that asks for more is tried all the same


class AttemptOutcome(Message):
    """How one attempt to deliver ended."""

    delivered: bool = False
    stop: bool = False  # the endpoint is gone or disabled, or a replay goes on: no further attempt
    deferred: bool = False  # nothing was sent, for the endpoint has enough on its hands; come again after `retry_after`
    closed: bool = False  # how the delivery ended is written, or another round's to write
    retry_after: float | None = None  # seconds
    note: str

    def wait(self, planned: float) -> float:
        """Seconds until the next attempt: as planned, or longer where the endpoint asks for it."""
        return max(planned, min(self.retry_after or 0.0, MAX_RETRY_AFTER))


class CloseDeliveryTask(Message):
    """Write how a delivery ended."""

    delivery: DeliveryTask
    delivered: bool
    note: str


class SweepTask(Message):
    """One page of upkeep: what comes behind `after`, in one of the parts into which the fleet is divided."""

    after: str | None = None
    part: int = 0
    parts: int = 1


class SweepOutcome(Message):
    """What a page of a sweep found and did."""

    after: str | None  # where the next page begins; None: this was the last
    mended: int = 0
    failed: int = 0  # tried again by a later run


class UpkeepState(BaseModel):
    """The input of an `Upkeep` workflow, what continue-as-new carries, and its result."""

    model_config = ConfigDict(extra="ignore")

    todo: list[Activity] = [
        Activity.SWEEP_DELIVERIES,
        Activity.SWEEP_GRANTS,
        Activity.SWEEP_OVERDUE,
        Activity.SWEEP_FLEET,
        Activity.SWEEP_REMOVALS,
        Activity.SWEEP_REPLAYS,
        Activity.SWEEP_OUTAGES,
        Activity.SWEEP_INBOX,
    ]
    after: str | None = None  # within the first thing to do
    # Every run visits one part of the fleet: with a run a minute, all of it within the hour.
    parts: int = 60
    part: int | None = None  # None: the one behind the last run's
    pages: int = 0
    mended: int = 0
    failed: int = 0


class TransientFailure(Message):
    """Details of the typed failure `Transient` that a remote activity attempt raises."""

    retry_after: float | None = None
    deferred: bool = False
    note: str


TRANSIENT = "Transient"  # the type of that failure
