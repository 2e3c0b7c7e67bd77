"""Webhook endpoints: where events go, with which secrets."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Table, delete, select, tuple_, update

from everlink.contract import EventType
from store.database import Database
from store.outbox import Announced, NewEvent, announce, event_head
from store.scope import Scope
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS, REPLAYS, WEBHOOK_ENDPOINTS, WebhookEndpoint
from store.tenants import refuse_while_erased

OF_ENDPOINTS = (DELIVERY_ATTEMPTS, DELIVERIES, REPLAYS)
BATCH = 1000  # rows in a statement


class EndpointDisabled(Exception):
    """A webhook endpoint that is disabled is sent nothing."""


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

    async def replace_secret(
        self, scope: Scope, endpoint: WebhookEndpoint, sealed: bytes, previous_until: datetime | None
    ) -> bool:
        """A new signing secret; the one before signs beside it until then, None: no more.

        False where the secret is not the one that `endpoint` was read with: of two who replace it at once, one does.
        """
        former = endpoint.secret if previous_until is not None else None
        values = {"secret": sealed, "previous_secret": former, "previous_secret_until": previous_until}
        unchanged = (WEBHOOK_ENDPOINTS.c.id == endpoint.id) & (WEBHOOK_ENDPOINTS.c.secret == endpoint.secret)
        async with self._database.writing() as connection:
            replaced = await connection.execute(
                update(WEBHOOK_ENDPOINTS).where(unchanged, scope.owns(WEBHOOK_ENDPOINTS)).values(values)
            )
            return replaced.rowcount == 1

    async def announce_test(self, scope: Scope, endpoint_id: str, now: datetime) -> Announced:
        """An event for this endpoint alone, which says nothing.

        Raises:
            EndpointDisabled: it is sent nothing; there is no event then.
        """
        event_id, kind = str(uuid4()), EventType.TEST
        body = {**event_head(scope, kind, "", event_id, now), "endpoint_id": endpoint_id}
        async with self._database.writing() as connection:
            event = NewEvent(event_id, kind, "", body)
            announced = await announce(self._database, connection, scope, event, now)
            if not announced.endpoints:
                raise EndpointDisabled
            return announced

    async def remove(self, scope: Scope, endpoint_id: str) -> None:
        """Forget an endpoint and how its deliveries fared; the events stay.

        From the first step on it is sent nothing, and no replay, which changes many rows as well, goes on. The many
        rows go in steps that are over within their time; what events that were announced meanwhile have left goes with
        the endpoint, which waits for them.
        """
        mine = (WEBHOOK_ENDPOINTS.c.id == endpoint_id) & scope.owns(WEBHOOK_ENDPOINTS)
        alone = select(WEBHOOK_ENDPOINTS.c.id).where(mine).with_for_update()
        async with self._database.writing() as connection:
            await connection.execute(alone)
            await connection.execute(update(WEBHOOK_ENDPOINTS).where(mine).values(is_enabled=False))
        while await self._forget_some(scope, endpoint_id):
            pass
        async with self._database.writing() as connection:
            await connection.execute(alone)
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


def _of_endpoint(table: Table, scope: Scope, endpoint_id: str) -> ColumnElement[bool]:
    return (table.c.endpoint_id == endpoint_id) & scope.owns(table)
