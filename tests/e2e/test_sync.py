"""`make sync`: the example's workflow waits for its customer and goes on, whoever does the reconnect."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from dev.config import ROOT, StackConfig
from dev.stack import Stack
from dev.sync import NAMESPACE
from sandbox.contacts import CONTACTS, PAGE_SIZE
from sandbox.customer import Customer

PAGES = len(CONTACTS) // PAGE_SIZE
SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
FAILED = EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
WAITS = EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED
RESUMED = EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED
LINK = re.compile(r"and reconnect: (http\S+)")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One of its own: what the command does to `acme` is no other test's."""
    async with Stack(StackConfig.on_free_ports(tmp_path_factory.mktemp("sync"))) as running:
        yield running


async def sync(state: Path, stdin: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dev.sync",
        env={**os.environ, "EVERLINK_STATE_DIR": str(state)},
        cwd=ROOT,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def paused_and_resumed(stack: Stack, said: str) -> None:
    """Looks at what is there, not at what was said."""
    assert len(re.findall("Waiting for acme's Sandbox to be reconnected since .* UTC .access was revoked", said)) == 1
    found = re.search(rf"/namespaces/{NAMESPACE}/workflows/(\S+)/(\S+)", said)
    assert found is not None, said
    client = await Client.connect(stack.addresses.temporal, namespace=NAMESPACE)
    handle: WorkflowHandle[object, int] = client.get_workflow_handle(found[1], run_id=found[2], result_type=int)
    assert await handle.result() == len(CONTACTS)
    counted = Counter([event.event_type async for event in handle.fetch_history_events()])
    assert [counted[kind] for kind in (SCHEDULED, FAILED, WAITS, RESUMED)] == [PAGES + 1, 1, 1, 1]
    with sqlite3.connect(stack.config.state / "sync.sqlite3") as database:
        rows = database.execute("SELECT id, name FROM contact").fetchall()
    assert sorted(rows) == sorted((contact["id"], contact["name"]) for contact in CONTACTS)


async def test_it_runs_unattended(stack: Stack) -> None:
    process = await sync(stack.config.state, asyncio.subprocess.DEVNULL)
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    await paused_and_resumed(stack, out.decode())


@pytest.mark.parametrize("by", ["the link", "Enter"])
async def test_reader_reconnects(stack: Stack, by: str) -> None:
    ours, theirs = os.openpty()
    process = await sync(stack.config.state, theirs)
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(90):
        while "Or press Enter" not in said:
            line = (await process.stdout.readline()).decode()
            assert line, said
            said += line
    link = LINK.search(said)
    assert link is not None
    if by == "Enter":
        os.write(ours, b"\n")
    else:
        async with Customer(stack.addresses.sandbox, "ada", "ada-password") as ada:
            assert (await ada.consent(link[1])).status_code == 200
    out, _ = await process.communicate()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, said + out.decode()
    await paused_and_resumed(stack, said + out.decode())
