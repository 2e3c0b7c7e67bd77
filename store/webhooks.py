"""Webhook endpoints and what was delivered to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update

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
        """Forget an endpoint and how its deliveries fared; the events stay."""
        async with self._database.writing() as connection:
            for table in (DELIVERY_ATTEMPTS, DELIVERIES, REPLAYS):
                await connection.execute(delete(table).where(table.c.endpoint_id == endpoint_id, scope.owns(table)))
            await connection.execute(
                delete(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == endpoint_id, scope.owns(WEBHOOK_ENDPOINTS))
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
