"""Deliveries are read of the newest event first, each filter from an index of its own, and each tenant its own."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from everlink.contract import DeliveryStatus, EventType
from store.database import Access, Database
from store.delivery_log import MOST_ATTEMPTS, DeliveryLog, of_endpoint_query
from store.outbox import NewEvent, announce, event_head
from store.scope import Scope
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS, EVENTS, WebhookEndpoint
from store.webhooks import EndpointDisabled, Webhooks
from tests.store.conftest import NOW
from tests.store.test_listing import explain

KIND = EventType.APPLICATION_REFUSED
FAILED = 997  # one in so many


async def add_endpoint(database: Database, scope: Scope, name: str) -> None:
    about: dict[str, Any] = {"url": "https://product.example/", "events": [KIND.value], "secret": b"sealed"}
    row = WebhookEndpoint(id=name, org_id=scope.org_id, environment=scope.environment, created_at=NOW, **about)
    await Webhooks(database).add(row)


async def announce_one(database: Database, scope: Scope, event_id: str) -> None:
    event = NewEvent(event_id, KIND, "sandbox", event_head(scope, KIND, "sandbox", event_id, NOW))
    async with database.writing() as writing:
        await announce(database, writing, scope, event, NOW)


async def set_status(database: Database, event_id: str, endpoint_id: str, status: DeliveryStatus) -> None:
    mine = (DELIVERIES.c.event_id == event_id) & (DELIVERIES.c.endpoint_id == endpoint_id)
    async with database.writing() as writing:
        await writing.execute(DELIVERIES.update().where(mine).values(status=status))


@pytest.fixture
async def log(database: Database, scope: Scope, other: Scope) -> DeliveryLog:
    """Five events at two endpoints, and another tenant's beside them."""
    for name in ("we_1", "we_2"):
        await add_endpoint(database, scope, name)
    await add_endpoint(database, other, "we_other")
    for number in range(5):
        await announce_one(database, scope, f"event-{number}")
        await announce_one(database, other, f"other-{number}")
    return DeliveryLog(database)


async def test_pages_of_an_endpoint_go_from_the_newest_to_the_oldest(
    database: Database, log: DeliveryLog, scope: Scope, other: Scope
) -> None:
    for number in (1, 3):
        await set_status(database, f"event-{number}", "we_1", DeliveryStatus.FAILED)

    async def events(status: DeliveryStatus | None, before: int | None, limit: int = 10) -> list[str]:
        found = await log.of_endpoint(scope, "we_1", status, before=before, limit=limit)
        assert {one.delivery.endpoint_id for one in found} <= {"we_1"} and {one.event for one in found} <= {KIND}
        return [one.delivery.event_id for one in found]

    assert await events(None, None, 2) == ["event-4", "event-3"]
    fourth = (await log.of_endpoint(scope, "we_1", None, before=None, limit=2))[-1].delivery.position
    assert await events(None, fourth) == ["event-2", "event-1", "event-0"]
    assert await events(DeliveryStatus.FAILED, None) == ["event-3", "event-1"]
    assert await events(DeliveryStatus.SCHEDULED, fourth) == ["event-2", "event-0"]
    assert await events(DeliveryStatus.DELIVERED, None) == []
    assert await log.of_endpoint(other, "we_1", None, before=None, limit=10) == []


async def test_event_is_looked_up_at_all_of_its_endpoints(log: DeliveryLog, scope: Scope, other: Scope) -> None:
    found = await log.of_event(scope, "event-2")
    assert found is not None and [one.delivery.endpoint_id for one in found] == ["we_1", "we_2"]
    assert await log.of_event(other, "event-2") is None and await log.of_event(scope, "never") is None
    assert await log.one(other, "event-2", "we_1") is None and await log.one(scope, "event-2", "we_other") is None
    one = await log.one(scope, "event-2", "we_2")
    assert one is not None and one.body["event_id"] == "event-2"


async def test_attempts_are_the_last_ones_in_their_order(database: Database, log: DeliveryLog, scope: Scope) -> None:
    about = {**scope.columns, "at": NOW, "seconds": 0.1, "url": "https://product.example/", "method": "POST"}
    rows = [
        {**about, "endpoint_id": endpoint, "event_id": "event-0", "round": round_, "attempt": attempt}
        for endpoint in ("we_1", "we_2")
        for round_ in range(7)
        for attempt in range(10, 0, -1)
    ]
    async with database.writing() as writing:
        values = [{**row, "request_headers": {}, "status": 500, "note": "HTTP 500", "answer": None} for row in rows]
        await writing.execute(DELIVERY_ATTEMPTS.insert(), values)
    found = [(one.round, one.attempt) for one in await log.attempts(scope, "event-0", "we_1")]
    assert len(found) == MOST_ATTEMPTS and found == sorted(found)
    assert (found[0], found[-1]) == ((2, 1), (6, 10))


async def test_test_goes_to_one_endpoint_and_is_not_announced_where_that_is_disabled(
    database: Database, log: DeliveryLog, scope: Scope
) -> None:
    webhooks = Webhooks(database)
    announced = await webhooks.announce_test(scope, "we_2", NOW)
    assert (announced.event.type, announced.endpoints) == (EventType.TEST, ["we_2"])
    assert announced.event.body["endpoint_id"] == "we_2" and announced.event.body["event"] == "Webhook Test"
    await webhooks.change(scope, "we_2", {"is_enabled": False})
    async with database.reading() as reading:
        before = (await reading.execute(EVENTS.select())).all()
    with pytest.raises(EndpointDisabled):
        await webhooks.announce_test(scope, "we_2", NOW)
    async with database.reading() as reading:
        assert (await reading.execute(EVENTS.select())).all() == before


async def test_secret_is_replaced_by_one_of_two(database: Database, log: DeliveryLog, scope: Scope) -> None:
    webhooks = Webhooks(database)
    read = await webhooks.get(scope, "we_1")
    assert read is not None
    assert await webhooks.replace_secret(scope, read, b"second", NOW)
    assert not await webhooks.replace_secret(scope, read, b"third", NOW)
    row = await webhooks.get(scope, "we_1")
    assert row is not None and (row.secret, row.previous_secret) == (b"second", b"sealed")
    assert await webhooks.replace_secret(scope, row, b"fourth", None)
    row = await webhooks.get(scope, "we_1")
    assert row is not None
    assert (row.secret, row.previous_secret, row.previous_secret_until) == (b"fourth", None, None)


async def test_page_is_read_from_an_index_in_its_order(database: Database, log: DeliveryLog, scope: Scope) -> None:
    await fill(database, scope, 10_000)
    assert len(await log.of_endpoint(scope, "we_1", DeliveryStatus.FAILED, before=None, limit=100)) == 10_000 // FAILED
    for status in (None, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED):
        query = of_endpoint_query(scope, "we_1", status, before=5_000, limit=50)
        how = "QUERY PLAN" if database.is_sqlite else ""
        plan = await database.run(Access.READ, lambda held, query=query, how=how: str(explain(held, query, how)))
        index = "failed_delivery" if status is DeliveryStatus.FAILED else "delivery_of_endpoint"
        assert index in plan and "TEMP B-TREE" not in plan and "Sort" not in plan and "Seq Scan" not in plan, plan


async def fill(database: Database, scope: Scope, count: int) -> None:
    """So many events at one endpoint: nearly all are delivered."""
    about = {**scope.columns, "position": 0}
    event = {**about, "sequence": 0, "type": KIND.value, "slug": "sandbox", "body": {}, "created_at": NOW}
    delivery = {**about, "endpoint_id": "we_1", "status": DeliveryStatus.DELIVERED, "round": 0, "attempts": 1}
    delivery |= {"last_note": "", "updated_at": NOW}
    for first in range(1, count, 1000):
        numbers = range(first, first + 1000)
        events = [{**event, "id": f"e-{number}", "position": 100 + number} for number in numbers]
        deliveries = [{**delivery, "event_id": f"e-{number}", "position": 100 + number} for number in numbers]
        for row, number in zip(deliveries, numbers, strict=True):
            row["status"] = DeliveryStatus.DELIVERED if number % FAILED else DeliveryStatus.FAILED
        async with database.writing() as writing:
            await writing.execute(EVENTS.insert(), events)
            await writing.execute(DELIVERIES.insert(), deliveries)
    if not database.is_sqlite:
        await database.run(Access.READ, lambda held: held.execute(text("VACUUM ANALYZE event, delivery")))
