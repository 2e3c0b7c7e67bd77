"""What a removal is asked, what it knows and how far it is."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from everlink.contract.messages import Message
from everlink.contract.state import APPLICATION, ENVIRONMENT, LINKED_ACCOUNT, ORGANIZATION
from everlink.contract.words import Environment, RemovalKind


class RemovalTask(Message):
    """Which removal: of what, and whose."""

    id: str
    org_id: str
    environment: Environment
    kind: RemovalKind
    subject: str


class RemovalState(BaseModel):
    """The input of a `Removal` workflow, and what continue-as-new carries."""

    model_config = ConfigDict(extra="ignore")

    task: RemovalTask
    round: int = 0
    after: str | None = None  # within the round
    waits: int = 0  # since something has last moved
    total: int = 0
    done: int = 0
    settle_until: datetime | None = None  # every connection is told: what still goes on may end until then


class RemovalPageTask(Message):
    """Tell one page of connections: those behind `after`."""

    task: RemovalTask
    after: str | None = None


class RemovalPage(Message):
    """How far a removal is."""

    after: str | None  # where the next page begins; None: this was the last of the round
    total: int
    done: int
    failed: int = 0  # told again by a later round


def removal_attributes(task: RemovalTask) -> TypedSearchAttributes:
    """What the lists of Temporal's Web UI can be filtered by; one of an organization is about nothing narrower."""
    pairs = [
        SearchAttributePair(ENVIRONMENT, task.environment.value),
        SearchAttributePair(ORGANIZATION, task.org_id),
    ]
    match task.kind:
        case RemovalKind.APPLICATION:
            pairs.append(SearchAttributePair(APPLICATION, task.subject))
        case RemovalKind.LINKED_ACCOUNT:
            pairs.append(SearchAttributePair(LINKED_ACCOUNT, task.subject))
        case RemovalKind.ORGANIZATION:
            pass
    return TypedSearchAttributes(pairs)
