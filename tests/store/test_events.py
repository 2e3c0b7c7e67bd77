"""Events in the order of their commits: who reads on from where they stood misses none, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import Connection as Held
from sqlalchemy import delete, text
from sqlalchemy.dialects import postgresql, sqlite

from everlink.contract import ConnectionStatus, EventType, Health, Transition
from store.connections import Connections, connection_ref
from store.database import Access, Database
from store.events import EventFilter, Events, page_query
from store.outbox import NewEvent, announce, event_head
from store.scope import Scope
from store.tables import EVENTS, Connection, Event
from tests.store.conftest import NOW, make_connection
from tests.store.processes import run_together

EVERYTHING = EventFilter()
WRITERS, EACH = 4, 40
WRITER = """
import random
from uuid import uuid4
from everlink.contract import Environment, EventType
from store.database import Database, utc_now
from store.outbox import NewEvent, announce, event_head
from store.scope import Scope

async def main(url, org, count):
    database, scope, kind = Database(url), Scope(org, Environment.TEST), EventType.APPLICATION_REFUSED
    for _ in range(int(count)):
        made = str(uuid4())
        event = NewEvent(made, kind, "sandbox", event_head(scope, kind, "sandbox", made, utc_now()))
        async with database.writing() as writing:
            await announce(database, writing, scope, event, utc_now())
            await asyncio.sleep(random.uniform(0, 0.005))
        print(made)
    await database.close()
"""


@pytest.fixture
def events(database: Database) -> Events:
    return Events(database)


async def write(
    database: Database, scope: Scope, kind: EventType, slug: str = "sandbox", *, days: int = 0, rolls_back: bool = False
) -> str:
    """An event of an application."""
    event_id, at = str(uuid4()), NOW + timedelta(days=days)
    event = NewEvent(event_id, kind, slug, event_head(scope, kind, slug, event_id, at))
    async with database.writing() as writing:
        await announce(database, writing, scope, event, at)
        if rolls_back:
            await writing.rollback()
    return event_id


async def expire(database: Database, connection: Connection, sequence: int) -> str:
    transition = Transition(
        sequence=sequence,
        at=NOW,
        previous_status=ConnectionStatus.ACTIVE,
        status=ConnectionStatus.REAUTH_REQUIRED,
        health=Health.OK,
        event=EventType.EXPIRED,
    )
    announced = await Connections(database).record(connection_ref(connection), transition, NOW)
    assert announced is not None
    return announced.event.id


async def walk(events: Events, scope: Scope, wanted: EventFilter, limit: int) -> list[Event]:
    found: list[Event] = []
    position, has_more = 0, True
    while has_more:
        page = await events.page(scope, wanted, after=position, limit=limit)
        assert len(page.events) <= limit and all(row.position <= page.position for row in page.events)
        assert page.position > position or not page.has_more
        found += page.events
        position, has_more = page.position, page.has_more
    return found


def ids(rows: Sequence[Event]) -> list[str]:
    return [row.id for row in rows]


@pytest.mark.timeout(120)
async def test_reader_who_polls_beside_many_writers_reads_every_event_once_and_in_order(
    database: Database, database_url: str, scope: Scope, events: Events
) -> None:
    writing = asyncio.create_task(run_together(WRITER, database_url, scope.org_id, str(EACH), count=WRITERS))
    seen: list[Event] = []
    position, polls_with_news = 0, 0
    while not writing.done() or len(seen) < WRITERS * EACH:
        assert not writing.done() or writing.exception() is None
        page = await events.page(scope, EVERYTHING, after=position, limit=20)
        seen, position = seen + page.events, page.position
        polls_with_news += bool(page.events)
        if writing.done() and not page.has_more:
            break
    written = [line for output in await writing for line in output.split()]
    assert len(written) == WRITERS * EACH
    assert sorted(ids(seen)) == sorted(written)
    assert [row.position for row in seen] == list(range(1, len(seen) + 1))
    assert polls_with_news > WRITERS  # it read while they wrote


async def test_pages_hold_what_the_filters_say_in_order(
    database: Database, scope: Scope, other: Scope, connection: Connection, events: Events
) -> None:
    second = await make_connection(database, scope, "grace")
    refused, accepted = EventType.APPLICATION_REFUSED, EventType.APPLICATION_ACCEPTED
    old = await write(database, scope, refused)
    mine = [await expire(database, connection, sequence) for sequence in (2, 3)]
    others = [await expire(database, second, 5)]
    await write(database, other, refused)
    new = [await write(database, scope, accepted, "slack", days=2), await write(database, scope, refused, days=3)]
    everything = [old, *mine, *others, *new]
    for wanted, expected in (
        (EVERYTHING, everything),
        (EventFilter(types=[refused]), [old, new[1]]),
        (EventFilter(types=[refused, accepted]), [old, *new]),
        (EventFilter(slug="slack"), new[:1]),
        (EventFilter(connection_id=connection.id), mine),
        (EventFilter(linked_account_id="acme"), [*mine, *others]),
        (EventFilter(linked_account_id="nobody"), []),
        (EventFilter(since=NOW + timedelta(days=2)), new),
        (EventFilter(since=NOW + timedelta(days=2), types=[refused]), new[1:]),
    ):
        for limit in (1, 2, 100):
            assert ids(await walk(events, scope, wanted, limit)) == expected, wanted
    assert [row.sequence for row in await walk(events, scope, EventFilter(connection_id=connection.id), 1)] == [2, 3]


async def test_page_that_finds_nothing_goes_on_where_the_events_ended(
    database: Database, scope: Scope, events: Events
) -> None:
    """Or who looks for what is rare would look through everything again each time."""
    for _ in range(5):
        await write(database, scope, EventType.APPLICATION_REFUSED)
    rare = EventFilter(types=[EventType.EXPIRED])
    page = await events.page(scope, rare, after=0, limit=2)
    assert (page.events, page.position, page.has_more) == ([], 5, False)
    assert await events.page(scope, rare, after=5, limit=2) == page


async def test_position_that_was_read_is_good_after_what_stood_there_is_gone(
    database: Database, scope: Scope, events: Events
) -> None:
    gone = await write(database, scope, EventType.APPLICATION_REFUSED)
    position = (await events.page(scope, EVERYTHING, after=0, limit=10)).position
    async with database.writing() as writing:
        await writing.execute(delete(EVENTS).where(EVENTS.c.id == gone))
    new = await write(database, scope, EventType.APPLICATION_REFUSED)
    assert ids((await events.page(scope, EVERYTHING, after=position, limit=10)).events) == [new]


async def test_event_that_was_taken_back_leaves_no_gap(database: Database, scope: Scope, events: Events) -> None:
    await write(database, scope, EventType.APPLICATION_REFUSED, rolls_back=True)
    await write(database, scope, EventType.APPLICATION_REFUSED)
    assert [row.position for row in await walk(events, scope, EVERYTHING, 10)] == [1]


async def test_one_event_is_its_tenants(database: Database, scope: Scope, other: Scope, events: Events) -> None:
    event_id = await write(database, scope, EventType.APPLICATION_REFUSED)
    found = await events.get(scope, event_id)
    assert found is not None and (found.position, found.body["event_id"]) == (1, event_id)
    assert await events.get(other, event_id) is None and await events.get(scope, "unknown") is None


FILL = """
INSERT INTO event (id, org_id, environment, sequence, position, type, slug, body, created_at)
SELECT 'e' || n, :org, 'test', 0, n, CASE WHEN n % 50 = 0 THEN 'Application Accepted' ELSE 'Application Refused' END,
       'sandbox', '{{}}', :now FROM {numbers}
"""
SQLITE = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s)"
POSTGRESQL = "generate_series(1, 20000) AS n"


async def test_page_is_read_along_the_index_of_positions(database: Database, scope: Scope) -> None:
    statement = text(FILL.format(numbers=SQLITE if database.is_sqlite else POSTGRESQL))
    values = {"org": scope.org_id, "now": NOW if not database.is_sqlite else NOW.isoformat(" ")}
    await database.run(Access.WRITE, lambda held: held.execute(statement, values))
    if not database.is_sqlite:  # as autovacuum does, a minute later
        await database.run(Access.READ, lambda held: held.execute(text("VACUUM ANALYZE event")))
    for wanted in (
        EVERYTHING,
        EventFilter(types=[EventType.APPLICATION_ACCEPTED]),
        EventFilter(slug="sandbox"),
        EventFilter(since=NOW),
    ):
        for after in (0, 19_000):
            query = page_query(scope, wanted, after, 20_000, 51)
            plan = await database.run(Access.READ, partial(explained, query=query))
            assert "event_position" in plan and not ("SCAN" in plan or "Seq Scan" in plan), plan
            assert wanted != EVERYTHING or not ("TEMP B-TREE" in plan or "Sort" in plan), plan


def explained(held: Held, query: object) -> str:
    is_sqlite = held.dialect.name == "sqlite"
    dialect = sqlite.dialect() if is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
    compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    how = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    return str(held.exec_driver_sql(f"{how} {compiled}").all())
