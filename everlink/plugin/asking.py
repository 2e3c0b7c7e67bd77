"""How a workflow asks when a connection is active again: through Nexus, or by an activity."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from nexusrpc import HandlerError
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, NexusOperationError

from everlink.contract import ConnectionAsked, ConnectionStatus
from everlink.plugin.checking import AWAIT_ACTIVE
from everlink.plugin.failures import DeadConnection

# A day: heals what a reset or a lost wait left behind, and stays under Temporal Cloud's limit for an operation.
OPERATION_TIMEOUT = timedelta(days=1)
LOOK_TIMEOUT = timedelta(seconds=15)  # one request; and how long a look that died with its worker delays the next
# Between looks that failed; one that saw a dead connection says itself when to look again.
LOOK_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=5)
)


async def ask_by_nexus(dead: DeadConnection, endpoint: str) -> ConnectionStatus:
    """The connection's status once it needs to be waited for no longer.

    Raises:
        NexusOperationError: nobody could say, and `is_refused` tells whether that is for good; or it was cancelled
            and has ended.
    """
    client: workflow.NexusClient[Any] = workflow.create_nexus_client(service="Everlink", endpoint=endpoint)
    starting = asyncio.create_task(
        client.start_operation(
            "await_active",
            ConnectionAsked(connection_id=dead.connection_id).model_dump(),  # plain, for any data converter
            output_type=dict[str, Any],
            schedule_to_close_timeout=OPERATION_TIMEOUT,
            summary=_summary(dead),
        )
    )
    try:
        await workflow.wait([starting])
    except asyncio.CancelledError:
        # Not before it has started: the SDK knows it no longer then, and fails the workflow's tasks without end.
        (await starting).cancel()
    return ConnectionStatus((await (await starting))["status"])


async def ask_by_activity(dead: DeadConnection, task_queue: str) -> ConnectionStatus:
    """The same by an activity on the task queue on which the connection was used."""
    status: str = await workflow.execute_activity(
        AWAIT_ACTIVE,
        dead.connection_id,
        task_queue=task_queue,
        result_type=str,
        start_to_close_timeout=LOOK_TIMEOUT,
        retry_policy=LOOK_RETRIES,
        summary=_summary(dead),
    )
    return ConnectionStatus(status)


def is_refused(error: NexusOperationError) -> bool:
    """Whether the service cannot help, however often it is asked: the connection is not there for this endpoint, or it
    does not understand the question, which a user's codec has encrypted. The API has the last word then."""
    cause = error.cause
    return (isinstance(cause, HandlerError) and not cause.retryable) or (
        isinstance(cause, ApplicationError) and cause.non_retryable
    )


def _summary(dead: DeadConnection) -> str:
    return f"until {dead.whose} is reconnected"
