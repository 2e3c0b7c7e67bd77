"""What upkeep finds, page by page, and what it leaves alone."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, update

from everlink.contract import (
    ConnectionState,
    ConnectionStatus,
    EventType,
    Health,
    Lifetimes,
    ReauthReason,
    Transition,
)
from store.alarms import Alarms
from store.connections import Connections, connection_ref
from store.credentials import Credentials
from store.database import Database
from store.scope import Scope
from store.starting import start_options
from store.strays import Strays
from store.tables import CONNECTIONS, CREDENTIALS, DELIVERIES, WEBHOOK_ENDPOINTS, Connection
from store.tenants import Tenants
from tests.store.conftest import NOW, make_connection, make_endpoint

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def strays(database: Database) -> Strays:
    return Strays(database)


@pytest.fixture
async def deliveries(database: Database, scope: Scope, connection: Connection) -> list[tuple[str, str]]:
    """Three events, each on its way to two endpoints; their keys in order."""
    for number in range(2):
        await make_endpoint(database, scope, EventType.CREATED, id=f"we_{number}")
    keys = []
    for sequence in (1, 2, 3):
        transition = Transition(
            sequence=sequence,
            at=NOW,
            previous_status=ConnectionStatus.PENDING,
            status=ConnectionStatus.ACTIVE,
            health=Health.OK,
            event=EventType.CREATED,
        )
        announced = await Connections(database).record(connection_ref(connection), transition, NOW)
        assert announced is not None
        keys += [(announced.event.id, endpoint) for endpoint in announced.endpoints]
    return sorted(keys)


async def plan(database: Database, key: tuple[str, str], **values: object) -> None:
    async with database.writing() as writing:
        mine = (DELIVERIES.c.event_id == key[0]) & (DELIVERIES.c.endpoint_id == key[1])
        await writing.execute(update(DELIVERIES).where(mine).values(values))


async def test_delivery_is_overdue_two_minutes_after_its_next_attempt(
    strays: Strays, deliveries: list[tuple[str, str]]
) -> None:
    assert await strays.deliveries(NOW + timedelta(minutes=2), ("", ""), 10) == []
    found = await strays.deliveries(NOW + timedelta(minutes=2, seconds=1), ("", ""), 10)
    assert [(one.task.event_id, one.task.endpoint_id) for one in found] == deliveries
    told = {(one.event, one.task.attempts, one.slug, one.linked_account_id) for one in found}
    assert told == {("Connection Created", 0, "sandbox", "acme")}


async def test_overdue_delivery_of_an_application_is_found_too(
    strays: Strays, database: Database, scope: Scope, deliveries: list[tuple[str, str]]
) -> None:
    await Tenants(database).enable_application(scope, "sandbox", {"client_id": "x"}, NOW)
    async with database.writing() as writing:
        await writing.execute(update(WEBHOOK_ENDPOINTS).values(events=["Application Refused"]))
    announced = await Alarms(database).change(scope, "sandbox", "refused", NOW)
    assert announced is not None
    found = [one for one in await strays.deliveries(LATER, ("", ""), 10) if one.task.event_id == announced.event.id]
    assert sorted(one.task.endpoint_id for one in found) == sorted(announced.endpoints) != []
    assert {(Scope.of(one.task), one.slug, one.linked_account_id) for one in found} == {(scope, "sandbox", None)}


async def test_deliveries_come_in_pages_without_a_gap_or_a_twin(
    strays: Strays, deliveries: list[tuple[str, str]]
) -> None:
    after, seen = ("", ""), []
    while page := await strays.deliveries(LATER, after, 2):
        seen += [(one.task.event_id, one.task.endpoint_id) for one in page]
        after = seen[-1]
    assert seen == deliveries


async def test_closed_delivery_is_left_and_one_that_plans_nothing_is_found(
    strays: Strays, database: Database, deliveries: list[tuple[str, str]]
) -> None:
    delivered, failed, unplanned, ahead, *others = deliveries
    await plan(database, delivered, status="delivered")
    await plan(database, failed, status="failed")
    await plan(database, unplanned, next_attempt_at=None, round=2, attempts=10)  # cut off before it was closed
    await plan(database, ahead, next_attempt_at=LATER)
    found = await strays.deliveries(LATER, ("", ""), 10)
    assert [(one.task.event_id, one.task.endpoint_id) for one in found] == [unplanned, *others]
    assert (found[0].task.round, found[0].task.attempts) == (2, 10)


async def test_overdue_is_what_is_active_and_well_and_expired_a_while_ago(
    strays: Strays, database: Database, scope: Scope
) -> None:
    long_ago = LATER - timedelta(minutes=15, seconds=1)

    async def make(
        name: str,
        *,
        status: ConnectionStatus = ConnectionStatus.ACTIVE,
        health: Health = Health.OK,
        renewable: bool = True,
        expires_at: datetime | None = long_ago,
    ) -> str:
        row = await make_connection(database, scope, name)
        await Credentials(database).grant(scope, row.id, b"x", renewable=renewable, expires_at=expires_at, now=NOW)
        async with database.writing() as writing:
            await writing.execute(
                update(CONNECTIONS).where(CONNECTIONS.c.id == row.id).values(status=status, health=health)
            )
        return row.id

    found = [await make("one"), await make("two")]
    await make("just expired", expires_at=LATER - timedelta(minutes=15))
    await make("known to fail", health=Health.DEGRADED)
    await make("the customer's turn", status=ConnectionStatus.REAUTH_REQUIRED)
    await make("never lived", status=ConnectionStatus.PENDING)
    await make("ended", status=ConnectionStatus.DISCONNECTED)
    await make("nothing to renew it with", renewable=False)
    await make("never expires", expires_at=None)
    [first] = await strays.overdue(LATER, "", 1)
    [second] = await strays.overdue(LATER, first.connection.id, 10)
    assert [first.connection.id, second.connection.id] == sorted(found)


async def test_unconfirmed_grant_of_an_ended_connection_is_left_to_its_purge(
    strays: Strays, database: Database, connection: Connection
) -> None:
    [held] = await strays.unconfirmed("", 10)
    assert (held.connection.id, held.unconfirmed, held.stored.sealed) == (connection.id, 1, b"sealed")
    async with database.writing() as writing:
        await writing.execute(update(CONNECTIONS).values(status=ConnectionStatus.DISCONNECTED))
    assert await strays.unconfirmed("", 10) == []


@pytest.mark.parametrize("parts", [1, 7, 60])
async def test_every_part_of_the_fleet_is_a_share_and_together_they_are_all(
    strays: Strays, database: Database, scope: Scope, connection: Connection, parts: int
) -> None:
    template = {"status_since": NOW, "created_at": NOW, "identifier": "x", "auth_type": "oauth2", "health": "ok"}
    odd = ("con_", "con_ffff", "con_zzz", "a", "zoo")  # ids that another release may have made
    ids = [*(f"con_{number * 512:04x}00" for number in range(128)), *odd]
    async with database.writing() as writing:
        common = {**template, **scope.columns, "linked_account_id": "acme", "slug": "sandbox", "sequence": 1}
        await writing.execute(
            insert(CONNECTIONS), [{**common, "id": one, "identifier": one, "status": "active"} for one in ids]
        )
        held = {**scope.columns, "generation": 1, "sealed": b"x", "renewable": True, "updated_at": NOW}
        await writing.execute(insert(CREDENTIALS), [{**held, "connection_id": one} for one in ids])
    found = [[held.connection.id for held in await strays.part(part, parts, "", 1000)] for part in range(parts)]
    assert sorted(itertools.chain(*found)) == sorted(ids)  # without the fixture's, which is pending
    assert all(len(share) <= 128 // parts + 2 + len(odd) for share in found)


async def test_ended_connection_belongs_to_the_fleet_until_it_is_purged(
    strays: Strays, database: Database, scope: Scope, connection: Connection
) -> None:
    async with database.writing() as writing:
        await writing.execute(update(CONNECTIONS).values(status=ConnectionStatus.DISCONNECTED))
    assert [held.connection.id for held in await strays.part(0, 1, "", 10)] == [connection.id]
    await Credentials(database).purge(scope, connection.id)
    assert await strays.part(0, 1, "", 10) == []


async def test_waiting_rows_are_found_by_their_indexes(sqlite_url: str) -> None:
    """What only grows is not read as a whole each minute."""
    database = Database(sqlite_url)
    asked: list[tuple[str, Any]] = []
    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    await Strays(database).deliveries(NOW, ("", ""), 100)
    await Strays(database).unconfirmed("", 100)
    queries = [call for call in asked if call[0].startswith("SELECT")]
    async with database.reading() as reading:
        plans = [
            str((await reading.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)).all()) for sql, given in queries
        ]
    await database.close()
    assert len(plans) == 2 and "scheduled_delivery" in plans[0] and "unconfirmed_grant" in plans[1]
    assert not any("SCAN" in plan or "TEMP B-TREE" in plan for plan in plans), plans


async def test_restored_state_is_what_the_store_knows(
    strays: Strays, database: Database, connection: Connection
) -> None:
    async with database.writing() as writing:
        values = {"status": "reauth_required", "reason": "access_revoked", "sequence": 4, "connected_at": NOW}
        await writing.execute(update(CONNECTIONS).values(values))
    [held] = await strays.part(0, 1, "", 10)
    lifetimes = Lifetimes(expires_in=60.0, renewable=True)
    state = start_options(held.connection, held.stored, lifetimes, None, LATER, "http://127.0.0.1")["arg"]
    assert isinstance(state, ConnectionState)
    assert (state.status, state.reason) == (ConnectionStatus.REAUTH_REQUIRED, ReauthReason.ACCESS_REVOKED)
    assert (state.generation, state.sequence, state.granted_at, state.lifetimes) == (1, 4, NOW, lifetimes)
    assert state.next_at is None  # only the customer can help
