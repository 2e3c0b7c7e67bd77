"""What workflows ask of activities, and what these answer. No task or outcome holds a secret in the clear."""

from __future__ import annotations

from everlink.contract.messages import ConnectionRef, Lifetimes, Message
from everlink.contract.state import Transition
from everlink.contract.words import Environment, ReauthReason, Verdict


class CredentialTask(Message):
    """Refresh, probe, revoke or purge the credential of this generation."""

    ref: ConnectionRef
    generation: int


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


class DeliveryTask(Message):
    """Deliver one event to one webhook endpoint. The input of a `Delivery` workflow."""

    org_id: str
    environment: Environment
    event_id: str
    endpoint_id: str


class AttemptTask(Message):
    delivery: DeliveryTask
    attempt: int  # from 1
    next_delay: float | None  # seconds until the next attempt should this one fail; None: it is the last


class AttemptOutcome(Message):
    """How one attempt to deliver ended."""

    delivered: bool = False
    stop: bool = False  # the endpoint is gone, disabled or refused: no further attempt
    retry_after: float | None = None  # seconds
    note: str


class CloseDeliveryTask(Message):
    delivery: DeliveryTask
    delivered: bool
    note: str


class TransientFailure(Message):
    """Details of the typed failure `Transient` that a remote activity attempt raises."""

    retry_after: float | None = None
    deferred: bool = False
    note: str


TRANSIENT = "Transient"  # the type of that failure
