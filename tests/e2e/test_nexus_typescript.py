"""examples/nexus-typescript, as it stands there: a workflow in another language waits for its customer."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from dev.config import ROOT
from dev.namespaces import a_namespace
from dev.stack import Stack
from sandbox.customer import Customer
from tests.e2e.hosted import consent

EXAMPLE = ROOT / "examples" / "nexus-typescript"
NAMESPACE = "typescript"
ACCOUNT = {"linked_account_id": "typescript"}
STARTED = EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED
COMPLETED = EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # npm, the stack, two processes of node


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, compiled beside the packages of its lock file. Skips where npm is not there or does not get them."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("typescript") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "lib"))
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run(install, capture_output=True, timeout=420, cwd=folder, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm does not get the packages of examples/nexus-typescript")
    compiled = subprocess.run(["npm", "run", "build"], capture_output=True, text=True, timeout=60, cwd=folder)
    assert compiled.returncode == 0, compiled.stdout
    return folder


@asynccontextmanager
async def node(folder: Path, stack: Stack, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "node",
        *command,
        cwd=folder,
        env={**os.environ, "TEMPORAL_ADDRESS": stack.addresses.temporal, "TEMPORAL_NAMESPACE": NAMESPACE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def dead_connection(product: httpx.AsyncClient, ada: Customer) -> str:
    await product.post("/api/v2/public/linked-account", json={"account_id": ACCOUNT["linked_account_id"]})
    link = await product.get("/api/v2/public/linked-account/integration/oauth-url/sandbox", headers=ACCOUNT)
    await ada.consent(link.json()["auth_url"])
    await ada.revoke()
    [found] = (await product.get("/v1/connections", params=ACCOUNT)).json()["connections"]
    await product.post(f"/v1/connections/{found['id']}/report", json={})
    waited = await product.get(f"/v1/connections/{found['id']}/wait", params={"status": "reauth_required"})
    assert waited.json()["status"] == "reauth_required"
    return str(found["id"])


async def link_of(handle: WorkflowHandle[Any, Any]) -> str:
    """What the workflow has for its customer, once it waits."""
    async with asyncio.timeout(60):
        while True:
            if (await count(handle))[STARTED] == 1:
                return str(await handle.query("reconnectUrl"))
            await asyncio.sleep(0.1)


async def count(handle: WorkflowHandle[Any, Any]) -> Counter[int]:
    try:
        return Counter([event.event_type async for event in handle.fetch_history_events()])
    except RPCError:  # it has not been started yet
        return Counter()


async def test_a_workflow_in_typescript_waits_for_its_customer(
    stack: Stack, product: httpx.AsyncClient, browser: Browser, built: Path
) -> None:
    client: Client = await a_namespace(stack.addresses.temporal, NAMESPACE)
    async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
        connection_id = await dead_connection(product, ada)
        handle = client.get_workflow_handle(f"until-connected-{connection_id}")
        async with node(built, stack, "lib/worker.js"), node(built, stack, "lib/start.js", connection_id) as start:
            page = await browser.new_page()
            await page.goto(await link_of(handle))
            await page.get_by_role("button", name="Reconnect").click()
            await consent(page)
            async with asyncio.timeout(60):
                said, _ = await start.communicate()
    assert start.returncode == 0, said.decode()
    assert re.search(r"^active, with generation \d+ of its credential$", said.decode(), re.MULTILINE)
    counted = await count(handle)
    assert (counted[STARTED], counted[COMPLETED]) == (1, 3)  # asked, given a link, waited


def test_lock_file_names_no_registry() -> None:
    assert "resolved" not in (EXAMPLE / "package-lock.json").read_text()
