"""Removals: what is being taken away, and which of its connections have not followed yet."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import ConnectionStatus, DeliveryStatus, ReauthReason, RemovalKind, RemovalTask
from store.database import Database
from store.scope import Scope
from store.tables import (
    APPLICATIONS,
    CONNECTIONS,
    CREDENTIALS,
    DELIVERIES,
    EVENTS,
    LINKED_ACCOUNTS,
    ORGANIZATIONS,
    REMOVALS,
    SESSION_TOKENS,
    Connection,
    Removal,
)


class Removals:
    """The store's side of removals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, scope: Scope, kind: RemovalKind, subject: str, now: datetime) -> Removal | None:
        """Write down what is to go, and from now on treat it as gone; who has a session for it loses it at once.

        Answers the removal that is under way, where there is one; None where there is nothing to remove.
        """
        async with self._database.writing() as connection:
            if not await _mark(connection, scope, kind, subject, now):
                under_way = select(REMOVALS).where(
                    scope.owns(REMOVALS),
                    REMOVALS.c.kind == kind.value,
                    REMOVALS.c.subject == subject,
                    REMOVALS.c.finished_at.is_(None),
                )
                row = (await connection.execute(under_way)).one_or_none()
                return Removal(**row._mapping) if row is not None else None
            removal = Removal(
                id=f"rem_{uuid4().hex}",
                org_id=scope.org_id,
                environment=scope.environment,
                kind=kind,
                subject=subject,
                started_at=now,
            )
            removal.total = await _count(connection, removal_task(removal))
            values = {column.name: getattr(removal, column.name) for column in REMOVALS.columns}
            await connection.execute(REMOVALS.insert().values(values))
        return removal

    async def get(self, scope: Scope, removal_id: str) -> Removal | None:
        query = select(REMOVALS).where(REMOVALS.c.id == removal_id, scope.owns(REMOVALS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return Removal(**row._mapping) if row is not None else None

    async def of_organization(self, scope: Scope) -> Removal | None:
        """The removal of all that a tenant has, while it is under way."""
        query = select(REMOVALS).where(scope.owns(REMOVALS), REMOVALS.c.kind == RemovalKind.ORGANIZATION.value)
        async with self._database.reading() as connection:
            row = (await connection.execute(query.limit(1))).one_or_none()
        return Removal(**row._mapping) if row is not None else None

    async def unfinished(self, after: str, limit: int) -> list[Removal]:
        """Of all tenants: what upkeep makes sure of."""
        query = (
            select(REMOVALS)
            .where(REMOVALS.c.finished_at.is_(None), REMOVALS.c.id > after)
            .order_by(REMOVALS.c.id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Removal(**row._mapping) for row in rows]

    async def page(self, task: RemovalTask, after: str, limit: int) -> list[Connection]:
        """Connections that have not followed yet, in the order of their ids, from behind `after`."""
        query = (
            select(CONNECTIONS)
            .where(_outstanding(task), CONNECTIONS.c.id > after)
            .order_by(CONNECTIONS.c.id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Connection(**row._mapping) for row in rows]

    async def progress(self, task: RemovalTask) -> tuple[int, int]:
        """How many connections are done, and of how many; both counted, so that doing it twice changes nothing."""
        mine = (REMOVALS.c.id == task.id) & Scope.of(task).owns(REMOVALS)
        async with self._database.writing() as connection:
            outstanding = await _count(connection, task)
            known = (await connection.execute(select(REMOVALS.c.total).where(mine))).scalar_one_or_none() or 0
            total = max(known, outstanding)
            await connection.execute(update(REMOVALS).where(mine).values(total=total, done=total - outstanding))
        return total - outstanding, total

    async def on_their_way(self, task: RemovalTask) -> int:
        """What forgetting would cut off: credentials that wait to be revoked, events that wait to be delivered.

        An application's connections keep all they have, but what has ended is revoked with the application's client.
        """
        mine = select(CONNECTIONS.c.id).where(
            _concerned(task), CONNECTIONS.c.status == ConnectionStatus.DISCONNECTED.value
        )
        credentials = select(func.count()).where(CREDENTIALS.c.connection_id.in_(mine))
        deliveries = (
            select(func.count())
            .select_from(DELIVERIES.join(EVENTS, EVENTS.c.id == DELIVERIES.c.event_id))
            .where(DELIVERIES.c.status == DeliveryStatus.SCHEDULED, EVENTS.c.connection_id.in_(mine))
        )
        counted = [credentials] if task.kind is RemovalKind.APPLICATION else [credentials, deliveries]
        async with self._database.reading() as connection:
            return sum([int((await connection.execute(query)).scalar_one()) for query in counted])


def removal_task(removal: Removal) -> RemovalTask:
    """A row as the contract names it."""
    return RemovalTask(
        id=removal.id,
        org_id=removal.org_id,
        environment=removal.environment,
        kind=removal.kind,
        subject=removal.subject,
    )


async def _mark(connection: AsyncConnection, scope: Scope, kind: RemovalKind, subject: str, now: datetime) -> bool:
    """Whether it is there and was not marked before."""
    applications = scope.owns(APPLICATIONS) & APPLICATIONS.c.removed_at.is_(None)
    accounts = scope.owns(LINKED_ACCOUNTS) & LINKED_ACCOUNTS.c.removed_at.is_(None)
    sessions = scope.owns(SESSION_TOKENS) & SESSION_TOKENS.c.revoked_at.is_(None)
    match kind:
        case RemovalKind.APPLICATION:
            mine = applications & (APPLICATIONS.c.slug == subject)
            marked = await connection.execute(update(APPLICATIONS).where(mine).values(removed_at=now))
            return marked.rowcount == 1
        case RemovalKind.LINKED_ACCOUNT:
            mine = accounts & (LINKED_ACCOUNTS.c.id == subject)
            marked = await connection.execute(update(LINKED_ACCOUNTS).where(mine).values(removed_at=now))
            sessions = sessions & (SESSION_TOKENS.c.linked_account_id == subject)
            await connection.execute(update(SESSION_TOKENS).where(sessions).values(revoked_at=now))
            return marked.rowcount == 1
        case RemovalKind.ORGANIZATION:
            # Held, so that nobody makes anything new at the same time (`Tenants`).
            held = select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.id == scope.org_id).with_for_update()
            erasing = select(func.count()).where(
                scope.owns(REMOVALS), REMOVALS.c.kind == kind.value, REMOVALS.c.finished_at.is_(None)
            )
            if (await connection.execute(held)).one_or_none() is None:
                return False
            if (await connection.execute(erasing)).scalar_one():
                return False
            await connection.execute(update(APPLICATIONS).where(applications).values(removed_at=now))
            await connection.execute(update(LINKED_ACCOUNTS).where(accounts).values(removed_at=now))
            await connection.execute(update(SESSION_TOKENS).where(sessions).values(revoked_at=now))
            return True


async def _count(connection: AsyncConnection, task: RemovalTask) -> int:
    query = select(func.count()).select_from(CONNECTIONS).where(_outstanding(task))
    return int((await connection.execute(query)).scalar_one())


def _concerned(task: RemovalTask) -> ColumnElement[bool]:
    """The connections of what is removed."""
    mine = Scope.of(task).owns(CONNECTIONS)
    match task.kind:
        case RemovalKind.APPLICATION:
            return mine & (CONNECTIONS.c.slug == task.subject)
        case RemovalKind.LINKED_ACCOUNT:
            return mine & (CONNECTIONS.c.linked_account_id == task.subject)
        case RemovalKind.ORGANIZATION:
            return mine


def _outstanding(task: RemovalTask) -> ColumnElement[bool]:
    """Those that have not followed: they live, or they do not know yet that their application is gone.

    A grant that was stored before the removal began, and that the workflow has not heard of, will make its connection
    active once more.
    """
    living = _concerned(task) & (CONNECTIONS.c.status != ConnectionStatus.DISCONNECTED.value)
    if task.kind is not RemovalKind.APPLICATION:
        return living
    granted = (
        select(CREDENTIALS.c.connection_id)
        .where(CREDENTIALS.c.connection_id == CONNECTIONS.c.id, CREDENTIALS.c.unconfirmed_generation.is_not(None))
        .exists()
    )
    return and_(
        living,
        or_(
            CONNECTIONS.c.status != ConnectionStatus.REAUTH_REQUIRED.value,
            CONNECTIONS.c.reason.is_distinct_from(ReauthReason.APPLICATION_DELETED.value),
            granted,
        ),
    )
