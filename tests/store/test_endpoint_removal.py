"""An endpoint is removed while events are announced: neither fails, and nothing of it is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, update

from everlink.contract import DeliveryStatus, EventType
from store import webhooks
from store.database import Database
from store.outbox import Announced, NewEvent, announce, event_head
from store.scope import Scope
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS, EVENTS, REPLAYS, WEBHOOK_ENDPOINTS
from store.webhooks import Webhooks
from tests.store.conftest import NOW, make_endpoint

KIND = EventType.APPLICATION_REFUSED
OF_ENDPOINTS = (DELIVERIES, DELIVERY_ATTEMPTS, REPLAYS, WEBHOOK_ENDPOINTS)


@pytest.fixture
async def endpoint(database: Database, scope: Scope) -> str:
    return await make_endpoint(database, scope, KIND)


@asynccontextmanager
async def announcing(database: Database, scope: Scope) -> AsyncIterator[Announced]:
    """An event that is committed at the end of the block."""
    event_id = str(uuid4())
    event = NewEvent(event_id, KIND, "sandbox", event_head(scope, KIND, "sandbox", event_id, NOW))
    async with database.writing() as writing:
        yield await announce(database, writing, scope, event, NOW)


async def announced(database: Database, scope: Scope) -> Announced:
    async with announcing(database, scope) as one:
        return one


async def waits(task: asyncio.Task[object]) -> bool:
    done, _ = await asyncio.wait([task], timeout=0.3)
    return not done


async def rows(database: Database, *tables: object) -> list[int]:
    async with database.reading() as reading:
        counts = [select(func.count()).select_from(table) for table in tables]  # type: ignore[arg-type]
        return [(await reading.execute(count)).scalar_one() for count in counts]


async def test_removal_waits_for_an_event_that_is_being_announced_and_takes_its_delivery_along(
    database: Database, scope: Scope, endpoint: str
) -> None:
    async with announcing(database, scope) as event:
        assert event.endpoints == [endpoint]
        removal = asyncio.create_task(Webhooks(database).remove(scope, endpoint))
        assert await waits(removal)
    await removal
    assert await rows(database, *OF_ENDPOINTS) == [0, 0, 0, 0]
    assert await rows(database, EVENTS) == [1]


async def test_event_that_is_announced_while_an_endpoint_goes_waits_and_is_not_due_there(
    database: Database, scope: Scope, endpoint: str
) -> None:
    other = await make_endpoint(database, scope, KIND)
    mine = WEBHOOK_ENDPOINTS.c.id == endpoint
    async with database.writing() as removing:  # as the last step does, seen from outside
        await removing.execute(select(WEBHOOK_ENDPOINTS.c.id).where(mine).with_for_update())
        event = asyncio.create_task(announced(database, scope))
        assert await waits(event)
        await removing.execute(WEBHOOK_ENDPOINTS.delete().where(mine))
    assert (await event).endpoints == [other]
    assert await rows(database, EVENTS, DELIVERIES) == [1, 1]


async def test_removal_waits_for_a_page_of_a_replay(database: Database, scope: Scope, endpoint: str) -> None:
    """Both change many deliveries, in an order of their own."""
    mine = WEBHOOK_ENDPOINTS.c.id == endpoint
    event_id = [(await announced(database, scope)).event.id for _ in range(20)][10]
    another_round = update(DELIVERIES).values(round=1)
    async with database.writing() as page:
        await page.execute(select(WEBHOOK_ENDPOINTS.c.id).where(mine).with_for_update(read=True, key_share=True))
        await page.execute(another_round.where(DELIVERIES.c.event_id == event_id))
        removal = asyncio.create_task(Webhooks(database).remove(scope, endpoint))
        assert await waits(removal)
        await page.execute(another_round)
    await removal
    assert await rows(database, *OF_ENDPOINTS) == [0, 0, 0, 0]


@pytest.mark.timeout(60)
async def test_crowd_of_events_beside_removals_loses_none_and_leaves_nothing(database: Database, scope: Scope) -> None:
    kept = await make_endpoint(database, scope, KIND)
    going = [await make_endpoint(database, scope, KIND) for _ in range(4)]

    async def announce_many() -> None:
        for _ in range(10):
            await announced(database, scope)

    removals = [Webhooks(database).remove(scope, endpoint) for endpoint in going]
    await asyncio.gather(*(announce_many() for _ in range(4)), *removals)
    assert await rows(database, EVENTS, DELIVERIES, WEBHOOK_ENDPOINTS) == [40, 40, 1]
    async with database.reading() as reading:
        assert set((await reading.execute(select(DELIVERIES.c.endpoint_id))).scalars()) == {kept}


async def test_many_rows_go_in_steps_and_others_stay(
    database: Database, scope: Scope, other: Scope, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BATCH", 2)
    stays = await make_endpoint(database, scope, KIND)
    for _ in range(5):
        event = (await announced(database, scope)).event
        for one in (endpoint, stays):
            await attempt(database, scope, event.id, one)
    async with database.writing() as writing:
        replay = {"id": "rep_1", "after_position": 0, "until_position": 5, "position": 0, "missed_only": True}
        more = {"endpoint_id": endpoint, "replayed": 0, "note": "", "started_at": NOW}
        await writing.execute(insert(REPLAYS).values(**scope.columns, **replay, **more))
        await writing.execute(update(DELIVERIES).values(status=DeliveryStatus.DELIVERED))
    await Webhooks(database).remove(other, endpoint)
    assert await rows(database, *OF_ENDPOINTS) == [10, 10, 1, 2]
    await Webhooks(database).remove(scope, endpoint)
    assert await rows(database, *OF_ENDPOINTS) == [5, 5, 0, 1]


async def attempt(database: Database, scope: Scope, event_id: str, endpoint_id: str) -> None:
    values = {"event_id": event_id, "endpoint_id": endpoint_id, "round": 0, "attempt": 1, "at": NOW, "seconds": 0.1}
    more = {"url": "https://product.example/", "method": "POST", "request_headers": {}, "status": 500, "note": "x"}
    async with database.writing() as writing:
        await writing.execute(insert(DELIVERY_ATTEMPTS).values(**scope.columns, **values, **more))
