"""What happens to a connection over its life. Deterministic; imports only `everlink.contract`."""

from workflows.connection import ConnectionWorkflow
from workflows.delivery import DeliveryWorkflow
from workflows.inbox import InboxWorkflow
from workflows.removal import RemovalWorkflow
from workflows.replay import ReplayWorkflow
from workflows.upkeep import UpkeepWorkflow

WORKFLOWS = [ConnectionWorkflow, DeliveryWorkflow, InboxWorkflow, RemovalWorkflow, ReplayWorkflow, UpkeepWorkflow]

__all__ = [
    "WORKFLOWS",
    "ConnectionWorkflow",
    "DeliveryWorkflow",
    "InboxWorkflow",
    "RemovalWorkflow",
    "ReplayWorkflow",
    "UpkeepWorkflow",
]
