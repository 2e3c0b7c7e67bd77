"""Deliveries under way: what is due, how each attempt fared, and what that says of the endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Row, and_, case, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import DeliveryStatus, DeliveryTask, DisabledReason, EventType
from store.database import Database
from store.outbox import Announced, NewEvent, announce, event_head
from store.scope import Scope
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS, EVENTS, WEBHOOK_ENDPOINTS, DeliveryAttempt

GONE = 410
DISABLED_AFTER = timedelta(days=5)  # of nothing but failures
# Of events that are days apart, one failure says nothing of the time since the one before.
SERIES_ENDS_AFTER = timedelta(days=2)


@dataclass(frozen=True)
class DueDelivery:
    """An event and the endpoint that it goes to; its secrets are still sealed."""

    url: str
    method: str
    headers: dict[str, str]
    sealed_headers: bytes | None
    secret: bytes
    previous_secret: bytes | None
    previous_secret_until: datetime | None
    legacy_secret: bytes | None
    is_enabled: bool
    body: dict[str, Any]


class Deliveries:
    """Writes only what belongs to the round that it is asked for: a replay has left older ones behind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, task: DeliveryTask) -> DueDelivery | None:
        """None where nothing is left to send: it has ended, the endpoint was removed, or a replay goes on with it."""
        query = (
            select(
                WEBHOOK_ENDPOINTS.c.url,
                WEBHOOK_ENDPOINTS.c.method,
                WEBHOOK_ENDPOINTS.c.headers,
                WEBHOOK_ENDPOINTS.c.sealed_headers,
                WEBHOOK_ENDPOINTS.c.secret,
                WEBHOOK_ENDPOINTS.c.previous_secret,
                WEBHOOK_ENDPOINTS.c.previous_secret_until,
                WEBHOOK_ENDPOINTS.c.legacy_secret,
                WEBHOOK_ENDPOINTS.c.is_enabled,
                EVENTS.c.body,
            )
            .join_from(DELIVERIES, EVENTS, EVENTS.c.id == DELIVERIES.c.event_id)
            .join(WEBHOOK_ENDPOINTS, WEBHOOK_ENDPOINTS.c.id == DELIVERIES.c.endpoint_id)
            .where(_under_way(task))
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return DueDelivery(**row._mapping) if row is not None else None

    async def attempted(
        self, task: DeliveryTask, attempt: DeliveryAttempt, *, delivered: bool, next_at: datetime | None, now: datetime
    ) -> Announced | None:
        """Keep an attempt, what it means for the delivery, and what it means for the endpoint: all of it or nothing.

        One that is made again, since nobody heard how it ended, takes the place of the former.

        Returns:
            What the endpoint's other deliveries are to be told, where this attempt was the one that disabled it.
        """
        ended = DeliveryStatus.DELIVERED if delivered else DeliveryStatus.FAILED
        values = {
            "status": ended if next_at is None else DeliveryStatus.SCHEDULED,
            "attempts": attempt.attempt,
            "last_note": attempt.note,
            "next_attempt_at": next_at,
            "updated_at": now,
        }
        async with self._database.writing() as connection:
            # Locked in the order in which a removal of the endpoint locks them.
            endpoint = await self._locked_endpoint(connection, task)
            written = await connection.execute(update(DELIVERIES).where(_under_way(task)).values(values))
            if endpoint is None or written.rowcount != 1:
                return None
            await self._keep(connection, attempt)
            if delivered:
                if endpoint.failing_since is not None:
                    well = {"failing_since": None, "failed_at": None}
                    await connection.execute(update(WEBHOOK_ENDPOINTS).where(_asked(task, attempt)).values(well))
                return None
            announced = await self._failed(connection, task, attempt, now)
            if announced is not None:
                note = disabling(attempt.note)
                over = {"status": DeliveryStatus.FAILED, "next_attempt_at": None, "last_note": note}
                await connection.execute(update(DELIVERIES).where(_delivery(task)).values(over))
            return announced

    async def postponed(self, task: DeliveryTask, next_at: datetime) -> None:
        """Nothing was sent; upkeep sees that somebody will."""
        async with self._database.writing() as connection:
            values = {"next_attempt_at": next_at}
            await connection.execute(update(DELIVERIES).where(_under_way(task)).values(values))

    async def refused(self, task: DeliveryTask, note: str, now: datetime) -> bool:
        """It has failed, for its endpoint is disabled. False: not any more, or there is nothing left to send.

        Nobody enables the endpoint at the same time: a replay that begins after that finds what it has missed.
        """
        values = {"status": DeliveryStatus.FAILED, "last_note": note, "next_attempt_at": None, "updated_at": now}
        disabled = select(WEBHOOK_ENDPOINTS.c.id).where(_endpoint(task), WEBHOOK_ENDPOINTS.c.is_enabled.is_(False))
        async with self._database.writing() as connection:
            if (await connection.execute(disabled.with_for_update(read=True))).one_or_none() is None:
                return False
            return (await connection.execute(update(DELIVERIES).where(_under_way(task)).values(values))).rowcount == 1

    async def closed(self, task: DeliveryTask, *, delivered: bool, note: str, now: datetime) -> None:
        """What is under way has ended. Idempotent."""
        status = DeliveryStatus.DELIVERED if delivered else DeliveryStatus.FAILED
        values = {"status": status, "last_note": note, "next_attempt_at": None, "updated_at": now}
        async with self._database.writing() as connection:
            await connection.execute(update(DELIVERIES).where(_under_way(task)).values(values))

    async def _locked_endpoint(self, connection: AsyncConnection, task: DeliveryTask) -> Row[Any] | None:
        """Locked against removal only: deliveries to one endpoint do not wait for each other."""
        query = select(WEBHOOK_ENDPOINTS.c.failing_since).where(_endpoint(task))
        return (await connection.execute(query.with_for_update(read=True, key_share=True))).one_or_none()

    async def _keep(self, connection: AsyncConnection, attempt: DeliveryAttempt) -> None:
        values = {column.name: getattr(attempt, column.name) for column in DELIVERY_ATTEMPTS.columns}
        made = self._database.insert(DELIVERY_ATTEMPTS).values(values)
        key = [column.name for column in DELIVERY_ATTEMPTS.primary_key.columns]
        await connection.execute(made.on_conflict_do_update(index_elements=key, set_=values))

    async def _failed(
        self, connection: AsyncConnection, task: DeliveryTask, attempt: DeliveryAttempt, now: datetime
    ) -> Announced | None:
        """Count a failure; of many at once, one disables the endpoint and announces it."""
        table, mine = WEBHOOK_ENDPOINTS, _asked(task, attempt)
        series_is_new = table.c.failing_since.is_(None) | (table.c.failed_at < now - SERIES_ENDS_AFTER)
        moment = literal(now, table.c.failing_since.type)
        failing = {"failing_since": case((series_is_new, moment), else_=table.c.failing_since), "failed_at": now}
        await connection.execute(update(table).where(mine).values(failing))
        gone = attempt.status == GONE
        enabled = mine & table.c.is_enabled.is_(True)
        over = enabled if gone else enabled & (table.c.failing_since <= now - DISABLED_AFTER)
        reason = DisabledReason.GONE if gone else DisabledReason.FAILING
        disabled = {"is_enabled": False, "disabled_reason": reason, "disabled_at": now}
        if (await connection.execute(update(table).where(over).values(disabled))).rowcount != 1:
            return None
        scope, kind, event_id = Scope.of(task), EventType.ENDPOINT_DISABLED, str(uuid4())
        body = {
            **event_head(scope, kind, "", event_id, now),
            "endpoint_id": task.endpoint_id,
            "url": attempt.url,
            "reason": reason.value,
            "disabled_at": now.isoformat(),
        }
        return await announce(self._database, connection, scope, NewEvent(event_id, kind, "", body), now)


def disabling(note: str) -> str:
    """What is said of an attempt that disabled its endpoint."""
    return f"{note}; the endpoint was disabled"


def _delivery(task: DeliveryTask) -> ColumnElement[bool]:
    return and_(
        DELIVERIES.c.event_id == task.event_id,
        DELIVERIES.c.endpoint_id == task.endpoint_id,
        DELIVERIES.c.round == task.round,
        Scope.of(task).owns(DELIVERIES),
    )


def _under_way(task: DeliveryTask) -> ColumnElement[bool]:
    return and_(_delivery(task), DELIVERIES.c.status == DeliveryStatus.SCHEDULED)


def _endpoint(task: DeliveryTask) -> ColumnElement[bool]:
    return and_(WEBHOOK_ENDPOINTS.c.id == task.endpoint_id, Scope.of(task).owns(WEBHOOK_ENDPOINTS))


def _asked(task: DeliveryTask, attempt: DeliveryAttempt) -> ColumnElement[bool]:
    """The endpoint, while it has the address that the attempt was made at: of another the answer says nothing."""
    return _endpoint(task) & (WEBHOOK_ENDPOINTS.c.url == attempt.url)
