"""What the replay of many events to one endpoint is asked, what it knows and how far it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from everlink.contract.messages import Message
from everlink.contract.state import ENVIRONMENT, ORGANIZATION
from everlink.contract.words import Environment


class ReplayTask(Message):
    """Which replay: to which endpoint, and whose."""

    id: str
    org_id: str
    environment: Environment
    endpoint_id: str


class ReplayState(BaseModel):
    """The input of a `Replay` workflow, and what continue-as-new carries. How far it is, the store knows."""

    model_config = ConfigDict(extra="ignore")

    task: ReplayTask
    started: int = 0  # the workflows of all deliveries up to this position are started
    waits: int = 0  # since it has last moved


class ReplayPageTask(Message):
    """Send the next events on their way, and start what is behind `started`."""

    task: ReplayTask
    started: int


class ReplayPage(Message):
    """How far a replay is. Positions are those of events."""

    position: int
    until: int
    replayed: int  # events
    is_full: bool = False  # the endpoint has enough on its hands
    is_over: bool = False
    note: str = ""  # why it ended early


class FinishReplayTask(Message):
    """Write that a replay is done, and what there is to say of it."""

    task: ReplayTask
    note: str


def replay_attributes(task: ReplayTask) -> TypedSearchAttributes:
    """What the lists of Temporal's Web UI can be filtered by."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(ENVIRONMENT, task.environment.value),
            SearchAttributePair(ORGANIZATION, task.org_id),
        ]
    )
