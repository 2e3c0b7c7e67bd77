"""What workflows of another namespace ask through Nexus, answered by the real worker."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import NexusOperationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from everlink.contract import (
    NEXUS_ENDPOINT,
    NEXUS_TASK_QUEUE,
    ConnectionStatus,
    Signal,
    connection_workflow_id,
    nexus_endpoint,
)
from store.database import utc_now
from tests.api.conftest import Everlink, until_status
from tests.api.removing import scope_of

THEIRS = "product"  # a namespace that is not Everlink's, with the SDK's own converter


@workflow.defn(name="Asks")
class Asks:
    """Asks one thing, as a product's workflow in any language would."""

    @workflow.run
    async def run(self, endpoint: str, operation: str, asked: dict[str, Any]) -> Any:
        everlink = workflow.create_nexus_client(service="Everlink", endpoint=endpoint)
        return await everlink.execute_operation(operation, asked)


@asynccontextmanager
async def their_namespace(temporal: WorkflowEnvironment) -> AsyncIterator[Client]:
    """Made, with the endpoint that reaches every connection, and a worker of theirs."""
    service = temporal.client.service_client
    await service.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=THEIRS, workflow_execution_retention_period=Duration(seconds=86400))
    )
    client = Client(service, namespace=THEIRS)
    await _endpoint(client, NEXUS_ENDPOINT)
    async with asyncio.timeout(30):
        while True:  # until the server knows the new namespace
            try:
                runner = UnsandboxedWorkflowRunner()
                async with Worker(client, task_queue="product", workflows=[Asks], workflow_runner=runner):
                    yield client
                return
            except RuntimeError:
                await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
async def theirs(temporal: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with their_namespace(temporal) as client:
        yield client


async def _endpoint(client: Client, name: str) -> str:
    target = EndpointTarget(worker=EndpointTarget.Worker(namespace="default", task_queue=NEXUS_TASK_QUEUE))
    spec = EndpointSpec(name=name, target=target)
    made = await client.operator_service.create_nexus_endpoint(CreateNexusEndpointRequest(spec=spec))
    return made.endpoint.id


async def ask(
    client: Client, operation: str, connection_id: str, *, endpoint: str = NEXUS_ENDPOINT, **more: Any
) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        "Asks",
        args=[endpoint, operation, {"connection_id": connection_id, **more}],
        id=f"asks/{uuid4().hex}",
        task_queue="product",
    )


async def until_waited_for(client: Client, handle: WorkflowHandle[Any, Any]) -> str:
    """The id of the workflow that waits on the other side, once the caller knows that it does."""
    async with asyncio.timeout(20):
        while True:
            waiting = None
            async for event in handle.fetch_history_events():
                if event.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED:
                    waiting = event.links[0].workflow_event.workflow_id
                elif waiting is not None and event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                    return waiting
            await asyncio.sleep(0.05)


async def refused(handle: WorkflowHandle[Any, Any]) -> str:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    error = caught.value.cause
    assert isinstance(error, NexusOperationError)
    return str(error.cause)


@asynccontextmanager
async def dead(everlink: Everlink) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    product = await everlink.product()
    connection_id = await everlink.connect(product)
    await product.post(f"/v1/connections/{connection_id}/report", json={"event": "revoked"})
    await until_status(product, connection_id, "reauth_required")
    yield product, connection_id


async def reconnect(everlink: Everlink, product: httpx.AsyncClient, connection_id: str, name: str = "ada") -> None:
    link = (await product.post(f"/v1/connections/{connection_id}/reconnect")).json()["connect_url"]
    async with everlink.customer(name) as customer:
        await customer.consent(link)


async def test_wait_ends_when_the_customer_has_reconnected(everlink: Everlink, theirs: Client) -> None:
    async with dead(everlink) as (product, connection_id):
        waits = await ask(theirs, "await_active", connection_id)
        await until_waited_for(theirs, waits)
        await reconnect(everlink, product, connection_id)
        standing = await asyncio.wait_for(waits.result(), 20)
        assert standing["status"] == "active" and standing["application"] == "sandbox" and standing["generation"] == 2
        fresh = await product.get(f"/v1/connections/{connection_id}/token")
        assert fresh.status_code == 200 and fresh.json()["generation"] == 2


async def test_another_account_ends_no_wait(everlink: Everlink, theirs: Client) -> None:
    async with dead(everlink) as (product, connection_id):
        waits = await ask(theirs, "await_active", connection_id)
        await until_waited_for(theirs, waits)
        await reconnect(everlink, product, connection_id, "grace")
        assert (await (await ask(theirs, "get_status", connection_id)).result())["status"] == "reauth_required"
        assert (await waits.describe()).status is not None and (await waits.describe()).close_time is None
        await reconnect(everlink, product, connection_id)
        assert (await asyncio.wait_for(waits.result(), 20))["status"] == "active"


async def test_wait_for_what_is_active_ends_at_once(everlink: Everlink, theirs: Client) -> None:
    product = await everlink.product()
    connection_id = await everlink.connect(product)
    standing = await asyncio.wait_for((await ask(theirs, "await_active", connection_id)).result(), 20)
    assert standing["status"] == "active"


async def test_wait_ends_with_the_connection(everlink: Everlink, theirs: Client) -> None:
    async with dead(everlink) as (product, connection_id):
        waits = await ask(theirs, "await_active", connection_id)
        await until_waited_for(theirs, waits)
        await product.delete(f"/v1/connections/{connection_id}")
        assert (await asyncio.wait_for(waits.result(), 20))["status"] == "disconnected"
        late = await asyncio.wait_for((await ask(theirs, "get_status", connection_id)).result(), 20)
        assert late["status"] == "disconnected"


async def test_cancelled_wait_is_forgotten(everlink: Everlink, theirs: Client, temporal: WorkflowEnvironment) -> None:
    async with dead(everlink) as (_, connection_id):
        waits = await ask(theirs, "await_active", connection_id)
        waiting = temporal.client.get_workflow_handle(await until_waited_for(theirs, waits))
        await waits.cancel()
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(waiting.result(), 20)
        connection = temporal.client.get_workflow_handle(connection_workflow_id(connection_id))
        told = [
            event.workflow_execution_signaled_event_attributes.signal_name
            async for event in connection.fetch_history_events()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        ]
        assert told[-2:] == [Signal.AWAIT_ACTIVE, Signal.STOP_AWAITING]


async def cancel(temporal_http: str, endpoint_id: str, token: dict[str, Any]) -> httpx.Response:
    """Without a workflow: a caller that speaks HTTP can make up what it cancels."""
    made_up = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
    async with httpx.AsyncClient(base_url=f"{temporal_http}/nexus/endpoints/{endpoint_id}") as http:
        return await http.post("/services/Everlink/await_active/cancel", headers={"Nexus-Operation-Token": made_up})


async def test_what_is_cancelled_is_a_wait_that_the_endpoint_reaches(
    everlink: Everlink, theirs: Client, temporal: WorkflowEnvironment, temporal_http: str
) -> None:
    async with dead(everlink) as (product, connection_id):
        scopes = [await scope_of(everlink.made, one) for one in (product, await everlink.product("Stranger"))]
        mine, other = [await _endpoint(theirs, nexus_endpoint(one.org_id, one.environment)) for one in scopes]
        waits = await ask(theirs, "await_active", connection_id)
        wait = temporal.client.get_workflow_handle(await until_waited_for(theirs, waits))
        connection = temporal.client.get_workflow_handle(connection_workflow_id(connection_id))
        for endpoint, handle in ((mine, connection), (other, connection), (other, wait)):
            answer = await cancel(temporal_http, endpoint, {"t": 1, "ns": "default", "wid": handle.id})
            assert answer.status_code == 404 and (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        for no_token in ({}, {"t": 1, "ns": "default"}, {"t": 1, "ns": "default", "wid": f"{wait.id}\n"}):
            assert (await cancel(temporal_http, mine, no_token)).status_code == 404
        answer = await cancel(temporal_http, mine, {"t": 1, "ns": "default", "wid": wait.id})
        assert answer.status_code == 202
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(wait.result(), 20)


async def test_report_is_verified_before_the_wait_ends(everlink: Everlink, theirs: Client) -> None:
    product = await everlink.product()
    connection_id = await everlink.connect(product)
    async with everlink.customer() as customer:
        await customer.revoke()
    await (await ask(theirs, "report_rejected", connection_id, generation=1)).result()
    waits = await ask(theirs, "await_active", connection_id)
    await until_status(product, connection_id, "reauth_required")
    assert (await waits.describe()).close_time is None
    await reconnect(everlink, product, connection_id)
    assert (await asyncio.wait_for(waits.result(), 20))["status"] == "active"


async def test_link_leads_the_customer_to_the_page(everlink: Everlink, theirs: Client) -> None:
    async with dead(everlink) as (_, connection_id):
        offer = await (await ask(theirs, "start_reconnect", connection_id)).result()
        assert set(offer) == {"connect_url", "expires_at"} and offer["expires_at"] > utc_now().isoformat()
        async with httpx.AsyncClient(follow_redirects=True) as browser:
            page = await browser.get(offer["connect_url"])
        assert page.status_code == 200 and "Reconnect" in page.text


@pytest.mark.parametrize("operation", ["await_active", "get_status", "report_rejected", "start_reconnect"])
async def test_endpoint_of_one_tenant_reaches_no_other(everlink: Everlink, theirs: Client, operation: str) -> None:
    product, stranger = await everlink.product(), await everlink.product("Stranger")
    connection_id = await everlink.connect(product)
    scopes = [await scope_of(everlink.made, one) for one in (product, stranger)]
    mine, other = (nexus_endpoint(scope.org_id, scope.environment) for scope in scopes)
    await _endpoint(theirs, mine)
    await _endpoint(theirs, other)
    assert "no such connection" in await refused(await ask(theirs, operation, connection_id, endpoint=other))
    assert "no such connection" in await refused(await ask(theirs, operation, "con_nowhere", endpoint=mine))
    await asyncio.wait_for((await ask(theirs, operation, connection_id, endpoint=mine)).result(), 20)


async def test_ended_connection_is_offered_nothing(everlink: Everlink, theirs: Client) -> None:
    product = await everlink.product()
    connection_id = await everlink.connect(product)
    await product.delete(f"/v1/connections/{connection_id}")
    await until_status(product, connection_id, ConnectionStatus.DISCONNECTED)
    for operation in ("start_reconnect", "report_rejected", "await_active"):
        assert "has ended" in await refused(await ask(theirs, operation, connection_id))
