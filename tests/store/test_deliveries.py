"""What an attempt means for its delivery and for the endpoint, on both databases, however many come at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Row, Table, select, update

from everlink.contract import DeliveryStatus, DeliveryTask, DisabledReason, EventType
from store.database import Database, utc_now
from store.deliveries import Deliveries
from store.outbox import Announced, NewEvent, announce, event_head
from store.replays import Replays
from store.scope import Scope
from store.tables import (
    DELIVERIES,
    DELIVERY_ATTEMPTS,
    EVENT_COUNTERS,
    EVENTS,
    WEBHOOK_ENDPOINTS,
    DeliveryAttempt,
)
from store.webhooks import Webhooks
from tests.store.conftest import make_endpoint

ENDPOINT = "we_1"


@dataclass
class Desk:
    """One endpoint that events are due at, and another that listens for its end."""

    database: Database
    scope: Scope
    now: datetime = field(default_factory=utc_now)

    @property
    def deliveries(self) -> Deliveries:
        return Deliveries(self.database)

    async def add_endpoint(self, endpoint_id: str, event: EventType) -> None:
        url = f"https://{endpoint_id}.example/"
        await make_endpoint(self.database, self.scope, event, id=endpoint_id, now=self.now, url=url)

    async def event(self) -> DeliveryTask:
        kind, event_id = EventType.APPLICATION_REFUSED, str(uuid4())
        body = event_head(self.scope, kind, "sandbox", event_id, self.now)
        async with self.database.writing() as connection:
            event = NewEvent(event_id, kind, "sandbox", body)
            announced = await announce(self.database, connection, self.scope, event, self.now)
        assert announced.endpoints == [ENDPOINT]
        return DeliveryTask(**self.scope._asdict(), event_id=event_id, endpoint_id=ENDPOINT)

    async def attempt(
        self, task: DeliveryTask, status: int | None, number: int = 1, *, last: bool = False, note: str = ""
    ) -> Announced | None:
        """One attempt that ends at the desk's time."""
        attempt = DeliveryAttempt(
            event_id=task.event_id,
            endpoint_id=task.endpoint_id,
            round=task.round,
            attempt=number,
            **self.scope._asdict(),
            at=self.now,
            seconds=0.5,
            url="https://we_1.example/",
            method="POST",
            request_headers={"webhook-id": task.event_id},
            status=status,
            note=note or f"HTTP {status}",
            answer=b"sealed",
        )
        delivered = status == 200
        next_at = None if delivered or last or status == 410 else self.now + timedelta(minutes=5)
        return await self.deliveries.attempted(task, attempt, delivered=delivered, next_at=next_at, now=self.now)

    async def rows(self, table: Table) -> list[Row[Any]]:
        async with self.database.reading() as read:
            return list((await read.execute(select(table))).all())

    async def delivery(self, task: DeliveryTask) -> Row[Any]:
        [row] = [row for row in await self.rows(DELIVERIES) if (row.event_id, row.endpoint_id) == key_of(task)]
        return row

    async def endpoint(self) -> Row[Any]:
        [row] = [row for row in await self.rows(WEBHOOK_ENDPOINTS) if row.id == ENDPOINT]
        return row

    async def replay(self, task: DeliveryTask) -> DeliveryTask:
        """As a replay leaves the row."""
        values = {"status": DeliveryStatus.SCHEDULED, "round": task.round + 1, "attempts": 0}
        async with self.database.writing() as writing:
            await writing.execute(update(DELIVERIES).where(DELIVERIES.c.event_id == task.event_id).values(values))
        return task.model_copy(update={"round": task.round + 1})


def key_of(task: DeliveryTask) -> tuple[str, str]:
    return task.event_id, task.endpoint_id


@pytest.fixture
async def desk(database: Database, scope: Scope) -> Desk:
    made = Desk(database, scope)
    await made.add_endpoint(ENDPOINT, EventType.APPLICATION_REFUSED)
    await made.add_endpoint("we_2", EventType.CREATED)
    return made


async def test_failed_attempt_is_kept_with_the_time_of_the_next(desk: Desk) -> None:
    task = await desk.event()
    assert await desk.attempt(task, 503) is None
    row = await desk.delivery(task)
    assert (row.status, row.attempts, row.last_note) == ("scheduled", 1, "HTTP 503")
    assert row.next_attempt_at == desk.now + timedelta(minutes=5)
    [kept] = await desk.rows(DELIVERY_ATTEMPTS)
    assert (kept.attempt, kept.round, kept.status, kept.at, kept.seconds) == (1, 0, 503, desk.now, 0.5)


async def test_attempt_whose_acknowledgement_was_lost_makes_no_second_row(desk: Desk) -> None:
    task = await desk.event()
    for status in (503, 500):
        await desk.attempt(task, status)
    [kept] = await desk.rows(DELIVERY_ATTEMPTS)
    assert kept.status == 500
    assert (await desk.delivery(task)).attempts == 1


@pytest.mark.parametrize(("status", "ended"), [(200, "delivered"), (503, "failed"), (410, "failed")])
async def test_last_attempt_ends_the_delivery_and_nothing_is_due_after_it(desk: Desk, status: int, ended: str) -> None:
    task = await desk.event()
    await desk.attempt(task, status, number=10, last=True)
    row = await desk.delivery(task)
    assert (row.status, row.attempts, row.next_attempt_at) == (ended, 10, None)
    assert await desk.deliveries.due(task) is None
    await desk.attempt(task, 500, number=11)  # of a worker that was late
    await desk.deliveries.closed(task, delivered=False, note="late", now=desk.now)
    assert await desk.delivery(task) == row and len(await desk.rows(DELIVERY_ATTEMPTS)) == 1


async def test_older_round_neither_sends_nor_writes(desk: Desk) -> None:
    old = await desk.event()
    await desk.attempt(old, 503)
    new = await desk.replay(old)
    row = await desk.delivery(old)
    assert await desk.deliveries.due(old) is None and await desk.deliveries.due(new) is not None
    await desk.attempt(old, 200, number=2)
    await desk.deliveries.postponed(old, desk.now + timedelta(days=1))
    await desk.deliveries.closed(old, delivered=True, note="late", now=desk.now)
    assert await desk.delivery(old) == row and len(await desk.rows(DELIVERY_ATTEMPTS)) == 1
    await desk.attempt(new, 200)
    assert (await desk.delivery(new)).status == "delivered"
    assert sorted((row.round, row.status) for row in await desk.rows(DELIVERY_ATTEMPTS)) == [(0, 503), (1, 200)]


async def test_another_tenant_moves_nothing(desk: Desk, other: Scope) -> None:
    task = await desk.event()
    theirs = task.model_copy(update=other._asdict())
    assert await desk.deliveries.due(theirs) is None
    before = await desk.delivery(task), await desk.endpoint()
    await desk.attempt(theirs, 410)
    await desk.deliveries.closed(theirs, delivered=True, note="", now=desk.now)
    assert (await desk.delivery(task), await desk.endpoint()) == before


async def test_attempt_at_an_endpoint_that_was_removed_leaves_nothing(desk: Desk) -> None:
    task = await desk.event()
    await Webhooks(desk.database).remove(desk.scope, ENDPOINT)
    assert await desk.deliveries.due(task) is None
    assert await desk.attempt(task, 503) is None
    assert await desk.rows(DELIVERY_ATTEMPTS) == []


async def test_success_ends_a_series_of_failures(desk: Desk) -> None:
    began = desk.now
    await desk.attempt(await desk.event(), 503)
    desk.now += timedelta(days=1)
    await desk.attempt(await desk.event(), None)
    endpoint = await desk.endpoint()
    assert (endpoint.failing_since, endpoint.failed_at) == (began, desk.now)
    await desk.attempt(await desk.event(), 200)
    endpoint = await desk.endpoint()
    assert (endpoint.failing_since, endpoint.failed_at, endpoint.is_enabled) == (None, None, True)


async def test_gone_endpoint_is_disabled_at_once_and_the_others_told(desk: Desk) -> None:
    task = await desk.event()
    announced = await desk.attempt(task, 410)
    assert announced is not None and announced.endpoints == ["we_2"]
    endpoint = await desk.endpoint()
    assert (endpoint.is_enabled, endpoint.disabled_reason, endpoint.disabled_at) == (
        False,
        DisabledReason.GONE,
        desk.now,
    )
    body = announced.event.body
    assert body == {
        "org_id": desk.scope.org_id,
        "environment": "test",
        "type": "General",
        "event": "Webhook Endpoint Disabled",
        "slug": "",
        "createdAt": body["createdAt"],
        "event_id": announced.event.id,
        "endpoint_id": ENDPOINT,
        "url": "https://we_1.example/",
        "reason": "gone",
        "disabled_at": desk.now.isoformat(),
    }


async def test_endpoint_that_fails_for_five_days_is_disabled(desk: Desk) -> None:
    task = await desk.event()
    for number in range(1, 6):
        assert await desk.attempt(task, 503, number) is None
        desk.now += timedelta(days=1)
    announced = await desk.attempt(task, 503, number=6)
    assert announced is not None and announced.event.body["reason"] == "failing"
    assert (await desk.delivery(task)).status == "failed"
    assert not (await desk.endpoint()).is_enabled


async def test_failures_that_are_days_apart_are_no_series(desk: Desk) -> None:
    for _ in range(5):
        assert await desk.attempt(await desk.event(), 503) is None
        assert (await desk.endpoint()).failing_since == desk.now
        desk.now += timedelta(days=2, seconds=1)


async def test_of_many_failures_at_once_one_disables_and_announces(desk: Desk) -> None:
    tasks = [await desk.event() for _ in range(8)]
    await desk.attempt(tasks[0], 503)
    for _ in range(5):
        desk.now += timedelta(days=1)
        announced = await asyncio.gather(*[desk.attempt(task, 503, number=2) for task in tasks])
    assert sum(one is not None for one in announced) == 1
    kinds = [row.type for row in await desk.rows(EVENTS)]
    assert kinds.count("Webhook Endpoint Disabled") == 1
    told = [row for row in await desk.rows(DELIVERIES) if row.endpoint_id == "we_2"]
    assert len(told) == 1


async def test_endpoint_that_its_owner_disabled_is_not_disabled_again(desk: Desk) -> None:
    task = await desk.event()
    await Webhooks(desk.database).change(desk.scope, ENDPOINT, {"is_enabled": False})
    assert await desk.attempt(task, 410) is None
    endpoint = await desk.endpoint()
    assert (endpoint.disabled_reason, endpoint.disabled_at) == (None, None)


async def test_what_the_former_address_answers_says_nothing_of_the_new_one(desk: Desk) -> None:
    """An attempt was on its way when the address was changed."""
    tasks = [await desk.event() for _ in range(2)]
    await Webhooks(desk.database).change(desk.scope, ENDPOINT, {"url": "https://moved.example/"})
    assert await desk.attempt(tasks[0], 410) is None
    endpoint = await desk.endpoint()
    assert (endpoint.is_enabled, endpoint.disabled_reason, endpoint.failing_since) == (True, None, None)
    failing = {"failing_since": desk.now, "failed_at": desk.now}
    await Webhooks(desk.database).change(desk.scope, ENDPOINT, failing)
    await desk.attempt(tasks[1], 200)
    assert (await desk.endpoint()).failing_since == desk.now


async def test_delivery_ends_where_the_endpoint_is_disabled(desk: Desk) -> None:
    task = await desk.event()
    await Webhooks(desk.database).change(desk.scope, ENDPOINT, {"is_enabled": False})
    assert await desk.deliveries.refused(task, "the endpoint is disabled", desk.now)
    row = await desk.delivery(task)
    assert (row.status, row.last_note, row.next_attempt_at) == ("failed", "the endpoint is disabled", None)
    replayed = await desk.replay(task)
    assert not await desk.deliveries.refused(task, "the endpoint is disabled", desk.now)
    assert (await desk.delivery(replayed)).status == "scheduled"


async def test_delivery_goes_on_where_the_endpoint_is_enabled_at_that_moment(desk: Desk) -> None:
    """A replay that has begun since then has left it as it is."""
    task = await desk.event()
    await Webhooks(desk.database).change(desk.scope, ENDPOINT, {"is_enabled": False})
    due = await desk.deliveries.due(task)
    assert due is not None and not due.is_enabled
    await Webhooks(desk.database).change(desk.scope, ENDPOINT, {"is_enabled": True})
    assert not await desk.deliveries.refused(task, "the endpoint is disabled", desk.now)
    assert (await desk.delivery(task)).status == "scheduled"


async def test_attempts_and_a_removal_at_once_end_without_a_deadlock(desk: Desk) -> None:
    tasks = [await desk.event() for _ in range(12)]
    ends: list[Any] = await asyncio.gather(
        *[desk.attempt(task, 503) for task in tasks[:6]],
        Webhooks(desk.database).remove(desk.scope, ENDPOINT),
        *[desk.attempt(task, 410) for task in tasks[6:]],
        return_exceptions=True,
    )
    assert [end for end in ends if isinstance(end, Exception)] == []
    assert [row for row in await desk.rows(WEBHOOK_ENDPOINTS) if row.id == ENDPOINT] == []
    assert await desk.rows(DELIVERY_ATTEMPTS) == []


async def test_replay_that_begins_while_its_endpoint_is_disabled_waits_without_a_deadlock(desk: Desk) -> None:
    """Both need the endpoint and the tenant's counter of events, which is held by who announces an event."""
    task = await desk.event()
    async with desk.database.writing() as announcing:
        await announcing.execute(select(EVENT_COUNTERS).where(desk.scope.owns(EVENT_COUNTERS)).with_for_update())
        replay = asyncio.create_task(Replays(desk.database).begin(desk.scope, ENDPOINT, desk.now))
        await asyncio.wait([replay], timeout=0.3)
        attempt = asyncio.create_task(desk.attempt(task, 410))
        await asyncio.wait([attempt], timeout=0.3)
        assert not replay.done() and not attempt.done()
    begun, announced = await replay, await attempt
    assert begun is not None and begun.until_position == 1
    assert announced is not None and not (await desk.endpoint()).is_enabled
