"""Webhook endpoints and what was delivered to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, select, tuple_, update

from everlink.contract import DeliveryStatus
from store.database import Database
from store.scope import Scope
from store.tables import (
    CONNECTIONS,
    DELIVERIES,
    DELIVERY_ATTEMPTS,
    EVENTS,
    REPLAYS,
    WEBHOOK_ENDPOINTS,
    Delivery,
    WebhookEndpoint,
)
from store.tenants import refuse_while_erased

OF_ENDPOINTS = (DELIVERY_ATTEMPTS, DELIVERIES, REPLAYS)
BATCH = 1000  # rows in a statement


@dataclass(frozen=True)
class DueDelivery:
    """An event and the endpoint that it goes to; the secret is still sealed."""

    url: str
    method: str
    headers: dict[str, str]
    sealed_secret: bytes
    is_enabled: bool
    body: dict[str, Any]
    sealed_legacy_secret: bytes | None = None


class Webhooks:
    """The store's side of webhooks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, endpoint: WebhookEndpoint) -> None:
        values = {column.name: getattr(endpoint, column.name) for column in WEBHOOK_ENDPOINTS.columns}
        async with self._database.writing() as connection:
            await refuse_while_erased(connection, Scope(endpoint.org_id, endpoint.environment))
            await connection.execute(WEBHOOK_ENDPOINTS.insert().values(values))

    async def endpoints(self, scope: Scope) -> list[WebhookEndpoint]:
        query = select(WEBHOOK_ENDPOINTS).where(scope.owns(WEBHOOK_ENDPOINTS)).order_by(WEBHOOK_ENDPOINTS.c.id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [WebhookEndpoint(**row._mapping) for row in rows]

    async def get(self, scope: Scope, endpoint_id: str) -> WebhookEndpoint | None:
        query = select(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == endpoint_id, scope.owns(WEBHOOK_ENDPOINTS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return WebhookEndpoint(**row._mapping) if row is not None else None

    async def change(self, scope: Scope, endpoint_id: str, values: dict[str, Any]) -> None:
        async with self._database.writing() as connection:
            await connection.execute(
                update(WEBHOOK_ENDPOINTS)
                .where(WEBHOOK_ENDPOINTS.c.id == endpoint_id, scope.owns(WEBHOOK_ENDPOINTS))
                .values(values)
            )

    async def remove(self, scope: Scope, endpoint_id: str) -> None:
        """Forget an endpoint and how its deliveries fared; the events stay.

        From the first step on it is sent nothing. The many rows go in steps that are over within their time; what
        events that were announced meanwhile have left goes with the endpoint, which waits for them.
        """
        await self.change(scope, endpoint_id, {"is_enabled": False})
        while await self._forget_some(scope, endpoint_id):
            pass
        mine = (WEBHOOK_ENDPOINTS.c.id == endpoint_id) & scope.owns(WEBHOOK_ENDPOINTS)
        async with self._database.writing() as connection:
            await connection.execute(select(WEBHOOK_ENDPOINTS.c.id).where(mine).with_for_update())
            for table in OF_ENDPOINTS:
                await connection.execute(delete(table).where(_of_endpoint(table, scope, endpoint_id)))
            await connection.execute(delete(WEBHOOK_ENDPOINTS).where(mine))

    async def _forget_some(self, scope: Scope, endpoint_id: str) -> bool:
        """Whether there was something to forget."""
        gone = 0
        for table in OF_ENDPOINTS:
            key = table.primary_key.columns
            some = select(*key).where(_of_endpoint(table, scope, endpoint_id)).limit(BATCH)
            async with self._database.writing() as connection:
                gone += (await connection.execute(delete(table).where(tuple_(*key).in_(some)))).rowcount
        return gone > 0

    async def due(self, scope: Scope, event_id: str, endpoint_id: str) -> DueDelivery | None:
        query = (
            select(
                WEBHOOK_ENDPOINTS.c.url,
                WEBHOOK_ENDPOINTS.c.method,
                WEBHOOK_ENDPOINTS.c.headers,
                WEBHOOK_ENDPOINTS.c.secret,
                WEBHOOK_ENDPOINTS.c.is_enabled,
                EVENTS.c.body,
                WEBHOOK_ENDPOINTS.c.legacy_secret,
            )
            .join_from(DELIVERIES, EVENTS, EVENTS.c.id == DELIVERIES.c.event_id)
            .join(WEBHOOK_ENDPOINTS, WEBHOOK_ENDPOINTS.c.id == DELIVERIES.c.endpoint_id)
            .where(
                DELIVERIES.c.event_id == event_id,
                DELIVERIES.c.endpoint_id == endpoint_id,
                scope.owns(DELIVERIES),
            )
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return DueDelivery(*row) if row is not None else None

    async def attempted(
        self,
        scope: Scope,
        event_id: str,
        endpoint_id: str,
        *,
        attempts: int,
        note: str,
        now: datetime,
        next_delay: float | None,
    ) -> None:
        next_at = None if next_delay is None else now + timedelta(seconds=next_delay)
        values = {
            "attempts": attempts,
            "last_note": note,
            "next_attempt_at": next_at,
            "updated_at": now,
        }
        await self._update_delivery(scope, event_id, endpoint_id, values)

    async def closed(
        self, scope: Scope, event_id: str, endpoint_id: str, *, delivered: bool, note: str, now: datetime
    ) -> None:
        status = DeliveryStatus.DELIVERED if delivered else DeliveryStatus.FAILED
        values = {"status": status, "last_note": note, "next_attempt_at": None, "updated_at": now}
        await self._update_delivery(scope, event_id, endpoint_id, values)

    async def _update_delivery(self, scope: Scope, event_id: str, endpoint_id: str, values: dict[str, Any]) -> None:
        async with self._database.writing() as connection:
            await connection.execute(
                update(DELIVERIES)
                .where(
                    DELIVERIES.c.event_id == event_id,
                    DELIVERIES.c.endpoint_id == endpoint_id,
                    scope.owns(DELIVERIES),
                )
                .values(values)
            )

    async def deliveries(self, scope: Scope, connection_id: str) -> list[Delivery]:
        """How the events of one connection fared."""
        query = (
            select(DELIVERIES)
            .join(EVENTS, EVENTS.c.id == DELIVERIES.c.event_id)
            .join(CONNECTIONS, CONNECTIONS.c.id == EVENTS.c.connection_id)
            .where(EVENTS.c.connection_id == connection_id, scope.owns(DELIVERIES))
            .order_by(EVENTS.c.sequence)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Delivery(**row._mapping) for row in rows]


def _of_endpoint(table: Table, scope: Scope, endpoint_id: str) -> ColumnElement[bool]:
    return (table.c.endpoint_id == endpoint_id) & scope.owns(table)
