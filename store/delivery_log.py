"""How events fared at webhook endpoints, for whoever asks: deliveries and the attempts that were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, literal_column, select

from everlink.contract import DeliveryStatus, EventType
from store.database import Database
from store.scope import Scope
from store.tables import CONNECTIONS, DELIVERIES, DELIVERY_ATTEMPTS, EVENTS, Delivery, DeliveryAttempt

MOST_ATTEMPTS = 50  # that are read at once, with up to 20 KB of what each was answered


@dataclass(frozen=True)
class LoggedDelivery:
    """A delivery, and the event that it carries."""

    delivery: Delivery
    event: EventType
    body: dict[str, Any]


class DeliveryLog:
    """The store's side of reading deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_endpoint(
        self, scope: Scope, endpoint_id: str, status: DeliveryStatus | None, *, before: int | None, limit: int
    ) -> list[LoggedDelivery]:
        """Those of one endpoint, of the newest event first, from before a position."""
        return await self._read(of_endpoint_query(scope, endpoint_id, status, before=before, limit=limit))

    async def of_event(self, scope: Scope, event_id: str) -> list[LoggedDelivery] | None:
        """One event at every endpoint that it was due at; None: there is no such event."""
        there = select(EVENTS.c.id).where(EVENTS.c.id == event_id, scope.owns(EVENTS))
        async with self._database.reading() as connection:
            if (await connection.execute(there)).one_or_none() is None:
                return None
        query = _logged(scope).where(DELIVERIES.c.event_id == event_id)
        return await self._read(query.order_by(DELIVERIES.c.endpoint_id))

    async def of_connection(self, scope: Scope, connection_id: str) -> list[LoggedDelivery]:
        """The events of one connection, in their order."""
        query = _logged(scope).join(CONNECTIONS, CONNECTIONS.c.id == EVENTS.c.connection_id)
        mine = EVENTS.c.connection_id == connection_id
        return await self._read(query.where(mine).order_by(EVENTS.c.sequence, DELIVERIES.c.endpoint_id))

    async def one(self, scope: Scope, event_id: str, endpoint_id: str) -> LoggedDelivery | None:
        query = _logged(scope).where(_at(DELIVERIES, event_id, endpoint_id))
        return next(iter(await self._read(query)), None)

    async def attempts(self, scope: Scope, event_id: str, endpoint_id: str) -> list[DeliveryAttempt]:
        """The last attempts of a delivery, in their order; the answers are still sealed."""
        newest = DELIVERY_ATTEMPTS.c.round.desc(), DELIVERY_ATTEMPTS.c.attempt.desc()
        query = select(DELIVERY_ATTEMPTS).where(
            _at(DELIVERY_ATTEMPTS, event_id, endpoint_id), scope.owns(DELIVERY_ATTEMPTS)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(*newest).limit(MOST_ATTEMPTS))).all()
        return [DeliveryAttempt(**row._mapping) for row in reversed(rows)]

    async def _read(self, query: Select[Any]) -> list[LoggedDelivery]:
        async with self._database.reading() as connection:
            return [_logged_delivery(row) for row in (await connection.execute(query)).all()]


def of_endpoint_query(
    scope: Scope, endpoint_id: str, status: DeliveryStatus | None, *, before: int | None, limit: int
) -> Select[Any]:
    """Along an index of positions: of an endpoint's deliveries, or of those that failed."""
    query = _logged(scope).where(DELIVERIES.c.endpoint_id == endpoint_id)
    if before is not None:
        query = query.where(DELIVERIES.c.position < before)
    if status is not None:
        # Written out: an index of few is found by the words of its condition.
        query = query.where(DELIVERIES.c.status == literal_column(f"'{status.value}'"))
    return query.order_by(DELIVERIES.c.position.desc()).limit(limit)


def _logged(scope: Scope) -> Select[Any]:
    columns = *DELIVERIES.columns, EVENTS.c.type.label("event_type"), EVENTS.c.body.label("event_body")
    return (
        select(*columns)
        .join_from(DELIVERIES, EVENTS, EVENTS.c.id == DELIVERIES.c.event_id)
        .where(scope.owns(DELIVERIES))
    )


def _at(table: Any, event_id: str, endpoint_id: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (table.c.event_id == event_id) & (table.c.endpoint_id == endpoint_id)
    return found


def _logged_delivery(row: Row[Any]) -> LoggedDelivery:
    values = {column.name: getattr(row, column.name) for column in DELIVERIES.columns}
    return LoggedDelivery(Delivery(**values), EventType(row.event_type), row.event_body)
