"""An endpoint that events are due at, and the activity that delivers them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import Row, Table, select
from temporalio.testing import ActivityEnvironment

from activities.deliver import DeliverActivities
from activities.shared import Shared
from everlink.contract import AttemptOutcome, AttemptTask, DeliveryTask, Environment, EventType
from providers.catalog import Catalog
from providers.signature import new_secret
from store.database import Database, utc_now
from store.outbox import NewEvent, announce, event_head
from store.scope import Scope
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS, WEBHOOK_ENDPOINTS, WebhookEndpoint
from store.tenants import Tenants
from store.vault import Kind, MasterKeys, Vault, new_master_key

ENDPOINT = "we_1"


@dataclass
class Sending:
    shared: Shared
    scope: Scope
    secret: str

    async def subscribe(self, url: str, endpoint_id: str = ENDPOINT, **values: Any) -> None:
        endpoint = WebhookEndpoint(
            id=endpoint_id,
            **self.scope._asdict(),
            url=url,
            events=[EventType.APPLICATION_REFUSED.value],
            secret=await self.seal(Kind.WEBHOOK_SECRET, self.secret, endpoint_id),
            created_at=utc_now(),
            **values,
        )
        await self.shared.webhooks.add(endpoint)

    async def seal(self, kind: Kind, secret: str, endpoint_id: str = ENDPOINT) -> bytes:
        return await self.shared.vault.seal(self.scope, kind, endpoint_id, secret.encode())

    async def due(self, attempt: int = 1, next_delay: float | None = 5.0) -> AttemptTask:
        """The first attempt of a new event at the first endpoint."""
        kind, event_id, database = EventType.APPLICATION_REFUSED, str(uuid4()), self.shared.database
        event = NewEvent(event_id, kind, "test", event_head(self.scope, kind, "test", event_id, utc_now()))
        async with database.writing() as connection:
            announced = await announce(database, connection, self.scope, event, utc_now())
        assert ENDPOINT in announced.endpoints
        delivery = DeliveryTask(**self.scope._asdict(), event_id=event_id, endpoint_id=ENDPOINT)
        return AttemptTask(delivery=delivery, attempt=attempt, next_delay=next_delay)

    async def deliver(self, task: AttemptTask | None = None) -> AttemptOutcome:
        outcome: AttemptOutcome = await ActivityEnvironment().run(
            DeliverActivities(self.shared).deliver_webhook, task or await self.due()
        )
        return outcome

    async def rows(self, table: Table) -> list[Row[Any]]:
        async with self.shared.database.reading() as read:
            return list((await read.execute(select(table))).all())

    async def delivery(self) -> Row[Any]:
        [row] = await self.rows(DELIVERIES)
        return row

    async def endpoint(self) -> Row[Any]:
        [row] = [row for row in await self.rows(WEBHOOK_ENDPOINTS) if row.id == ENDPOINT]
        return row

    async def kept(self) -> tuple[Row[Any], dict[str, Any] | None]:
        """The only attempt, and its answer opened."""
        [row] = await self.rows(DELIVERY_ATTEMPTS)
        if row.answer is None:
            return row, None
        opened = await self.shared.vault.open(self.scope, Kind.WEBHOOK_ANSWER, row.endpoint_id, row.answer)
        return row, json.loads(opened)


async def sending_on(database: Database, http: httpx.AsyncClient) -> Sending:
    scope = Scope(await Tenants(database).add_organization("Acme", utc_now()), Environment.TEST)
    shared = Shared(database, Vault(database, MasterKeys(new_master_key())), Catalog([]), http, "http://127.0.0.1:8080")
    return Sending(shared, scope, new_secret())
