"""What happens to a connection over its life. Deterministic; imports only `everlink.contract`."""

from workflows.connection import ConnectionWorkflow
from workflows.delivery import DeliveryWorkflow

WORKFLOWS = [ConnectionWorkflow, DeliveryWorkflow]

__all__ = ["WORKFLOWS", "ConnectionWorkflow", "DeliveryWorkflow"]
