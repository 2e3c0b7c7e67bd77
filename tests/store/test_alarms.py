"""An application's alarm: raised once, announced once, whoever else sees the same."""

from __future__ import annotations

import asyncio

from sqlalchemy import select

from everlink.contract import EventType
from store.alarms import Alarms
from store.credentials import Credentials
from store.database import Database
from store.scope import Scope
from store.tables import DELIVERIES, EVENTS
from store.tenants import Tenants
from tests.store.conftest import NOW, make_endpoint

WORDS = "the provider refused the client"


async def test_alarm_is_raised_and_cleared_once_and_announced_each_time(
    database: Database, scope: Scope, other: Scope
) -> None:
    for tenant in (scope, other):
        await Tenants(database).enable_application(tenant, "sandbox", {"client_id": "x"}, NOW)
    await make_endpoint(database, scope, EventType.APPLICATION_REFUSED, id="we_1")
    alarms = Alarms(database)
    raised = await asyncio.gather(*[alarms.change(scope, "sandbox", WORDS, NOW) for _ in range(8)])
    [announced] = [one for one in raised if one is not None]
    assert (announced.event.type, announced.endpoints) == (EventType.APPLICATION_REFUSED, ["we_1"])
    client = await Credentials(database).read_client(scope, "sandbox")
    assert client is not None and client.alarm == WORDS
    cleared = [await alarms.change(scope, "sandbox", None, NOW) for _ in range(2)]
    assert cleared[0] is not None and cleared[0].endpoints == [] and cleared[1] is None
    async with database.reading() as read:
        events = (await read.execute(select(EVENTS.c.type, EVENTS.c.connection_id, EVENTS.c.body))).all()
        deliveries = (await read.execute(select(DELIVERIES.c.event_id))).scalars().all()
    assert sorted(event.type for event in events) == ["Application Accepted", "Application Refused"]
    assert {event.connection_id for event in events} == {None} and deliveries == [announced.event.id]
    assert {event.body["slug"] for event in events} == {"sandbox"}


async def test_alarm_of_an_application_that_is_not_enabled_is_nobodys(database: Database, scope: Scope) -> None:
    assert await Alarms(database).change(scope, "unknown", WORDS, NOW) is None
