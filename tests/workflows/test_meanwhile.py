"""What arrives while the provider is asked, or just before: nothing of it is lost, and nobody waits in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    ConnectionStatus,
    CredentialOutcome,
    CredentialRejected,
    CredentialTask,
    EventType,
    LateSuccess,
    Signal,
    Verdict,
)
from tests.servers import start_dev_server
from tests.workflows.provider import HOURLY, Life, Provider, Unhurried, dead, living, new_ref, ok


@pytest.fixture
async def life() -> AsyncIterator[Life]:
    async with await start_dev_server() as server, living(server.client, Unhurried()) as one:
        await one.connect()
        yield one


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def begin(life: Life) -> asyncio.Task[object]:
    """A refresh whose answer stays away until the gate is open."""
    life.provider.gate = asyncio.Event()
    return asyncio.create_task(life.refresh())


async def release(life: Life) -> None:
    """Once the workflow knows of what was sent."""
    await life.status()
    assert life.provider.gate is not None
    life.provider.gate.set()
    life.provider.gate = None


def superseded(task: CredentialTask) -> CredentialOutcome:
    """The vault has the next generation."""
    return ok(task, HOURLY).model_copy(update={"verdict": Verdict.SUPERSEDED})


async def test_late_success_outweighs_a_refusal_of_what_it_replaced(life: Life) -> None:
    """A worker stood still past its lease and has stored the new grant; another's try with the old one is refused."""
    asking = begin(life)
    await _until(lambda: life.provider.refreshes == 1)
    life.provider.refresh_answer = dead
    life.provider.probe_answer = superseded
    await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=2))
    await release(life)
    await asking
    view = await life.status()
    assert (view.status, view.generation) == (ConnectionStatus.ACTIVE, 2)
    assert life.provider.events == [EventType.CREATED]


async def test_refresh_of_a_new_grant_is_not_answered_for_the_one_before(life: Life) -> None:
    first = begin(life)
    await _until(lambda: life.provider.refreshes == 1)
    connecting = asyncio.create_task(life.connect(generation=2))
    await asyncio.sleep(0.2)
    second = asyncio.create_task(life.refresh(newer_than=2))
    await asyncio.sleep(0.2)
    life.provider.refresh_answer = lambda task: superseded(task) if task.generation == 1 else ok(task, HOURLY)
    await release(life)
    await asyncio.gather(first, connecting)
    view = await second
    assert (view.generation, view.last_verdict) == (3, Verdict.OK)


async def test_report_of_no_certain_generation_is_verified_although_a_newer_one_has_come(life: Life) -> None:
    asking = begin(life)
    await _until(lambda: life.provider.refreshes == 1)
    await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="one"))
    await release(life)
    await asking
    assert ((await life.status()).generation, life.provider.probes) == (2, 1)


async def test_refresh_that_a_reconnect_overtakes_before_it_begins_is_answered() -> None:
    """Both came while no worker was there."""
    async with await start_dev_server() as server:
        provider = Provider()
        life = Life(server.client, provider, new_ref())
        async with Worker(server.client, task_queue=TASK_QUEUE, activities=provider.activities):
            await life.connect()
        asking = asyncio.create_task(life.refresh(newer_than=1))
        await asyncio.sleep(0.5)
        connecting = asyncio.create_task(life.connect(generation=2))
        await asyncio.sleep(0.5)
        async with Worker(server.client, task_queue=TASK_QUEUE, activities=provider.activities):
            views = await asyncio.wait_for(asyncio.gather(asking, connecting), 20)
        assert [view.generation for view in views] == [2, 2] and provider.refreshes == 0


async def test_run_that_is_reported_without_a_pause_is_followed_by_a_new_one() -> None:
    """Each report comes while the one before is being verified, so that something is always due."""
    short = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=60")
    async with await start_dev_server(*short) as server, living(server.client) as life:
        await life.connect()
        first = (await life.handle.describe()).run_id

        class Reported(asyncio.Event):
            async def wait(self) -> bool:
                await life.report()
                return True

        life.provider.gate = Reported()
        await life.report()
        async with asyncio.timeout(60):
            while (await life.handle.describe()).run_id == first:
                await asyncio.sleep(0.05)
        life.provider.gate = None
