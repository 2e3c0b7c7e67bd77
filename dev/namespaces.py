"""A namespace beside Everlink's own, as a product has one for its workflows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

RETENTION = timedelta(days=3)
SECONDS = 30  # until all of the server knows a new one


async def a_namespace(address: str, name: str) -> Client:
    """A client of the namespace, which is made where it is not there.

    Raises:
        TimeoutError: the server does not get to know it.
    """
    client = await Client.connect(address, namespace=name)
    retention = Duration(seconds=round(RETENTION.total_seconds()))
    request = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
    with suppress(RPCError):  # where it is there, or was just made by somebody else
        await client.workflow_service.register_namespace(request)
    async with asyncio.timeout(SECONDS):
        while not await _is_known(client):
            await asyncio.sleep(0.1)
    return client


async def _is_known(client: Client) -> bool:
    try:
        await client.count_workflows()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True
