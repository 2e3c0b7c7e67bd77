"""A provider-wide outage is one event, not one for each connection; and whatever is told has its counterpart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from everlink.contract import AuthType, ConnectionStatus, EventType, Health, ReauthReason, Transition
from store.connections import Connections, connection_ref
from store.database import Database
from store.outage_ends import OutageEnds
from store.outbox import Announced
from store.scope import Scope
from store.tables import APPLICATIONS, CONNECTIONS, CREDENTIALS, DELIVERIES, EVENTS, Connection
from store.tenants import Tenants
from tests.store.conftest import NOW, make_endpoint

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ACTIVE, REAUTH_REQUIRED = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED
OPENING, CLOSING = EventType.APPLICATION_DEGRADED, EventType.APPLICATION_RECOVERED
COUNTERPARTS = {EventType.DEGRADED: EventType.RECOVERED, OPENING: CLOSING}
ENDS = (EventType.RECOVERED, EventType.EXPIRED, EventType.REAUTHENTICATED, EventType.DELETED)


@dataclass
class Fleet:
    """The connections of one application of a tenant, at a time that a test moves on."""

    database: Database
    scope: Scope
    rows: list[Connection]
    now: datetime = NOW
    sequences: dict[str, int] = field(default_factory=dict)

    async def move(self, row: Connection, event: EventType, **changes: Any) -> Announced | None:
        sequence = self.sequences[row.id] = self.sequences.get(row.id, 1) + 1
        health = Health.DEGRADED if event is EventType.DEGRADED else Health.OK
        given: dict[str, Any] = {"previous_status": ACTIVE, "status": ACTIVE, "health": health, "at": self.now}
        transition = Transition(sequence=sequence, event=event, **{**given, **changes})
        return await Connections(self.database).record(connection_ref(row), transition, self.now)

    async def all(self, rows: list[Connection], event: EventType, every: timedelta = timedelta(0)) -> None:
        for row in rows:
            await self.move(row, event)
            self.now += every

    async def settle(self, after: timedelta = timedelta(0)) -> list[EventType]:
        """A round of upkeep."""
        self.now += after
        ends = OutageEnds(self.database)
        pending = [one for one in await ends.pending("", 100) if one.org_id == self.scope.org_id]
        return [one.event.type for row in pending for one in await ends.settle(row.id, self.now)]

    async def renew(self, rows: list[Connection]) -> None:
        """The provider gives these a new token."""
        ids = [row.id for row in rows]
        values = {**self.scope.columns, "generation": 1, "sealed": b"x", "renewable": True, "updated_at": self.now}
        async with self.database.writing() as writing:
            mine = CREDENTIALS.c.connection_id.in_(ids)
            await writing.execute(update(CREDENTIALS).where(mine).values(updated_at=self.now))
            there = (await writing.execute(select(CREDENTIALS.c.connection_id).where(mine))).scalars().all()
            new = [{**values, "connection_id": one} for one in ids if one not in there]
            if new:
                await writing.execute(insert(CREDENTIALS), new)

    async def told(self, slug: str = "sandbox") -> list[EventType]:
        query = select(EVENTS.c.type).where(self.scope.owns(EVENTS), EVENTS.c.slug == slug).order_by(EVENTS.c.position)
        async with self.database.reading() as read:
            return [EventType(one) for one in (await read.execute(query)).scalars()]

    async def body(self, kind: EventType) -> dict[str, Any]:
        query = select(EVENTS.c.body).where(self.scope.owns(EVENTS), EVENTS.c.type == kind.value)
        async with self.database.reading() as read:
            found: dict[str, Any] = (await read.execute(query.order_by(EVENTS.c.position.desc()))).scalars().first()
        return found

    async def check_pairs(self) -> None:
        """Nobody hears of an end without its beginning; once all are back, nor of a beginning without its end."""
        query = select(EVENTS).where(self.scope.owns(EVENTS)).order_by(EVENTS.c.position)
        async with self.database.reading() as read:
            events = (await read.execute(query)).all()
            rows = (await read.execute(select(CONNECTIONS.c.id, CONNECTIONS.c.health))).all()
        health = {row.id: row.health for row in rows}
        open_ones: dict[str | None, EventType] = {}
        for event in events:
            kind, owner = EventType(event.type), event.connection_id
            if kind in COUNTERPARTS:
                assert owner not in open_ones
                open_ones[owner] = kind
            elif kind in COUNTERPARTS.values():
                assert COUNTERPARTS[open_ones.pop(owner)] is kind
            elif kind in ENDS:
                open_ones.pop(owner, None)
        assert all(owner is None or health[owner] is Health.DEGRADED for owner in open_ones)

    async def application(self) -> Any:
        async with self.database.reading() as read:
            mine = self.scope.owns(APPLICATIONS) & (APPLICATIONS.c.slug == "sandbox")
            return (await read.execute(select(APPLICATIONS).where(mine))).one()


async def made_fleet(database: Database, scope: Scope, count: int, slug: str = "sandbox") -> Fleet:
    rows = [
        Connection(
            id=f"con_{scope.org_id}_{slug}_{number:04}",
            org_id=scope.org_id,
            environment=scope.environment,
            linked_account_id="acme",
            slug=slug,
            identifier=str(number),
            auth_type=AuthType.OAUTH2,
            status=ACTIVE,
            status_since=NOW,
            sequence=1,
            created_at=NOW,
        )
        for number in range(count)
    ]
    values = [{column.name: getattr(row, column.name) for column in CONNECTIONS.columns} for row in rows]
    async with database.writing() as writing:
        await writing.execute(insert(CONNECTIONS), values)
    return Fleet(database, scope, rows)


@pytest.fixture
async def fleet(database: Database, scope: Scope) -> Fleet:
    return await made_fleet(database, scope, 50)


async def test_outage_seen_by_fifty_at_once_is_announced_once(fleet: Fleet) -> None:
    """In transactions of their own, at the same moment."""
    announced = await asyncio.gather(*[fleet.move(row, EventType.DEGRADED) for row in fleet.rows])
    told = await fleet.told()
    assert told.count(OPENING) == 1 and told.count(EventType.DEGRADED) == 4 == len(told) - 1
    assert sum(one is not None for one in announced) == 5
    body = await fleet.body(OPENING)
    assert (body["degraded_connections"], body["connections"], body["slug"]) == (5, 50, "sandbox")
    assert (await fleet.application()).outage_since == NOW
    await asyncio.gather(*[fleet.move(row, EventType.RECOVERED) for row in fleet.rows])
    assert (await fleet.told()).count(EventType.RECOVERED) == 4
    ends = await asyncio.gather(*[fleet.settle() for _ in range(4)])
    assert sorted(ends) == [[], [], [], [CLOSING]]
    body = await fleet.body(CLOSING)
    assert (body["degraded_connections"], body["connections"]) == (0, 50)
    application = await fleet.application()
    assert (application.outage_since, application.outage_ended_at) == (None, NOW)
    await fleet.check_pairs()


async def test_timeline_and_row_show_what_is_not_told(fleet: Fleet) -> None:
    await fleet.all(fleet.rows, EventType.DEGRADED)
    connections, last = Connections(fleet.database), fleet.rows[-1]
    row = await connections.get(fleet.scope, last.id)
    assert row is not None and (row.health, row.in_outage, row.sequence) == (Health.DEGRADED, True, 2)
    assert [one.event for one in await connections.timeline(fleet.scope, last.id)] == [None]
    await fleet.move(last, EventType.RECOVERED)
    row = await connections.get(fleet.scope, last.id)
    assert row is not None and (row.health, row.in_outage) == (Health.OK, False)
    first = await connections.get(fleet.scope, fleet.rows[0].id)
    assert first is not None and not first.in_outage  # which told it before it was known to be an outage


async def test_transition_that_is_recorded_again_says_the_same(fleet: Fleet) -> None:
    """The acknowledgement was lost: of one that told it, of the one that opened the outage, of a silent one."""
    await fleet.all(fleet.rows[:6], EventType.DEGRADED)
    before, again = await fleet.told(), []
    for row in fleet.rows[:6]:
        fleet.sequences[row.id] -= 1
        announced = await fleet.move(row, EventType.DEGRADED)
        again.append(announced and announced.event.type)
    assert again == [EventType.DEGRADED] * 4 + [OPENING, None]
    assert await fleet.told() == before


async def test_provider_that_is_seen_to_be_out_bit_by_bit_is_told_by_its_first_few(fleet: Fleet) -> None:
    """As refreshes become due: nobody waits until half of them have failed."""
    await fleet.renew(fleet.rows)  # before it began
    fleet.now += 10 * MINUTE
    await fleet.all(fleet.rows, EventType.DEGRADED, every=MINUTE)
    assert (await fleet.told()).count(EventType.DEGRADED) == 4 == len(await fleet.told()) - 1


async def test_outage_that_could_not_be_written_down_while_it_went_on_is_one(fleet: Fleet) -> None:
    """The store was away, too."""
    for number, row in enumerate(fleet.rows):
        await fleet.move(row, EventType.DEGRADED, at=NOW - 3 * HOUR + number * MINUTE)
    assert (await fleet.told()).count(OPENING) == 1 == len(await fleet.told()) - 4
    assert (await fleet.application()).outage_since == NOW - 3 * HOUR + 4 * MINUTE
    assert await fleet.settle() == []


@pytest.mark.parametrize("case", ["too few", "others are renewed", "one after the other", "of two applications"])
async def test_accounts_with_trouble_of_their_own_are_no_outage(fleet: Fleet, case: str) -> None:
    failing, well = fleet.rows[:10], fleet.rows[10:]
    match case:
        case "too few":
            failing = failing[:4]
            await fleet.all(failing, EventType.DEGRADED)
        case "others are renewed":
            for number, row in enumerate(failing):
                await fleet.move(row, EventType.DEGRADED)
                fleet.now += MINUTE
                await fleet.renew(well[4 * number : 4 * number + 4])
        case "one after the other":
            await fleet.all(failing, EventType.DEGRADED, every=20 * MINUTE)
        case "of two applications":
            await Tenants(fleet.database).enable_application(fleet.scope, "sandbox-key", {}, NOW)
            elsewhere = await made_fleet(fleet.database, fleet.scope, 4, "sandbox-key")
            failing = failing[:4]
            await fleet.all(failing, EventType.DEGRADED)
            await elsewhere.all(elsewhere.rows, EventType.DEGRADED)
    assert await fleet.told() == [EventType.DEGRADED] * len(failing)
    assert await fleet.settle(2 * HOUR) == []
    await fleet.all(failing, EventType.RECOVERED)
    await fleet.check_pairs()


async def test_other_tenants_outage_is_not_ours(fleet: Fleet, database: Database, other: Scope) -> None:
    theirs = await made_fleet(database, other, 8)
    await theirs.all(theirs.rows, EventType.DEGRADED)
    await fleet.all(fleet.rows[:3], EventType.DEGRADED)
    assert await fleet.told() == [EventType.DEGRADED] * 3
    assert (await fleet.application()).outage_since is None


async def test_outage_is_over_when_all_but_a_few_are_back(fleet: Fleet) -> None:
    await fleet.all(fleet.rows, EventType.DEGRADED)
    assert await fleet.settle(HOUR) == []
    await fleet.all(fleet.rows[3:], EventType.RECOVERED)
    assert await fleet.settle(MINUTE) == []
    await fleet.move(fleet.rows[2], EventType.RECOVERED)
    assert await fleet.settle(MINUTE) == [CLOSING] and await fleet.settle(MINUTE) == []
    assert (await fleet.body(CLOSING))["degraded_connections"] == 2


async def test_outage_of_a_part_is_over_when_nobody_has_joined_it_for_long(fleet: Fleet) -> None:
    await fleet.all(fleet.rows[:5], EventType.DEGRADED)
    assert await fleet.settle(HOUR) == []
    assert await fleet.settle(HOUR) == [CLOSING]  # the others are well
    assert (await fleet.body(CLOSING))["degraded_connections"] == 5


async def test_few_that_never_come_back_keep_no_outage_going(fleet: Fleet) -> None:
    """They are more than a tenth, but fewer than make an outage: who becomes degraded after it is told again."""
    small = fleet.rows[:20]
    async with fleet.database.writing() as writing:
        await writing.execute(delete(CONNECTIONS).where(CONNECTIONS.c.id.in_([row.id for row in fleet.rows[20:]])))
    await fleet.all(small, EventType.DEGRADED)
    await fleet.all(small[4:], EventType.RECOVERED)
    assert await fleet.settle(2 * HOUR - MINUTE) == []
    assert await fleet.settle(MINUTE) == [CLOSING]
    assert await fleet.settle(HOUR) == []  # these four have told it themselves
    await fleet.renew(small[4:])
    assert await fleet.move(small[4], EventType.DEGRADED) is not None
    assert (await fleet.told())[-1] is EventType.DEGRADED


async def test_outage_is_over_when_its_connections_are_no_more_or_need_their_customers(fleet: Fleet) -> None:
    await fleet.all(fleet.rows[:8], EventType.DEGRADED)
    dead = {"status": REAUTH_REQUIRED, "health": Health.DEGRADED, "reason": ReauthReason.ACCESS_REVOKED}
    for row in fleet.rows[:3]:
        await fleet.move(row, EventType.EXPIRED, **dead)
    for row in fleet.rows[3:6]:
        await fleet.move(row, EventType.DELETED, status=ConnectionStatus.DISCONNECTED, health=Health.DEGRADED)
    for row in fleet.rows[6:8]:
        await fleet.move(row, EventType.REAUTHENTICATED)
    told = await fleet.told()
    assert [told.count(one) for one in ENDS] == [0, 3, 2, 3]  # each of these is told, as ever
    assert await fleet.settle() == [CLOSING]
    async with fleet.database.reading() as read:
        assert set((await read.execute(select(CONNECTIONS.c.in_outage))).scalars()) == {False}


async def test_straggler_is_told_when_its_trouble_lasts(fleet: Fleet) -> None:
    await fleet.all(fleet.rows, EventType.DEGRADED)
    await fleet.all(fleet.rows[:-2], EventType.RECOVERED)
    assert await fleet.settle() == [CLOSING]
    before, straggler, comes_back = len(await fleet.told()), fleet.rows[-1], fleet.rows[-2]
    assert await fleet.settle(59 * MINUTE) == []
    assert await fleet.move(comes_back, EventType.RECOVERED) is None  # within the hour nobody hears of it
    assert await fleet.settle(MINUTE) == [EventType.DEGRADED] and await fleet.settle(MINUTE) == []
    assert len(await fleet.told()) == before + 1
    body = await fleet.body(EventType.DEGRADED)
    assert (body["connection_id"], body["sequence"], body["previous_sequence"]) == (straggler.id, 2, None)
    [shown] = await Connections(fleet.database).timeline(fleet.scope, straggler.id)
    assert shown.event == EventType.DEGRADED
    recovered = await fleet.move(straggler, EventType.RECOVERED)
    assert recovered is not None and recovered.event.body["previous_sequence"] == 2
    assert (await fleet.application()).outage_ended_at is None
    await fleet.check_pairs()


async def test_straggler_that_announced_something_else_meanwhile_stays_silent(fleet: Fleet) -> None:
    """The number of what was not told lies behind what a receiver has seen."""
    await fleet.all(fleet.rows, EventType.DEGRADED)
    await fleet.move(fleet.rows[-1], EventType.EXPIRING, health=Health.DEGRADED)
    await fleet.all(fleet.rows[:-1], EventType.RECOVERED)
    assert await fleet.settle() == [CLOSING]
    assert await fleet.settle(2 * HOUR) == []
    assert await fleet.move(fleet.rows[-1], EventType.RECOVERED) is None
    await fleet.check_pairs()


async def test_provider_that_comes_and_goes_is_announced_once_an_hour_at_most(fleet: Fleet) -> None:
    for _ in range(12):  # two hours
        await fleet.all(fleet.rows, EventType.DEGRADED)
        await fleet.settle(5 * MINUTE)
        await fleet.all(fleet.rows, EventType.RECOVERED)
        await fleet.settle(5 * MINUTE)
    told = await fleet.told()
    assert told.count(OPENING) == told.count(CLOSING) == 2
    assert told.count(EventType.DEGRADED) == told.count(EventType.RECOVERED) == 8
    await fleet.check_pairs()


async def test_outage_soon_after_another_is_announced_when_it_lasts(fleet: Fleet) -> None:
    await fleet.all(fleet.rows, EventType.DEGRADED)
    await fleet.all(fleet.rows, EventType.RECOVERED)
    assert await fleet.settle() == [CLOSING]
    fleet.now += 10 * MINUTE
    await fleet.all(fleet.rows, EventType.DEGRADED)
    assert await fleet.settle(49 * MINUTE) == []
    assert await fleet.settle(MINUTE) == [OPENING]
    await fleet.all(fleet.rows, EventType.RECOVERED)
    assert await fleet.settle() == [CLOSING]
    await fleet.check_pairs()


async def test_event_goes_to_who_is_told_of_connections_or_of_the_application(fleet: Fleet) -> None:
    wanted = {
        "we_application": [OPENING, CLOSING],
        "we_connection": [EventType.DEGRADED, EventType.RECOVERED],
        "we_other": [EventType.EXPIRED],
    }
    for endpoint_id, events in wanted.items():
        await make_endpoint(fleet.database, fleet.scope, *events, id=endpoint_id)
    await fleet.all(fleet.rows, EventType.DEGRADED)
    await fleet.all(fleet.rows, EventType.RECOVERED)
    await fleet.settle()
    query = select(DELIVERIES.c.endpoint_id, EVENTS.c.type).join(EVENTS, EVENTS.c.id == DELIVERIES.c.event_id)
    async with fleet.database.reading() as read:
        due = [tuple(row) for row in (await read.execute(query)).all()]
    assert [due.count((one, kind)) for one in wanted for kind in (OPENING, CLOSING)] == [1, 1, 1, 1, 0, 0]
    assert len(due) == 4 + 8


async def test_application_that_goes_meanwhile_holds_nobody_up(fleet: Fleet) -> None:
    await fleet.all(fleet.rows[:6], EventType.DEGRADED)
    async with fleet.database.writing() as writing:
        await writing.execute(APPLICATIONS.delete().where(fleet.scope.owns(APPLICATIONS)))
    assert await fleet.settle() == []
    assert await fleet.move(fleet.rows[6], EventType.DEGRADED) is not None
    assert await fleet.move(fleet.rows[5], EventType.RECOVERED) is None
    await fleet.check_pairs()


async def test_connections_that_come_and_go_while_upkeep_looks_are_told_in_pairs(fleet: Fleet) -> None:
    """Everything at once: what holds is that each beginning has its end."""

    async def flap(row: Connection, times: int) -> None:
        for _ in range(times):
            await fleet.move(row, EventType.DEGRADED)
            await fleet.move(row, EventType.RECOVERED)

    async def look() -> None:
        for _ in range(20):
            await fleet.settle(6 * MINUTE)

    await asyncio.gather(look(), *[flap(row, 3) for row in fleet.rows[:20]])
    await fleet.settle(2 * HOUR)
    await fleet.check_pairs()
