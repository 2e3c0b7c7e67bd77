"""Everlink's Nexus service as far as a wait needs it, in a test's hands. The whole one: test_whole.py."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import nexusrpc
from temporalio import nexus, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from everlink.contract import ConnectionStatus


@nexusrpc.service(name="Everlink")
class Waits:
    await_active: nexusrpc.Operation[dict[str, Any], dict[str, Any]]


@workflow.defn
class Until:
    """One operation."""

    def __init__(self) -> None:
        self._status: ConnectionStatus | None = None

    @workflow.run
    async def run(self) -> dict[str, Any]:
        await workflow.wait_condition(lambda: self._status is not None)
        if self._status is ConnectionStatus.PENDING:
            raise ApplicationError("this wait is lost")
        return {"status": self._status}

    @workflow.signal
    def settle(self, status: ConnectionStatus) -> None:
        self._status = status


@nexusrpc.handler.service_handler(service=Waits)
class Service:
    """Waits until the test says how the connection is."""

    def __init__(self, client: Client, endpoint: str) -> None:
        self.endpoint = endpoint
        self.unknown: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.asked: dict[str, list[WorkflowHandle[Any, Any]]] = defaultdict(list)
        self._client = client

    @nexus.workflow_run_operation
    async def await_active(
        self, ctx: nexus.WorkflowRunOperationContext, asked: dict[str, Any]
    ) -> nexus.WorkflowHandle[dict[str, Any]]:
        connection_id = asked["connection_id"]
        if connection_id in self.unknown:
            raise nexusrpc.HandlerError("no such connection", type=nexusrpc.HandlerErrorType.NOT_FOUND)
        await self.open.wait()
        started = await ctx.start_workflow(Until.run, id=f"until-{ctx.request_id}")
        handle = self._client.get_workflow_handle(f"until-{ctx.request_id}")
        if handle.id not in [other.id for other in self.asked[connection_id]]:
            self.asked[connection_id].append(handle)
        return started

    async def settle(self, connection_id: str, status: ConnectionStatus = ConnectionStatus.ACTIVE) -> None:
        """Answer the last who asked."""
        await self.asked[connection_id][-1].signal(Until.settle, status)


@asynccontextmanager
async def serving(server: WorkflowEnvironment) -> AsyncIterator[Service]:
    """On an endpoint of its own."""
    name = f"everlink-{uuid4().hex}"
    service = Service(server.client, name)
    await server.create_nexus_endpoint(name, name)
    async with Worker(
        server.client,
        task_queue=name,
        workflows=[Until],
        nexus_service_handlers=[service],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield service
