"""Bursts of what providers tell: none is lost, whether Temporal is there or not, and whoever dies halfway."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from time import monotonic
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select, update
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities import dispatch
from activities.dispatch import DispatchActivities
from activities.shared import Shared, open_shared
from everlink.contract import (
    TASK_QUEUE,
    Activity,
    DispatchTask,
    InboxTask,
    Message,
    ProviderEvent,
    Signal,
    UpkeepState,
    Workflow,
)
from store.inbox import OVERDUE
from store.scope import Scope
from store.tables import CONNECTION_KEYS, PROVIDER_EVENTS, Connection
from tests.api.conftest import Everlink, running, settings_for
from tests.api.removing import add_connections, scope_of
from tests.api.test_hooks import event, hook, kept, signed

NOWHERE = "http://127.0.0.1:9"
BURST, BURST_WHILE_AWAY, AT_ONCE, CONNECTED = 1000, 200, 32, 25


async def burst(url: str, bodies: list[bytes]) -> list[float]:
    """Send all of these, some at once; answers how long each waited."""
    gate, waits = asyncio.Semaphore(AT_ONCE), []

    async with httpx.AsyncClient(timeout=60) as provider:

        async def one(body: bytes) -> None:
            async with gate:
                begun = monotonic()
                answer = await provider.post(url, content=body, headers=signed(body))
                waits.append(monotonic() - begun)
                assert answer.status_code == 200

        await asyncio.gather(*map(one, bodies))
    return waits


async def prepare(everlink: Everlink, product: httpx.AsyncClient) -> tuple[str, Scope, list[str]]:
    """The hook, and connections of which each is of an account of its own."""
    scope = await scope_of(everlink.made, product)
    ids = await add_connections(everlink.made, scope, CONNECTED)
    key = {**scope.columns, "slug": "sandbox", "name": "account"}
    named = [{**key, "connection_id": one, "value": f"account-{number}"} for number, one in enumerate(ids)]
    async with everlink.made.database.writing() as writing:
        await writing.execute(insert(CONNECTION_KEYS), named)
    return await hook(product), scope, ids


def bodies(count: int) -> list[bytes]:
    return [event("uninstalled", f"account-{number % CONNECTED}") for number in range(count)]


async def until_told(everlink: Everlink, scope: Scope, seconds: float = 100) -> Counter[int]:
    """How many connections each event was told to, once all are."""
    waiting = select(func.count()).where(PROVIDER_EVENTS.c.dispatched_at.is_(None), scope.owns(PROVIDER_EVENTS))
    async with asyncio.timeout(seconds):
        while True:
            async with everlink.made.database.reading() as reading:
                if not (await reading.execute(waiting)).scalar_one():
                    break
            await asyncio.sleep(0.2)
    return Counter(row.told for row in await kept(everlink, scope))


async def until_flagged(product: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while (await product.get("/v1/connections/counts")).json()["reauth_required"] < CONNECTED:
            await asyncio.sleep(0.1)


@pytest.mark.long
async def test_burst_of_events_loses_none(sqlite_url: str, tmp_path: Path, own_temporal: WorkflowEnvironment) -> None:
    settings = settings_for(sqlite_url, tmp_path, NOWHERE, own_temporal.client.service_client.config.target_host)
    async with running(settings, NOWHERE) as everlink:
        product = await everlink.product()
        url, scope, _ = await prepare(everlink, product)
        await burst(url, bodies(BURST))
        assert await until_told(everlink, scope) == Counter({1: BURST})
        await until_flagged(product)


async def test_burst_while_temporal_is_away_loses_none(
    sqlite_url: str, tmp_path: Path, own_temporal: WorkflowEnvironment
) -> None:
    settings = settings_for(sqlite_url, tmp_path, NOWHERE, own_temporal.client.service_client.config.target_host)
    away = settings.model_copy(update={"temporal_address": "127.0.0.1:9"})
    async with running(away, NOWHERE, worker=False) as everlink:
        product = await everlink.product()
        key = product.headers["x-api-key"]
        url, scope, _ = await prepare(everlink, product)
        waits = await burst(url, bodies(BURST_WHILE_AWAY))
        assert sorted(waits)[len(waits) // 2] < 2  # it is not Temporal that is waited for
        assert len(await kept(everlink, scope)) == BURST_WHILE_AWAY
    async with running(settings, NOWHERE) as everlink, httpx.AsyncClient(base_url=everlink.url) as product:
        product.headers["x-api-key"] = key
        assert await upkeep(own_temporal, everlink, scope) == (1, 0)
        assert await until_told(everlink, scope) == Counter({1: BURST_WHILE_AWAY})
        await until_flagged(product)


async def upkeep(server: WorkflowEnvironment, everlink: Everlink, scope: Scope) -> tuple[int, int]:
    """A minute later, one round of looking for inboxes; answers what it mended, and what it could not."""
    rows = await kept(everlink, scope)
    async with everlink.made.database.writing() as writing:
        late = min(row.received_at for row in rows) - 2 * OVERDUE
        await writing.execute(update(PROVIDER_EVENTS).where(scope.owns(PROVIDER_EVENTS)).values(received_at=late))
    result: UpkeepState = await server.client.execute_workflow(
        Workflow.UPKEEP,
        UpkeepState(todo=[Activity.SWEEP_INBOX]),
        id=uuid4().hex,
        task_queue=TASK_QUEUE,
        result_type=UpkeepState,
    )
    return result.mended, result.failed


async def test_telling_that_was_cut_off_leaves_nobody_out_and_tells_few_twice(
    sqlite_url: str, tmp_path: Path, own_temporal: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "CONNECTIONS", 10)
    settings = settings_for(sqlite_url, tmp_path, NOWHERE, own_temporal.client.service_client.config.target_host)
    told: Counter[str] = Counter()

    async def tell(shared: Shared, row: Connection, signal: Signal, message: Message) -> bool:
        assert isinstance(message, ProviderEvent)
        told[row.id] += 1
        if told.total() == 17:
            raise ConnectionError("the worker dies")
        return True

    monkeypatch.setattr(dispatch, "tell", tell)
    async with running(settings, NOWHERE, worker=False) as everlink, open_shared(settings) as shared:
        url, scope, ids = await prepare(everlink, await everlink.product())
        async with everlink.made.database.writing() as writing:
            await writing.execute(update(CONNECTION_KEYS).values(value="all"))
        await burst(url, [event("revoked", "all")])
        work = DispatchActivities(shared).dispatch_events
        task = DispatchTask(task=InboxTask(**scope._asdict(), slug="sandbox"))
        first = await ActivityEnvironment().run(work, task)
        assert (first.events, first.failed) == (0, 1)
        assert set(told) == set(ids)  # who could not be told holds up no other
        [row] = await kept(everlink, scope)
        assert (row.told, row.after, row.dispatched_at) == (10, sorted(ids)[9], None)
        second = await ActivityEnvironment().run(work, task)
        assert (second.events, second.told, second.failed) == (1, CONNECTED - 10, 0)
    assert all(told[one] == 1 for one in sorted(ids)[:10]) and max(told.values()) == 2
