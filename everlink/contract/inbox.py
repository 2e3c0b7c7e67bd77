"""What the inbox of an application's provider events is asked, what it knows and how far it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from temporalio.common import TypedSearchAttributes

from everlink.contract.messages import Message
from everlink.contract.state import delivery_attributes
from everlink.contract.words import Environment


class InboxTask(Message):
    """Whose inbox: of which application."""

    org_id: str
    environment: Environment
    slug: str


class InboxState(BaseModel):
    """The input of an `Inbox` workflow, and what continue-as-new carries. Which events wait, the store knows."""

    model_config = ConfigDict(extra="ignore")

    task: InboxTask
    after: str = ""  # where this look goes on
    came: bool = False  # something came since it began
    events: int = 0
    told: int = 0
    failed: int = 0  # left to upkeep


class DispatchTask(Message):
    """Tell the connections that some events are about: those behind `after`."""

    task: InboxTask
    after: str = ""


class DispatchOutcome(Message):
    """What came of it."""

    after: str | None  # where to go on; None: those were all
    events: int = 0  # of which every connection was told
    told: int = 0  # connections
    failed: int = 0  # events that could not be told of whole


def inbox_attributes(task: InboxTask) -> TypedSearchAttributes:
    """What the lists of Temporal's Web UI can be filtered by."""
    return delivery_attributes(task.org_id, task.environment, task.slug, None)
