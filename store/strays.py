"""What has lost its workflow, or may have: pages for upkeep, over all tenants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, literal_column, select, tuple_

from everlink.contract import ConnectionStatus, DeliveryTask, Health
from store.credentials import StoredCredential
from store.database import Database
from store.outbox import Announced
from store.scope import Scope
from store.tables import CONNECTIONS, CREDENTIALS, DELIVERIES, EVENTS, Connection, Delivery

OVERDUE_DELIVERY = timedelta(minutes=2)
OVERDUE_CREDENTIAL = timedelta(minutes=15)
ID_PREFIX, ID_SPACE = "con_", 16**4  # connections' ids begin so, and go on with random hexadecimal digits


@dataclass(frozen=True)
class ScheduledDelivery:
    """A delivery that is not closed, and what it tells of."""

    task: DeliveryTask
    event: str
    slug: str
    linked_account_id: str | None


@dataclass(frozen=True)
class Held:
    """A connection with the credential that the vault holds for it."""

    connection: Connection
    stored: StoredCredential
    unconfirmed: int | None


class Strays:
    """Each page begins behind `after` and has at most `limit` rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def deliveries(self, now: datetime, after: tuple[str, str], limit: int) -> list[ScheduledDelivery]:
        """Deliveries that are not closed, and whose next attempt is overdue or was never planned."""
        place = tuple_(DELIVERIES.c.event_id, DELIVERIES.c.endpoint_id)
        planned = func.coalesce(DELIVERIES.c.next_attempt_at, DELIVERIES.c.updated_at)
        query = (
            scheduled_query()
            .where(planned < now - OVERDUE_DELIVERY, place > tuple_(*after))
            .order_by(DELIVERIES.c.event_id, DELIVERIES.c.endpoint_id)
            .limit(limit)
        )
        return [scheduled_delivery(row) for row in await self._rows(query)]

    async def unconfirmed(self, after: str, limit: int) -> list[Held]:
        """Customers' grants of which the workflow may not know: the API died between the vault and the workflow."""
        return await self._held(
            _holders(after, limit).where(
                CREDENTIALS.c.unconfirmed_generation.is_not(None),
                CONNECTIONS.c.status != ConnectionStatus.DISCONNECTED.value,
            )
        )

    async def overdue(self, now: datetime, after: str, limit: int) -> list[Held]:
        """Connections that nobody keeps alive, by all signs: a workflow that tries and fails says `degraded`.

        One read of all credentials' expiries: an index on them would cost every refresh a write.
        """
        return await self._held(
            _holders(after, limit).where(
                CONNECTIONS.c.status == ConnectionStatus.ACTIVE.value,
                CONNECTIONS.c.health == Health.OK.value,
                CREDENTIALS.c.renewable.is_(True),
                CREDENTIALS.c.expires_at < now - OVERDUE_CREDENTIAL,
            )
        )

    async def part(self, part: int, parts: int, after: str, limit: int) -> list[Held]:
        """One of the equal parts of all connections that have lived and have a credential.

        That is the living, and those that ended and have not been purged yet.
        """
        query = _holders(after, limit).where(CONNECTIONS.c.status != ConnectionStatus.PENDING.value)
        if part > 0:
            query = query.where(CONNECTIONS.c.id >= _border(part, parts))
        if part < parts - 1:
            query = query.where(CONNECTIONS.c.id < _border(part + 1, parts))
        return await self._held(query)

    async def _held(self, query: Select[Any]) -> list[Held]:
        return [
            Held(
                _connection(row),
                StoredCredential(row.generation, row.sealed, row.renewable, row.expires_at, row.ends_at),
                row.unconfirmed_generation,
            )
            for row in await self._rows(query)
        ]

    async def _rows(self, query: Select[Any]) -> list[Row[Any]]:
        async with self._database.reading() as connection:
            return list((await connection.execute(query)).all())


def scheduled_query() -> Select[Any]:
    """Of all tenants."""
    return (
        select(
            DELIVERIES.c.org_id,
            DELIVERIES.c.environment,
            DELIVERIES.c.event_id,
            DELIVERIES.c.endpoint_id,
            DELIVERIES.c.round,
            DELIVERIES.c.attempts,
            EVENTS.c.type,
            EVENTS.c.slug,
            CONNECTIONS.c.linked_account_id,
        )
        .join_from(DELIVERIES, EVENTS, EVENTS.c.id == DELIVERIES.c.event_id)
        .outerjoin(CONNECTIONS, CONNECTIONS.c.id == EVENTS.c.connection_id)
        .where(DELIVERIES.c.status == literal_column("'scheduled'"))  # written out, as the partial index has it
    )


def scheduled_delivery(row: Row[Any]) -> ScheduledDelivery:
    """From a row of that query."""
    return ScheduledDelivery(delivery_task(row), row.type, row.slug, row.linked_account_id)


def announced_deliveries(scope: Scope, announced: Announced) -> list[ScheduledDelivery]:
    """An event's deliveries, as they are right after it was written."""
    event, account = announced.event, announced.event.body.get("linked_account_id")
    tasks = [
        DeliveryTask(**scope._asdict(), event_id=event.id, endpoint_id=endpoint_id)
        for endpoint_id in announced.endpoints
    ]
    return [ScheduledDelivery(task, event.type, event.slug, account) for task in tasks]


def delivery_task(row: Row[Any] | Delivery) -> DeliveryTask:
    """A row as the contract names it."""
    return DeliveryTask(
        org_id=row.org_id,
        environment=row.environment,
        event_id=row.event_id,
        endpoint_id=row.endpoint_id,
        round=row.round,
        attempts=row.attempts,
    )


def _holders(after: str, limit: int) -> Select[Any]:
    return (
        select(
            CONNECTIONS,
            CREDENTIALS.c.generation,
            CREDENTIALS.c.sealed,
            CREDENTIALS.c.renewable,
            CREDENTIALS.c.expires_at,
            CREDENTIALS.c.ends_at,
            CREDENTIALS.c.unconfirmed_generation,
        )
        .join_from(CREDENTIALS, CONNECTIONS, CONNECTIONS.c.id == CREDENTIALS.c.connection_id)
        .where(CREDENTIALS.c.connection_id > after)
        .order_by(CREDENTIALS.c.connection_id)
        .limit(limit)
    )


def _border(part: int, parts: int) -> str:
    return f"{ID_PREFIX}{part * ID_SPACE // parts:04x}"


def _connection(row: Row[Any]) -> Connection:
    return Connection(**{column.name: row._mapping[column] for column in CONNECTIONS.columns})
