"""Starts the workflow of what the store says is to be done: a delivery, a removal, a replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError

from everlink.contract import InboxTask, Workflow
from store.starting import delivery_start_options, inbox_start_options, removal_start_options, replay_start_options
from store.strays import ScheduledDelivery
from store.tables import Removal, Replay

START_TIMEOUT = timedelta(seconds=10)


async def start_delivery(temporal: Client, delivery: ScheduledDelivery) -> bool:
    return await _start(temporal, Workflow.DELIVERY, delivery_start_options(delivery))


async def start_removal(temporal: Client, removal: Removal) -> bool:
    return await _start(temporal, Workflow.REMOVAL, removal_start_options(removal))


async def start_replay(temporal: Client, replay: Replay) -> bool:
    return await _start(temporal, Workflow.REPLAY, replay_start_options(replay))


async def wake_inbox(temporal: Client, task: InboxTask) -> bool:
    """By signal, which starts it where it does not run."""
    await temporal.start_workflow(Workflow.INBOX, **inbox_start_options(task), rpc_timeout=START_TIMEOUT)
    return True


async def _start(temporal: Client, workflow: Workflow, options: dict[str, Any]) -> bool:
    """Whether it was started: not where one runs or has come to its own end, but again where one was cut off."""
    try:
        # Eagerly: the answer brings the first task to this very worker, if it has room, without a way through a queue.
        await temporal.start_workflow(workflow, **options, rpc_timeout=START_TIMEOUT, request_eager_start=True)
    except WorkflowAlreadyStartedError:
        return False
    return True
