"""What another round begins with, who is in it, and what two who ask at once make of it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, select, update

from everlink.contract import DeliveryStatus, EventType, ReplayTask
from store import replays as module
from store.database import Database
from store.outbox import NewEvent, announce, event_head
from store.replays import Replays, ReplayUnderWay, on_their_way_query, replay_task
from store.scope import Scope
from store.tables import DELIVERIES, WEBHOOK_ENDPOINTS, Delivery
from store.webhooks import EndpointDisabled, Webhooks
from tests.store.conftest import NOW, make_endpoint

REFUSED, ACCEPTED = EventType.APPLICATION_REFUSED, EventType.APPLICATION_ACCEPTED
LATER = NOW + timedelta(hours=1)
SCHEDULED, DELIVERED, FAILED = DeliveryStatus.SCHEDULED, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED


@pytest.fixture
def replays(database: Database) -> Replays:
    return Replays(database)


@pytest.fixture
async def endpoint(database: Database, scope: Scope) -> str:
    return await make_endpoint(database, scope, REFUSED)


async def happen(database: Database, scope: Scope, kind: EventType = REFUSED, *, days: int = 0) -> str:
    """An event, due at whichever endpoints are enabled now."""
    event_id, at = str(uuid4()), NOW + timedelta(days=days)
    made = NewEvent(event_id, kind, "sandbox", event_head(scope, kind, "sandbox", event_id, at))
    async with database.writing() as writing:
        await announce(database, writing, scope, made, at)
    return event_id


async def close(database: Database, status: DeliveryStatus, *events: str) -> None:
    values = {"status": status, "attempts": 10, "last_note": "the endpoint answered HTTP 500", "next_attempt_at": None}
    async with database.writing() as writing:
        await writing.execute(update(DELIVERIES).where(DELIVERIES.c.event_id.in_(events)).values(values))


async def failed_for_now(database: Database, next_at: datetime, *events: str) -> None:
    values = {"attempts": 3, "last_note": "HTTP 500", "next_attempt_at": next_at}
    async with database.writing() as writing:
        await writing.execute(update(DELIVERIES).where(DELIVERIES.c.event_id.in_(events)).values(values))


async def enable(database: Database, endpoint: str, is_enabled: bool) -> None:
    async with database.writing() as writing:
        mine = WEBHOOK_ENDPOINTS.c.id == endpoint
        await writing.execute(update(WEBHOOK_ENDPOINTS).where(mine).values(is_enabled=is_enabled))


async def deliveries(database: Database) -> dict[str, Delivery]:
    async with database.reading() as reading:
        rows = (await reading.execute(select(DELIVERIES))).all()
    return {row.event_id: Delivery(**row._mapping) for row in rows}


async def begin(replays: Replays, scope: Scope, endpoint: str, **given: Any) -> ReplayTask:
    begun = await replays.begin(scope, endpoint, LATER, **given)
    assert begun is not None
    return replay_task(begun)


async def to_the_end(replays: Replays, task: ReplayTask) -> int:
    """How many events are sent again."""
    while not (page := await replays.page(task, LATER)).is_over:
        pass
    await replays.finish(task, page.note, LATER)
    return page.replayed


# One event


async def test_closed_delivery_begins_another_round_from_the_start(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    failed, delivered = [await happen(database, scope) for _ in range(2)]
    await close(database, FAILED, failed)
    await close(database, DELIVERED, delivered)
    for event_id in (failed, delivered):
        row = await replays.one(scope, event_id, endpoint, LATER)
        assert row is not None
        assert (row.status, row.round, row.attempts, row.last_note) == (SCHEDULED, 1, 0, "")
        assert (row.next_attempt_at, row.updated_at, row.replay_id) == (LATER, LATER, None)
        assert row == (await deliveries(database))[event_id]


async def test_delivery_on_its_way_is_left_as_it_is(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    event_id = await happen(database, scope)
    before = await deliveries(database)
    assert await replays.one(scope, event_id, endpoint, LATER) == before[event_id]
    assert await deliveries(database) == before


async def test_delivery_that_waits_for_its_next_attempt_is_sent_now(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    one, other, trying = [await happen(database, scope) for _ in range(3)]
    await failed_for_now(database, LATER + timedelta(hours=24), one, other)
    await failed_for_now(database, LATER, trying)  # that request may be under way
    for _ in range(2):
        row = await replays.one(scope, one, endpoint, LATER)
        assert row is not None
        assert (row.status, row.round, row.attempts, row.next_attempt_at) == (SCHEDULED, 1, 0, LATER)
    assert await to_the_end(replays, await begin(replays, scope, endpoint)) == 1
    rounds = {event_id: row.round for event_id, row in (await deliveries(database)).items()}
    assert rounds == {one: 1, other: 1, trying: 0}


async def test_event_that_was_never_due_there_gets_its_first_round(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    event_id = await happen(database, scope, ACCEPTED)
    assert await deliveries(database) == {}
    row = await replays.one(scope, event_id, endpoint, LATER)
    assert row is not None and (row.status, row.round, row.position) == (SCHEDULED, 0, 1)


async def test_many_who_ask_at_once_make_one_round(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    closed, never = await happen(database, scope), await happen(database, scope, ACCEPTED)
    await close(database, DELIVERED, closed)
    for event_id, round_ in ((closed, 1), (never, 0)):
        rows = await asyncio.gather(*(replays.one(scope, event_id, endpoint, LATER) for _ in range(8)))
        assert {row.round if row else None for row in rows} == {round_}


async def test_nothing_is_sent_again_to_a_disabled_endpoint_or_for_another_tenant(
    database: Database, scope: Scope, other: Scope, replays: Replays, endpoint: str
) -> None:
    event_id = await happen(database, scope)
    await close(database, FAILED, event_id)
    before = await deliveries(database)
    for whose, what, where in (
        (other, event_id, endpoint),
        (scope, "unknown", endpoint),
        (scope, event_id, "unknown"),
        (scope, await happen(database, other), endpoint),
    ):
        assert await replays.one(whose, what, where, LATER) is None
    assert await replays.begin(other, endpoint, LATER) is None
    await enable(database, endpoint, False)
    with pytest.raises(EndpointDisabled):
        await replays.one(scope, event_id, endpoint, LATER)
    with pytest.raises(EndpointDisabled):
        await replays.begin(scope, endpoint, LATER)
    assert await deliveries(database) == before


# Many events


async def test_what_was_missed_is_sent_again_and_what_was_delivered_only_on_request(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    failed, delivered, on_its_way = [await happen(database, scope) for _ in range(3)]
    unwanted = await happen(database, scope, ACCEPTED)
    await enable(database, endpoint, False)
    missed = await happen(database, scope)
    await enable(database, endpoint, True)
    await close(database, FAILED, failed)
    await close(database, DELIVERED, delivered)

    first = await begin(replays, scope, endpoint)
    later = await happen(database, scope)  # it is sent as ever
    assert await to_the_end(replays, first) == 2
    rows = await deliveries(database)
    assert unwanted not in rows
    assert {one: (row.status, row.round) for one, row in rows.items()} == {
        failed: (SCHEDULED, 1),
        delivered: (DELIVERED, 0),
        on_its_way: (SCHEDULED, 0),
        missed: (SCHEDULED, 0),
        later: (SCHEDULED, 0),
    }
    assert [one for one, row in rows.items() if row.replay_id == first.id] == [failed, missed]

    await close(database, DELIVERED, failed, missed)
    assert await to_the_end(replays, await begin(replays, scope, endpoint)) == 0
    assert await to_the_end(replays, await begin(replays, scope, endpoint, missed_only=False)) == 3
    rounds = {one: row.round for one, row in (await deliveries(database)).items()}
    assert rounds == {failed: 2, delivered: 1, on_its_way: 0, missed: 1, later: 0}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"after": 2}, [2, 3]),
        ({"since": NOW + timedelta(days=1)}, [1, 2, 3]),
        ({"since": NOW + timedelta(days=1), "after": 3}, [3]),
        ({"since": NOW + timedelta(days=3), "after": 1}, [3]),
        ({"after": 2**63 - 1}, []),
        ({"since": NOW + timedelta(days=400)}, []),
    ],
)
async def test_replay_begins_where_it_is_told(
    database: Database, scope: Scope, replays: Replays, endpoint: str, given: dict[str, Any], expected: list[int]
) -> None:
    events = [await happen(database, scope, days=day) for day in range(4)]
    await close(database, FAILED, *events)
    assert await to_the_end(replays, await begin(replays, scope, endpoint, **given)) == len(expected)
    rows = await deliveries(database)
    assert [number for number, one in enumerate(events) if rows[one].round == 1] == expected


async def test_one_replay_at_a_time_for_each_endpoint(scope: Scope, replays: Replays, endpoint: str) -> None:
    asked = [replays.begin(scope, endpoint, LATER) for _ in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    [begun] = [answer for answer in answers if not isinstance(answer, ReplayUnderWay)]
    assert not isinstance(begun, BaseException) and begun is not None
    assert [row.id for row in await replays.unfinished("", 10)] == [begun.id]
    await to_the_end(replays, replay_task(begun))
    assert await replays.unfinished("", 10) == []
    await begin(replays, scope, endpoint)


async def test_event_that_is_being_announced_when_a_replay_begins_is_missed_or_due_but_not_lost(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    """It found the endpoint disabled; then that was enabled, and the replay begun, before it was committed."""
    await enable(database, endpoint, False)
    event_id = str(uuid4())
    made = NewEvent(event_id, REFUSED, "sandbox", event_head(scope, REFUSED, "sandbox", event_id, NOW))

    async def enabled_and_begun() -> ReplayTask:
        await enable(database, endpoint, True)
        return await begin(replays, scope, endpoint)

    async with database.writing() as writing:
        assert (await announce(database, writing, scope, made, NOW)).endpoints == []
        beginning = asyncio.create_task(enabled_and_begun())
        done, _ = await asyncio.wait([beginning], timeout=0.3)
        assert not done
    assert await to_the_end(replays, await beginning) == 1
    assert (await deliveries(database))[event_id].status is SCHEDULED


async def test_replay_that_begins_while_the_endpoint_is_disabled_waits_for_it_and_is_refused(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    """An attempt that disables an endpoint holds it, and then announces that."""
    disabled = update(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == endpoint).values(is_enabled=False)
    event_id = str(uuid4())
    made = NewEvent(event_id, REFUSED, "sandbox", event_head(scope, REFUSED, "sandbox", event_id, NOW))
    async with database.writing() as writing:
        await writing.execute(disabled)
        beginning = asyncio.create_task(begin(replays, scope, endpoint))
        done, _ = await asyncio.wait([beginning], timeout=0.3)
        assert not done
        await announce(database, writing, scope, made, NOW)
    with pytest.raises(EndpointDisabled):
        await beginning


async def test_pages_wait_while_the_endpoint_has_enough_on_its_hands(
    database: Database, scope: Scope, replays: Replays, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    monkeypatch.setattr(module, "MOST_ON_THEIR_WAY", 3)
    events = [await happen(database, scope) for _ in range(7)]
    await close(database, FAILED, *events)
    task = await begin(replays, scope, endpoint)
    pages = [await replays.page(task, LATER) for _ in range(4)]
    assert [(page.position, page.replayed, page.is_full) for page in pages] == [
        (2, 2, False), (4, 4, False), (4, 4, True), (4, 4, True),
    ]  # fmt: skip
    assert [one.task.event_id for one in await replays.to_start(task, 2)] == events[2:4]
    assert {one.task.round for one in await replays.to_start(task, 0)} == {1}
    await close(database, DELIVERED, *events[:2])
    assert [one.task.event_id for one in await replays.to_start(task, 0)] == events[2:4]
    page = await replays.page(task, LATER)
    assert (page.position, page.is_full, page.is_over) == (6, False, False)
    await close(database, FAILED, *events[2:4])
    assert (await replays.page(task, LATER)).is_over
    found = await replays.get(scope, task.id)
    assert found is not None and found[0].replayed == 7
    assert found[1] == {DELIVERED: 2, FAILED: 2, SCHEDULED: 3}


async def test_replay_stops_where_the_endpoint_is_disabled_or_removed(
    database: Database, scope: Scope, replays: Replays, endpoint: str
) -> None:
    event_id = await happen(database, scope)
    await close(database, FAILED, event_id)
    task = await begin(replays, scope, endpoint)
    await enable(database, endpoint, False)
    page = await replays.page(task, LATER)
    assert (page.is_over, page.replayed, page.note) == (True, 0, "stopped: the endpoint was disabled")
    assert (await deliveries(database))[event_id].round == 0
    await Webhooks(database).remove(scope, endpoint)
    page = await replays.page(task, LATER)
    assert (page.is_over, page.note) == (True, "the endpoint was removed")
    await replays.finish(task, page.note, LATER)
    assert await replays.get(scope, task.id) is None


async def test_what_a_replay_looks_at_is_found_by_its_indexes(sqlite_url: str) -> None:
    store = Database(sqlite_url)
    asked: list[tuple[str, Any]] = []
    event.listen(store._engine.sync_engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    task = ReplayTask(id="rep_1", org_id="org", environment="test", endpoint_id="we_1")
    await Replays(store).to_start(task, 0)
    await Replays(store).get(Scope.of(task), task.id)
    async with store.reading() as reading:
        await reading.execute(on_their_way_query(task.id, 200))
    queries = [call for call in asked if call[0].startswith("SELECT")]
    async with store.reading() as reading:
        plans = [
            str((await reading.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)).all()) for sql, given in queries
        ]
    await store.close()
    assert len(plans) == 4 and all("delivery_of_replay" in plans[number] for number in (0, 2, 3))
    assert "replay_id=? AND status=?" in plans[3]  # not what is closed already
    assert not any("SCAN" in plan for plan in plans), plans
