"""The end of an outage, and who is still in trouble after it: looked at each minute.

An outage is over when all but a few of its connections are back; or when for two hours nobody has joined those that
are left, who are tried at least as often, and they are a tenth of all or too few to make an outage. In the hour after
it nobody says anything: stragglers come back, and a provider may come and go. Who is degraded then is told by itself,
or, where it is out again, by the application.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import EventType, Transition
from store.connections import connection_event, connection_ref
from store.database import Database
from store.outages import AT_ONCE, ENOUGH, LATEST, application_event, begin, degraded, failing, is_calm, is_out
from store.outbox import Announced, NewEvent, announce
from store.scope import Scope
from store.tables import APPLICATIONS, CONNECTIONS, TRANSITIONS, Application, Connection

FEW = 2
STEADY = timedelta(hours=2)
AT_A_TIME = 100  # stragglers: each round holds the tenant's events for a moment only


class OutageEnds:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self, after: str, limit: int) -> list[Application]:
        """Applications of all tenants that are in an outage, or had one of which not all is told."""
        query = (
            select(APPLICATIONS)
            .where(or_(APPLICATIONS.c.outage_since.is_not(None), APPLICATIONS.c.outage_ended_at.is_not(None)))
            .where(APPLICATIONS.c.id > after)
            .order_by(APPLICATIONS.c.id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Application(**row._mapping) for row in rows]

    async def settle(self, application_id: str, now: datetime) -> list[Announced]:
        """Announce what is to be told of an outage by now."""
        held = select(APPLICATIONS).where(APPLICATIONS.c.id == application_id).with_for_update()
        async with self._database.writing() as connection:
            application = (await connection.execute(held)).one_or_none()
            if application is None or is_calm(application, now):
                return []
            if application.outage_since is not None:
                events = await _ended(connection, application, now)
            else:
                events = await _lasting(connection, application, now)
            scope = Scope(application.org_id, application.environment)
            return [await announce(self._database, connection, scope, event, now) for event in events]


async def _ended(connection: AsyncConnection, application: Row[Any], now: datetime) -> list[NewEvent]:
    scope = Scope(application.org_id, application.environment)
    concerned = failing(scope, application.slug).where(TRANSITIONS.c.at >= application.outage_since - AT_ONCE)
    began = (await connection.execute(concerned)).scalars().all()
    event = await application_event(connection, application, EventType.APPLICATION_RECOVERED, str(uuid4()), now)
    is_small = len(began) < ENOUGH or 10 * len(began) <= event.body["connections"]
    is_rest = is_small and max(began, default=now) <= now - STEADY
    if len(began) > FEW and not is_rest:
        return []
    values = {"outage_since": None, "outage_ended_at": now}
    await connection.execute(update(APPLICATIONS).where(APPLICATIONS.c.id == application.id).values(values))
    return [event]


async def _lasting(connection: AsyncConnection, application: Row[Any], now: datetime) -> list[NewEvent]:
    """Of connections that are degraded, which nobody has been told, and it has lasted."""
    scope, slug = Scope(application.org_id, application.environment), application.slug
    if await is_out(connection, scope, slug, now):
        return [await begin(connection, application, str(uuid4()), now)]
    # Where something else was announced since, the number of an earlier transition would come too late.
    silent = exists().where(LATEST, TRANSITIONS.c.event.is_(None))
    untold = select(CONNECTIONS).where(degraded(scope, slug), CONNECTIONS.c.in_outage.is_(True), silent)
    # Whose row is held at this moment is left for the next round: who holds it may wait for the application's.
    some = untold.order_by(CONNECTIONS.c.id).limit(AT_A_TIME).with_for_update(skip_locked=True, key_share=True)
    rows = (await connection.execute(some)).all()
    events = [await _told(connection, Connection(**row._mapping)) for row in rows]
    if (await connection.execute(untold.limit(1))).first() is None:
        mine = APPLICATIONS.c.id == application.id
        await connection.execute(update(APPLICATIONS).where(mine).values(outage_ended_at=None))
    return events


async def _told(connection: AsyncConnection, row: Connection) -> NewEvent:
    """A silent transition gets its event after all."""
    latest = (TRANSITIONS.c.connection_id == row.id) & (TRANSITIONS.c.sequence == row.sequence)
    written = (await connection.execute(select(TRANSITIONS).where(latest))).one()
    transition = Transition.model_validate({**written._mapping, "event": EventType.DEGRADED})
    await connection.execute(update(CONNECTIONS).where(CONNECTIONS.c.id == row.id).values(in_outage=False))
    await connection.execute(update(TRANSITIONS).where(latest).values(event=EventType.DEGRADED.value))
    return await connection_event(connection, connection_ref(row), transition)
