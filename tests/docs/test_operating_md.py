"""docs/operating.md: each query finds what its name says, on the real server; each check of the doctor is listed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from dev.config import REPORTED_PROBLEMS
from everlink.contract import (
    SEARCH_ATTRIBUTES,
    TASK_QUEUE,
    ConnectionState,
    CredentialOutcome,
    CredentialTask,
    DeliveryTask,
    Environment,
    Lifetimes,
    Workflow,
    search_attributes,
)
from tests.servers import BIN
from tests.workflows.provider import KEY, Life, Provider, dead, new_ref, ok, transient
from worker import plugin

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "operating.md").read_text()
VIEWS: dict[str, str] = dict(re.findall(r"^\| ([^|]+?) +\| `(.*=.*)` \|$", TEXT, re.MULTILINE))
CUSTOMER = {"dead at Slack", "dead at HubSpot"}
FOUND = {
    "needs its customer": CUSTOMER,
    "... of one application": {"dead at Slack"},
    "degraded": {"degraded"},
    "about to expire": {"ending"},
    "stuck": {"stuck"},
    "connecting, or lost while connecting": {"connecting", "stuck"},
    "webhooks not taken yet": {"delivery"},
}
QUICK = Lifetimes(expires_in=2.0, renewable=True)
ENDING = KEY.model_copy(update={"ends_in": timedelta(days=1, seconds=2).total_seconds()})
LIVES: dict[str, tuple[str, Lifetimes, Callable[[CredentialTask], CredentialOutcome]]] = {
    "well": ("slack", QUICK, lambda task: ok(task, QUICK)),
    "dead at Slack": ("slack", QUICK, dead),
    "dead at HubSpot": ("hubspot", QUICK, dead),
    "degraded": ("slack", QUICK, lambda task: transient(task, retry_after=1.0)),
    "ending": ("slack", ENDING, dead),
    "renewed": ("slack", ENDING, dead),
    "disconnected": ("slack", QUICK, dead),
}
SECONDS = 60.0


@pytest.fixture
async def names() -> AsyncIterator[tuple[Client, dict[str, str]]]:
    """A server with a connection in each state, and who is who by workflow id."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_log_level="error",
        dev_server_extra_args=["--dynamic-config-value", f"{REPORTED_PROBLEMS}=2"],
        plugins=[plugin()],
    ) as server:
        provider = Provider(refresh_answer=lambda task: LIVES[task.ref.identifier][2](task))
        async with Worker(server.client, task_queue=TASK_QUEUE, activities=provider.activities):
            yield server.client, await _lived(server.client, provider)


async def _lived(client: Client, provider: Provider) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, (slug, lifetimes, _) in LIVES.items():
        ref = new_ref().model_copy(update={"slug": slug, "identifier": name})
        life = Life(client, provider, ref)
        await client.start_workflow(
            Workflow.CONNECTION,
            ConnectionState(ref=ref),
            id=life.handle.id,
            task_queue=TASK_QUEUE,
            search_attributes=search_attributes(ref),
        )
        await life.connect(lifetimes=lifetimes)
        if name == "renewed":
            async with asyncio.timeout(SECONDS):
                while (await life.status()).sequence < 2:  # the notice
                    await asyncio.sleep(0.1)
            await life.connect(generation=2, lifetimes=KEY)
        elif name == "disconnected":
            await life.disconnect()
        found[life.handle.id] = name
    for name, workflow, task in (
        ("connecting", Workflow.CONNECTION, {"ref": new_ref().model_dump(mode="json")}),
        ("stuck", Workflow.CONNECTION, {"ref": "what no release has written"}),
        ("delivery", Workflow.DELIVERY, _delivery()),
    ):
        await client.start_workflow(workflow, task, id=name, task_queue=TASK_QUEUE)
        found[name] = name
    return found


def _delivery() -> DeliveryTask:
    return DeliveryTask(org_id="org", environment=Environment.TEST, event_id="evt", endpoint_id="we_1")


def test_every_view_is_tried() -> None:
    assert set(VIEWS) == set(FOUND)


async def test_each_view_shows_those_that_its_name_says(names: tuple[Client, dict[str, str]]) -> None:
    client, who = names
    shown: dict[str, set[str]] = {}
    deadline = asyncio.get_running_loop().time() + SECONDS
    while shown != FOUND:
        assert asyncio.get_running_loop().time() < deadline, shown
        await asyncio.sleep(0.2)
        for view, query in VIEWS.items():
            shown[view] = {who[found.id] async for found in client.list_workflows(query)}


def test_every_check_of_the_doctor_is_listed() -> None:
    listed = set(re.split(r", ", ", ".join(re.findall(r"^\| ([A-Za-z, ]+?) \| [a-z]", TEXT, re.MULTILINE))))
    source = "".join(file.read_text() for file in (ROOT / "doctor").glob("*.py"))
    checks = set(re.findall(r'(?:ok|note|warning|failure|_address)\(\s*"([^"]+)"', source))
    assert {check.partition(",")[0] for check in checks} <= listed, checks - listed
