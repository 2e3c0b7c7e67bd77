"""A provider that is out: said once, by the application, and not by each of its connections.

Out is an application of a tenant where five of its connections have become degraded within an hour, and since the
first of those the provider has renewed fewer credentials than that: so an outage is known by its first few
connections, and a few accounts with trouble of their own are none, however many others there are.

From then on a connection that becomes degraded says nothing of it (`in_outage`), nor when it recovers: who has heard
of the one hears of the other, and of neither otherwise. When that ends, `store/outage_ends.py` tells.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import ColumnElement, Row, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import ConnectionRef, ConnectionStatus, EventType, Health, Transition
from store.outbox import NewEvent, event_head
from store.scope import Scope
from store.tables import APPLICATIONS, CONNECTIONS, CREDENTIALS, TRANSITIONS

ENOUGH = 5  # connections that fail
AT_ONCE = timedelta(hours=1)  # within which they began to
CALM = timedelta(hours=1)  # after an outage; what fails in it is told if it lasts
LATEST = (TRANSITIONS.c.connection_id == CONNECTIONS.c.id) & (TRANSITIONS.c.sequence == CONNECTIONS.c.sequence)


async def instead_of(
    own: NewEvent, connection: AsyncConnection, ref: ConnectionRef, transition: Transition, now: datetime
) -> NewEvent | None:
    """What is announced of a transition: its own event, its application's, or nothing.

    Called in the transaction that has just written the transition. It holds the connection's row by now, and takes the
    application's after it, as who stores a grant does.
    """
    scope, mine = Scope.of(ref), CONNECTIONS.c.id == ref.connection_id
    if transition.event is EventType.RECOVERED:
        silent = update(CONNECTIONS).where(mine, CONNECTIONS.c.in_outage.is_(True)).values(in_outage=False)
        return None if (await connection.execute(silent)).rowcount == 1 else own
    if transition.event is not EventType.DEGRADED:
        return own
    held = select(APPLICATIONS).where(APPLICATIONS.c.slug == ref.slug, scope.owns(APPLICATIONS)).with_for_update()
    application = (await connection.execute(held)).one_or_none()
    if application is None:
        return own
    announced = None
    if application.outage_since is None and not is_calm(application, now):
        if not await is_out(connection, scope, ref.slug, transition.at):  # it may be written long after
            return own
        announced = await begin(connection, application, outage_event_id(ref, transition), transition.at)
    await connection.execute(update(CONNECTIONS).where(mine).values(in_outage=True))
    return announced


def outage_event_id(ref: ConnectionRef, transition: Transition) -> str:
    """Of the outage that is known by this transition; stable over retries."""
    return str(uuid5(NAMESPACE_URL, f"everlink:{ref.connection_id}:{transition.sequence}:application"))


def is_calm(application: Row[Any], now: datetime) -> bool:
    """A provider that comes and goes is announced once an hour at most."""
    return application.outage_ended_at is not None and now < application.outage_ended_at + CALM


async def is_out(connection: AsyncConnection, scope: Scope, slug: str, at: datetime) -> bool:
    latest = failing(scope, slug).order_by(TRANSITIONS.c.at.desc()).limit(ENOUGH)
    began = (await connection.execute(latest)).scalars().all()
    if len(began) < ENOUGH or began[-1] < at - AT_ONCE:
        return False
    renewed = (
        select(CREDENTIALS.c.connection_id)
        .join(CONNECTIONS, CONNECTIONS.c.id == CREDENTIALS.c.connection_id)
        .where(_active(scope, slug), CONNECTIONS.c.health == Health.OK.value, CREDENTIALS.c.updated_at > began[-1])
        .limit(ENOUGH)
    )
    return len((await connection.execute(renewed)).all()) < ENOUGH


async def begin(connection: AsyncConnection, application: Row[Any], event_id: str, at: datetime) -> NewEvent:
    values = {"outage_since": at, "outage_ended_at": None}
    await connection.execute(update(APPLICATIONS).where(APPLICATIONS.c.id == application.id).values(values))
    return await application_event(connection, application, EventType.APPLICATION_DEGRADED, event_id, at)


async def application_event(
    connection: AsyncConnection, application: Row[Any], kind: EventType, event_id: str, at: datetime
) -> NewEvent:
    scope, slug = Scope(application.org_id, application.environment), application.slug
    counted = select(CONNECTIONS.c.health, func.count()).where(_active(scope, slug)).group_by(CONNECTIONS.c.health)
    of = {health: count for health, count in (await connection.execute(counted)).all()}
    body = {
        **event_head(scope, kind, slug, event_id, at),
        "degraded_connections": of.get(Health.DEGRADED, 0),
        "connections": sum(of.values()),  # that are active
    }
    return NewEvent(id=event_id, type=kind, slug=slug, body=body)


def failing(scope: Scope, slug: str) -> Select[Any]:
    """When each of an application's degraded connections became so."""
    return select(TRANSITIONS.c.at).join(CONNECTIONS, LATEST).where(degraded(scope, slug))


def degraded(scope: Scope, slug: str) -> ColumnElement[bool]:
    return _active(scope, slug) & (CONNECTIONS.c.health == Health.DEGRADED.value)


def _active(scope: Scope, slug: str) -> ColumnElement[bool]:
    return (
        scope.owns(CONNECTIONS) & (CONNECTIONS.c.slug == slug) & (CONNECTIONS.c.status == ConnectionStatus.ACTIVE.value)
    )
