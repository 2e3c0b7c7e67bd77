"""docs/plugin.md against the whole service: its worker, as a process of its own, waits for a customer and goes on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from dev.config import ROOT
from sandbox.contacts import CONTACTS, PAGE_SIZE
from tests.api.conftest import Everlink, until_status
from tests.api.removing import scope_of
from tests.docs import plugin_md

NAMES = [contact["name"] for contact in CONTACTS[:PAGE_SIZE]]


@pytest.fixture
async def endpoint(product: httpx.AsyncClient, everlink: Everlink, temporal: WorkflowEnvironment) -> str:
    """Of this organization alone, made by the command that the page names."""
    scope = await scope_of(everlink.made, product)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        "create-nexus-endpoint",
        *("--organization", scope.org_id, "--environment", scope.environment),
        cwd=ROOT,
        env=os.environ | {"EVERLINK_TEMPORAL_ADDRESS": temporal.client.service_client.config.target_host},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode().strip()


@pytest.fixture
async def dead(everlink: Everlink, product: httpx.AsyncClient) -> str:
    """A connection that was revoked at the provider, which nobody knows yet."""
    connection_id = await everlink.connect(product)
    async with everlink.customer() as ada:
        await ada.revoke()
    return connection_id


async def reconnect(everlink: Everlink, product: httpx.AsyncClient, connection_id: str) -> None:
    link = (await product.post(f"/v1/connections/{connection_id}/reconnect")).json()["connect_url"]
    async with everlink.customer() as ada:
        await ada.consent(link)


@asynccontextmanager
async def worker(folder: Path, key: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "worker.py", cwd=folder, env=os.environ | {"EVERLINK_API_KEY": key}
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def until_it_waits(handle: WorkflowHandle[Any, Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            async for event in handle.fetch_history_events():
                if event.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED:
                    return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("workflow", ["Sync", "Patient"])
async def test_worker_waits_and_goes_on(
    everlink: Everlink,
    product: httpx.AsyncClient,
    temporal: WorkflowEnvironment,
    endpoint: str,
    dead: str,
    tmp_path: Path,
    workflow: str,
) -> None:
    queue = f"page-{uuid4().hex}"
    here = {
        "https://everlink.product.example": everlink.url,
        'nexus_endpoint="everlink"': f"nexus_endpoint={endpoint!r}",
        "localhost:7233": temporal.client.service_client.config.target_host,
        "https://api.provider.example": everlink.sandbox,
        'task_queue="sync"': f"task_queue={queue!r}",
    }
    plugin_md.write(tmp_path, here)
    client = Client(temporal.client.service_client)
    async with worker(tmp_path, product.headers["x-api-key"]):
        handle = await client.start_workflow(workflow, dead, id=f"page/{uuid4().hex}", task_queue=queue)
        await until_it_waits(handle)
        await until_status(product, dead, "reauth_required")
        await reconnect(everlink, product, dead)
        async with asyncio.timeout(60):
            assert await handle.result() == NAMES


async def test_caller_without_the_plugin_waits(
    everlink: Everlink,
    product: httpx.AsyncClient,
    temporal: WorkflowEnvironment,
    endpoint: str,
    dead: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await product.post(f"/v1/connections/{dead}/report", json={})
    await until_status(product, dead, "reauth_required")
    there = plugin_md.MODULES["callers"]
    monkeypatch.setitem(plugin_md.MODULES, "callers", there.replace('endpoint="everlink"', f"endpoint={endpoint!r}"))
    caller = plugin_md.load("callers").UntilConnected
    client, queue = Client(temporal.client.service_client), f"page-{uuid4().hex}"
    async with Worker(client, task_queue=queue, workflows=[caller], workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await client.start_workflow(caller.run, dead, id=f"page/{uuid4().hex}", task_queue=queue)
        await until_it_waits(handle)
        await reconnect(everlink, product, dead)
        async with asyncio.timeout(60):
            assert await handle.result() == "active"
