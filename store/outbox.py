"""Events and the deliveries that they are due, written in the transaction of what they announce."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import EventType
from store.database import Database
from store.scope import Scope
from store.tables import DELIVERIES, EVENTS, WEBHOOK_ENDPOINTS


@dataclass(frozen=True)
class NewEvent:
    """What is announced; an event of an application has no connection."""

    id: str
    type: EventType
    slug: str
    body: dict[str, Any]
    connection_id: str | None = None
    sequence: int = 0


async def announce(
    database: Database, connection: AsyncConnection, scope: Scope, event: NewEvent, now: datetime
) -> list[str]:
    """Write an event, once, and a delivery for each endpoint that wants it; answers these endpoints' ids."""
    values = {
        "id": event.id,
        **scope.columns,
        "connection_id": event.connection_id,
        "sequence": event.sequence,
        "type": event.type.value,
        "slug": event.slug,
        "body": event.body,
        "created_at": now,
    }
    await connection.execute(database.insert_or_ignore(EVENTS, values))
    endpoints = (
        await connection.execute(
            select(WEBHOOK_ENDPOINTS.c.id, WEBHOOK_ENDPOINTS.c.events).where(
                scope.owns(WEBHOOK_ENDPOINTS), WEBHOOK_ENDPOINTS.c.is_enabled.is_(True)
            )
        )
    ).all()
    due = [row.id for row in endpoints if event.type in row.events]
    for endpoint_id in due:
        delivery = {
            "event_id": event.id,
            "endpoint_id": endpoint_id,
            **scope.columns,
            "status": "scheduled",
            "attempts": 0,
            "last_note": "",
            "next_attempt_at": now,
            "updated_at": now,
        }
        await connection.execute(database.insert_or_ignore(DELIVERIES, delivery))
    return due
