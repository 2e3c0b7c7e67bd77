"""A removal while Temporal is away, and with its worker killed in the middle: nobody is left out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from httpx import AsyncClient
from pydantic import SecretStr
from sqlalchemy import select
from temporalio.testing import WorkflowEnvironment

from api.services import Services, open_services
from dev.stack import Stack, StackConfig
from everlink.contract import TASK_QUEUE, Activity, EventType, UpkeepState, Workflow
from store.settings import Settings
from store.tables import EVENTS
from tests.api.conftest import running, settings_for
from tests.api.removing import add_connections, connections_of, rows_of, scope_of, until_removed
from tests.sandbox_process import running_sandbox

COUNT = 300


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[str]:
    async with running_sandbox(tmp_path) as url:
        yield url


async def test_removal_that_was_begun_while_temporal_was_away_is_started_by_upkeep(
    sqlite_url: str, tmp_path: Path, own_temporal: WorkflowEnvironment, sandbox: str
) -> None:
    address = own_temporal.client.service_client.config.target_host
    settings = settings_for(sqlite_url, tmp_path, sandbox, address)
    away = settings.model_copy(update={"temporal_address": "127.0.0.1:9"})
    async with running(away, sandbox, worker=False) as everlink:
        product = await everlink.product()
        scope = await scope_of(everlink.made, product)
        await add_connections(everlink.made, scope, 20)
        begun = [
            await product.delete("/v1/applications/sandbox"),
            await product.delete("/v1/linked-accounts/acme"),
        ]
        assert [answer.status_code for answer in begun] == [202, 202]
        removals = [answer.json() for answer in begun]
        for removal in removals:
            found = (await product.get(f"/v1/removals/{removal['id']}")).json()
            assert (found["total"], found["done"], found["finished_at"]) == (20, 0, None)
        key = product.headers["x-api-key"]
    async with (
        running(settings, sandbox) as everlink,
        AsyncClient(base_url=everlink.url, headers={"x-api-key": key}, timeout=60) as product,
    ):
        round_of_upkeep = UpkeepState(todo=[Activity.SWEEP_REMOVALS])
        for mended in (2, 0):
            result: UpkeepState = await own_temporal.client.execute_workflow(
                Workflow.UPKEEP,
                round_of_upkeep,
                id=uuid4().hex,
                task_queue=TASK_QUEUE,
                result_type=UpkeepState,
            )
            assert (result.mended, result.failed) == (mended, 0)
        for removal in removals:
            done = await until_removed(product, removal["id"])
            assert done["done"] == done["total"] == 20
        assert await connections_of(product) == []
        again = await own_temporal.client.execute_workflow(
            Workflow.UPKEEP, round_of_upkeep, id=uuid4().hex, task_queue=TASK_QUEUE, result_type=UpkeepState
        )
        assert again.mended == 0


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(StackConfig.on_free_ports(tmp_path)) as running_stack:
        yield running_stack


@pytest.fixture
async def made(stack: Stack) -> AsyncIterator[Services]:
    """The stack's store and vault, beside its API."""
    state = stack.config.state
    settings = Settings(
        dev=True,
        state_dir=state,
        catalog_dir=state / "catalog",
        database_url=SecretStr(f"sqlite+aiosqlite:///{state}/everlink.sqlite3"),
    )
    async with open_services(settings) as services:
        yield services


@pytest.fixture
async def product(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": json.loads((stack.config.state / "dev.json").read_text())["api_key"]}
    async with httpx.AsyncClient(base_url=stack.addresses.api, headers=headers, timeout=60) as client:
        yield client


async def kill_worker_once_some_are_done(stack: Stack, product: httpx.AsyncClient, removal: str) -> None:
    worker = stack.pids["worker"]
    async with asyncio.timeout(60):
        while (found := (await product.get(f"/v1/removals/{removal}")).json())["done"] == 0:
            await asyncio.sleep(0.02)
    assert found["finished_at"] is None
    os.kill(worker, signal.SIGKILL)
    await asyncio.wait_for(stack.wait_restarted("worker", worker), 60)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", ["/v1/applications/sandbox", "/v1/linked-accounts/acme"])
async def test_worker_that_is_killed_in_the_middle_leaves_no_connection_out(
    stack: Stack, made: Services, product: httpx.AsyncClient, path: str
) -> None:
    scope = await scope_of(made, product)
    mine = set(await add_connections(made, scope, COUNT))
    removal = (await product.delete(path)).json()
    await kill_worker_once_some_are_done(stack, product, removal["id"])
    done = await until_removed(product, removal["id"], seconds=150)  # activities that died with it time out first
    assert (done["total"], done["done"]) == (COUNT, COUNT)
    if removal["kind"] == "application":
        rows = await connections_of(product, reason="application_deleted")
        assert {row["id"] for row in rows} == mine
        assert {row["status"] for row in rows} == {"reauth_required"}
        # Upkeep may have looked at one before, and found it dead: then its reason changed, and nobody is told twice.
        expired = select(EVENTS.c.connection_id).where(scope.owns(EVENTS), EVENTS.c.type == EventType.EXPIRED.value)
        async with made.database.reading() as reading:
            assert sorted((await reading.execute(expired)).scalars()) == sorted(mine)
    else:
        left = await rows_of(made.database, scope)
        assert not {"connection", "credential", "transition", "event", "linked_account"} & set(left)
