"""Events, read in the order in which they were committed: whoever reads on from where they stood misses none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from everlink.contract import EventType
from store.database import Database
from store.scope import Scope
from store.tables import CONNECTIONS, EVENT_COUNTERS, EVENTS, Event


@dataclass(frozen=True)
class EventFilter:
    """What a list of events is narrowed to."""

    types: Collection[EventType] = ()  # none: all
    slug: str | None = None
    connection_id: str | None = None
    linked_account_id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class EventsPage:
    events: list[Event]
    position: int  # all up to here has been looked through
    has_more: bool


class Events:
    """The store's side of events that are there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, scope: Scope, wanted: EventFilter, *, after: int, limit: int) -> EventsPage:
        """Events behind a position, oldest first.

        A page that is not full is looked through up to the last event that there was when it was read: the next one
        does not look again at what the filters left out.
        """
        async with self._database.reading() as connection:
            last = (await connection.execute(last_position(scope))).scalar_one()
            rows = (await connection.execute(page_query(scope, wanted, after, last, limit + 1))).all()
        events = [Event(**row._mapping) for row in rows[:limit]]
        if len(rows) > limit:
            return EventsPage(events, events[-1].position, has_more=True)
        return EventsPage(events, max(after, last), has_more=False)

    async def get(self, scope: Scope, event_id: str) -> Event | None:
        query = select(EVENTS).where(EVENTS.c.id == event_id, scope.owns(EVENTS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return Event(**row._mapping) if row is not None else None


def last_position(scope: Scope) -> Select[int]:
    """Of a tenant's last event; 0 where there was none."""
    counted = select(EVENT_COUNTERS.c.last).where(scope.owns(EVENT_COUNTERS)).scalar_subquery()
    return select(func.coalesce(counted, 0))


def page_query(scope: Scope, wanted: EventFilter, after: int, until: int, limit: int) -> Select[Any]:
    """Along the index of positions, whatever is wanted."""
    query = select(EVENTS).where(scope.owns(EVENTS), EVENTS.c.position > after, EVENTS.c.position <= until)
    if wanted.types:
        query = query.where(EVENTS.c.type.in_([kind.value for kind in wanted.types]))
    if wanted.slug is not None:
        query = query.where(EVENTS.c.slug == wanted.slug)
    if wanted.connection_id is not None:
        query = query.where(EVENTS.c.connection_id == wanted.connection_id)
    if wanted.linked_account_id is not None:
        mine = select(CONNECTIONS.c.id).where(
            scope.owns(CONNECTIONS), CONNECTIONS.c.linked_account_id == wanted.linked_account_id
        )
        query = query.where(EVENTS.c.connection_id.in_(mine))
    if wanted.since is not None:
        query = query.where(EVENTS.c.created_at >= wanted.since)
    return query.order_by(EVENTS.c.position).limit(limit)
