"""Events and the deliveries that they are due, written in the transaction of what they announce."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import DeliveryStatus, EventType
from store.database import Database
from store.scope import Scope
from store.tables import DELIVERIES, EVENT_COUNTERS, EVENTS, WEBHOOK_ENDPOINTS

_OF_CONNECTIONS = {
    EventType.APPLICATION_DEGRADED: EventType.DEGRADED,
    EventType.APPLICATION_RECOVERED: EventType.RECOVERED,
}


@dataclass(frozen=True)
class NewEvent:
    """What is announced; an event of an application has no connection, and one of an endpoint no application."""

    id: str
    type: EventType
    slug: str
    body: dict[str, Any]
    connection_id: str | None = None
    sequence: int = 0


@dataclass(frozen=True)
class Announced:
    """An event that is written, and the endpoints that it is due at."""

    event: NewEvent
    endpoints: list[str]


def event_head(scope: Scope, kind: EventType, slug: str, event_id: str, now: datetime) -> dict[str, Any]:
    """The fields of a connection's event that every other event has, too."""
    return {
        "org_id": scope.org_id,
        "environment": scope.environment.value,
        "type": "General",
        "event": kind.value,
        "slug": slug,
        "createdAt": format_datetime(now, usegmt=True),
        "event_id": event_id,
    }


def wants(endpoint: Any, kind: EventType, slug: str, body: dict[str, Any]) -> bool:
    """Whether an event goes to an endpoint (its row, enabled or not)."""
    match kind:
        case EventType.TEST:
            return bool(endpoint.id == body["endpoint_id"])
        case EventType.ENDPOINT_DISABLED:
            return bool(endpoint.id != body["endpoint_id"])
        case EventType.EXPIRED_REMINDER:
            subscribed = endpoint.reminders and EventType.EXPIRED in endpoint.events
        case EventType.APPLICATION_DEGRADED | EventType.APPLICATION_RECOVERED:  # in place of each connection's
            subscribed = kind in endpoint.events or _OF_CONNECTIONS[kind] in endpoint.events
        case _:
            subscribed = kind in endpoint.events
    return subscribed and (not endpoint.applications or slug in endpoint.applications)


async def announce(
    database: Database, connection: AsyncConnection, scope: Scope, event: NewEvent, now: datetime
) -> Announced:
    """Write an event, once, and a delivery for each endpoint that wants it.

    Of an event that is there already, nothing is written, and the deliveries are those that it got then.
    """
    position = await _next_position(database, connection, scope)
    values = {
        "id": event.id,
        **scope.columns,
        "connection_id": event.connection_id,
        "sequence": event.sequence,
        "position": position,
        "type": event.type.value,
        "slug": event.slug,
        "body": event.body,
        "created_at": now,
    }
    written = await connection.execute(database.insert_or_ignore(EVENTS, values))
    if written.rowcount != 1:
        return Announced(event, await _endpoints_of(connection, scope, event.id))
    enabled = scope.owns(WEBHOOK_ENDPOINTS) & WEBHOOK_ENDPOINTS.c.is_enabled.is_(True)
    # Held as the deliveries' foreign keys hold them: none is removed between this look and the commit.
    held = select(WEBHOOK_ENDPOINTS).where(enabled).with_for_update(read=True, key_share=True)
    endpoints = (await connection.execute(held)).all()
    due = [row.id for row in endpoints if wants(row, event.type, event.slug, event.body)]
    if due:
        deliveries = [new_delivery(scope, event.id, endpoint_id, position, now) for endpoint_id in due]
        await connection.execute(DELIVERIES.insert(), deliveries)
    return Announced(event, due)


async def announced_before(connection: AsyncConnection, scope: Scope, event_ids: Sequence[str]) -> Announced | None:
    """Which of these events is there already, and where it was due."""
    found = select(EVENTS).where(EVENTS.c.id.in_(event_ids), scope.owns(EVENTS)).limit(1)
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return None
    event = NewEvent(row.id, EventType(row.type), row.slug, row.body, row.connection_id, row.sequence)
    return Announced(event, await _endpoints_of(connection, scope, event.id))


async def _endpoints_of(connection: AsyncConnection, scope: Scope, event_id: str) -> list[str]:
    mine = (DELIVERIES.c.event_id == event_id) & scope.owns(DELIVERIES)
    return list((await connection.execute(select(DELIVERIES.c.endpoint_id).where(mine))).scalars())


async def _next_position(database: Database, connection: AsyncConnection, scope: Scope) -> int:
    """Counted under a lock that is held until the commit: positions become visible in their order."""
    counter = database.insert(EVENT_COUNTERS).values(**scope.columns, last=1)
    counted = counter.on_conflict_do_update(
        index_elements=["org_id", "environment"], set_={"last": EVENT_COUNTERS.c.last + 1}
    ).returning(EVENT_COUNTERS.c.last)
    return int((await connection.execute(counted)).scalar_one())


def new_delivery(scope: Scope, event_id: str, endpoint_id: str, position: int, now: datetime) -> dict[str, Any]:
    """A row for an event that is due at an endpoint."""
    return {
        "event_id": event_id,
        "endpoint_id": endpoint_id,
        **scope.columns,
        "position": position,
        "status": DeliveryStatus.SCHEDULED,
        "round": 0,
        "attempts": 0,
        "last_note": "",
        "next_attempt_at": now,
        "updated_at": now,
    }
