"""What happens to a connection over its life. Deterministic; imports only `everlink.contract`."""

from workflows.connection import ConnectionWorkflow
from workflows.delivery import DeliveryWorkflow
from workflows.inbox import InboxWorkflow
from workflows.removal import RemovalWorkflow
from workflows.replay import ReplayWorkflow
from workflows.upkeep import UpkeepWorkflow
from workflows.waiting import WaitingWorkflow

WORKFLOWS = [ConnectionWorkflow, DeliveryWorkflow, InboxWorkflow, RemovalWorkflow, ReplayWorkflow, UpkeepWorkflow]
NEXUS_WORKFLOWS = [WaitingWorkflow]  # on the task queue of what is asked through Nexus

__all__ = [
    "NEXUS_WORKFLOWS",
    "WORKFLOWS",
    "ConnectionWorkflow",
    "DeliveryWorkflow",
    "InboxWorkflow",
    "RemovalWorkflow",
    "ReplayWorkflow",
    "UpkeepWorkflow",
    "WaitingWorkflow",
]
