"""A workflow is reset while it waits, by an operator who repairs something else."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.service import Service
from tests.plugin.world import Syncing, details, new_id, start, until, working

ACTIVE, DEAD = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED


async def reset(client: Client, handle: WorkflowHandle[Any, Any], task: int) -> WorkflowHandle[Any, Any]:
    """To where the workflow task of this number ended. Answers the new run."""
    ends = [
        event.event_id
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.result_run_id),
        workflow_task_finish_event_id=ends[task],
        request_id=uuid4().hex,
        reason="a test",
    )
    answer = await client.workflow_service.reset_workflow_execution(request)
    return client.get_workflow_handle(handle.id, run_id=answer.run_id)


async def waits(handle: WorkflowHandle[Any, Any]) -> None:
    async def shows() -> bool:
        return (await details(handle)).startswith("Waiting")

    await until(shows)


@pytest.mark.parametrize("task", [0, -1])
@pytest.mark.parametrize("by_nexus", [False, True])
async def test_a_reset_before_a_wait_or_into_it(
    server: WorkflowEnvironment, api: Api, service: Service, by_nexus: bool, task: int
) -> None:
    one = new_id()
    syncing = Syncing(api, endpoint=service.endpoint if by_nexus else None)
    api.statuses[one] = DEAD
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Telling.run, one, queue=queue)

        async def asked() -> bool:
            return bool(service.asked[one] or api.asked)

        await waits(handle)
        await until(asked)
        await handle.signal(users.Telling.tell, "a workflow task in the wait")

        async def told() -> bool:
            return "a workflow task" in await details(handle)

        await until(told)
        again = await reset(server.client, handle, task)
        await waits(again)
        if by_nexus:  # before the wait: another one is begun; into it: the server answers the new run

            async def asked_anew() -> bool:
                return len(service.asked[one]) == (1 if task else 2)

            await until(asked_anew)
        api.statuses[one] = ACTIVE
        if by_nexus:
            await service.settle(one)
        assert await again.result() == [f"synced {one}"] * 2
