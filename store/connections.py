"""Connections, their timeline and the events that announce it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import (
    AuthType,
    ConnectionRef,
    ConnectionStatus,
    Environment,
    EventType,
    Health,
    Transition,
)
from store.credentials import StoredCredential
from store.database import Access, Database
from store.listing import ConnectionFilter, counts_query, living_query, page_query
from store.outages import instead_of, outage_event_id
from store.outbox import Announced, NewEvent, announce, announced_before
from store.scope import Scope
from store.tables import (
    CONNECTION_KEYS,
    CONNECTIONS,
    CREDENTIALS,
    EVENTS,
    TRANSITIONS,
    Connection,
    TransitionRow,
)
from store.tenants import refuse_removed


@dataclass(frozen=True)
class Counts:
    """Connections by status; a degraded one counts twice."""

    pending: int = 0
    active: int = 0
    reauth_required: int = 0
    disconnected: int = 0
    degraded: int = 0


class Standing(NamedTuple):
    """How a connection stands, as far as somebody who waits for it must know."""

    status: ConnectionStatus
    sequence: int


@dataclass(frozen=True)
class CredentialRead:
    """What `/token` needs to know."""

    status: ConnectionStatus
    reason: str | None
    slug: str
    linked_account_id: str
    sequence: int
    updated_at: datetime  # when the credential was given
    stored: StoredCredential | None


_READ = (  # built once: each read of a token takes it
    select(
        CONNECTIONS.c.status,
        CONNECTIONS.c.reason,
        CONNECTIONS.c.slug,
        CONNECTIONS.c.linked_account_id,
        CONNECTIONS.c.sequence,
        func.coalesce(CREDENTIALS.c.updated_at, CONNECTIONS.c.created_at),
        CREDENTIALS.c.generation,
        CREDENTIALS.c.sealed,
        CREDENTIALS.c.renewable,
        CREDENTIALS.c.expires_at,
        CREDENTIALS.c.ends_at,
    )
    .outerjoin_from(CONNECTIONS, CREDENTIALS, CREDENTIALS.c.connection_id == CONNECTIONS.c.id)
    .where(
        CONNECTIONS.c.id == bindparam("connection_id"),
        CONNECTIONS.c.org_id == bindparam("org_id"),
        CONNECTIONS.c.environment == bindparam("environment"),
    )
)


class Connections:
    """The store's side of connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: Scope, connection_id: str) -> Connection | None:
        return await self._one((CONNECTIONS.c.id == connection_id) & scope.owns(CONNECTIONS))

    async def of_id(self, connection_id: str) -> Connection | None:
        """One of any tenant: whoever asks has been let in for it otherwise."""
        return await self._one(CONNECTIONS.c.id == connection_id)

    async def _one(self, condition: ColumnElement[bool]) -> Connection | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(CONNECTIONS).where(condition))).one_or_none()
        return Connection(**row._mapping) if row is not None else None

    async def page(
        self, scope: Scope, wanted: ConnectionFilter, *, after: str | None = None, limit: int = 100
    ) -> list[Connection]:
        """Connections in the order of their ids, from behind `after`."""
        query = page_query(scope, wanted, after, limit, is_sqlite=self._database.is_sqlite)
        if query is None:
            return []
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Connection(**row._mapping) for row in rows]

    async def counts(self, scope: Scope, wanted: ConnectionFilter) -> Counts:
        """How many of a tenant's connections are in each state."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(counts_query(scope, wanted))).all()
        of = Counter[str]()
        for status, health, count in rows:
            of[status] += count
            if health == Health.DEGRADED:
                of["degraded"] += count
        return Counts(**of)

    async def living(self, scope: Scope, account_ids: Sequence[str], slug: str | None = None) -> list[Connection]:
        """All connections of these linked accounts that have not ended, in the order of their ids."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(living_query(scope, account_ids, slug))).all()
        return sorted((Connection(**row._mapping) for row in rows), key=lambda row: row.id)

    async def has_account(self, scope: Scope, slug: str, identifier: str) -> bool:
        """Whether a living connection of the tenant's opens this account at the provider, whosever it is."""
        query = (
            select(CONNECTIONS.c.id)
            .join(CONNECTION_KEYS, CONNECTION_KEYS.c.connection_id == CONNECTIONS.c.id)
            .where(
                scope.owns(CONNECTION_KEYS),
                CONNECTION_KEYS.c.slug == slug,
                CONNECTION_KEYS.c.name == "account",
                CONNECTION_KEYS.c.value == identifier,
                CONNECTIONS.c.status != ConnectionStatus.DISCONNECTED.value,
            )
            .limit(1)
        )
        async with self._database.reading() as connection:
            return (await connection.execute(query)).one_or_none() is not None

    async def standings(self, connection_ids: Collection[str]) -> dict[str, Standing]:
        """How these connections stand, of whatever tenants they are."""
        query = select(CONNECTIONS.c.id, CONNECTIONS.c.status, CONNECTIONS.c.sequence).where(
            CONNECTIONS.c.id.in_(connection_ids)
        )
        rows = await self._database.run(Access.READ, lambda held: held.execute(query).all())
        return {row.id: Standing(row.status, row.sequence) for row in rows}

    async def find_or_create(
        self,
        scope: Scope,
        *,
        linked_account_id: str,
        slug: str,
        identifier: str,
        display_name: str | None,
        auth_type: AuthType,
        now: datetime,
    ) -> Connection:
        """The living connection of this account at the provider: the same id for as long as it lives.

        Raises:
            RemovalUnderWay: of the application or of the linked account; no new connection is made.
        """
        wanted = select(CONNECTIONS).where(
            scope.owns(CONNECTIONS),
            CONNECTIONS.c.linked_account_id == linked_account_id,
            CONNECTIONS.c.slug == slug,
            CONNECTIONS.c.identifier == identifier,
            CONNECTIONS.c.status != ConnectionStatus.DISCONNECTED.value,
        )
        created = Connection(
            id=f"con_{uuid4().hex}",
            org_id=scope.org_id,
            environment=scope.environment,
            linked_account_id=linked_account_id,
            slug=slug,
            identifier=identifier,
            display_name=display_name,
            auth_type=auth_type,
            status_since=now,
            created_at=now,
        )
        async with self._database.writing() as connection:
            row = (await connection.execute(wanted)).one_or_none()
            if row is not None:
                return Connection(**row._mapping)
        try:
            async with self._database.writing() as connection:
                await refuse_removed(connection, scope, slug, linked_account_id)
                await connection.execute(CONNECTIONS.insert().values(_values(created)))
        except IntegrityError:  # somebody else was faster
            async with self._database.reading() as connection:
                row = (await connection.execute(wanted)).one_or_none()
            if row is None:  # and has ended already
                raise
            return Connection(**row._mapping)
        return created

    async def timeline(self, scope: Scope, connection_id: str) -> list[TransitionRow]:
        query = (
            select(TRANSITIONS)
            .where(TRANSITIONS.c.connection_id == connection_id, scope.owns(TRANSITIONS))
            .order_by(TRANSITIONS.c.sequence)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [TransitionRow(**row._mapping) for row in rows]

    async def record(self, ref: ConnectionRef, transition: Transition, now: datetime) -> Announced | None:
        """Write a transition, the connection's new state and the event in one transaction.

        Idempotent; of a connection that is not there any more, nothing is written. Answers the event, if there is one:
        the connection's own, or that its application is out.
        """
        scope = Scope.of(ref)
        async with self._database.writing() as connection:
            moved = (await connection.execute(_projection(scope, ref, transition))).rowcount == 1
            if not moved and not await _is_there(connection, scope, ref.connection_id):
                return None  # a removal has forgotten it; its workflow may come to its end all the same
            values = _transition_values(ref, transition)
            written = await connection.execute(self._database.insert_or_ignore(TRANSITIONS, values))
            if transition.event is None:
                return None
            if written.rowcount != 1:
                known = (str(transition.event_id(ref.connection_id)), outage_event_id(ref, transition))
                return await announced_before(connection, scope, known)
            own = await connection_event(connection, ref, transition)
            event = await instead_of(own, connection, ref, transition, now) if moved else own
            if event is not own:
                await connection.execute(_unannounced(scope, ref, transition))
            return None if event is None else await announce(self._database, connection, scope, event, now)

    async def with_credential(self, scope: Scope, connection_id: str) -> CredentialRead | None:
        """A connection's status with its sealed credential, in one read."""
        values = {**scope.columns, "connection_id": connection_id}
        row = await self._database.run(Access.READ, lambda held: held.execute(_READ, values).one_or_none())
        if row is None:
            return None
        return CredentialRead(*row[:6], stored=StoredCredential(*row[6:]) if row.sealed else None)


async def _is_there(connection: AsyncConnection, scope: Scope, connection_id: str) -> bool:
    query = select(CONNECTIONS.c.id).where(CONNECTIONS.c.id == connection_id, scope.owns(CONNECTIONS))
    return (await connection.execute(query)).one_or_none() is not None


async def connection_event(connection: AsyncConnection, ref: ConnectionRef, transition: Transition) -> NewEvent:
    """What announces a transition."""
    assert transition.event is not None
    return NewEvent(
        id=str(transition.event_id(ref.connection_id)),
        type=transition.event,
        slug=ref.slug,
        body=event_body(ref, transition, await _previous_event(connection, ref, transition)),
        connection_id=ref.connection_id,
        sequence=transition.sequence,
    )


async def _previous_event(connection: AsyncConnection, ref: ConnectionRef, transition: Transition) -> int | None:
    """The sequence of the connection's event before this one: transitions without an event take numbers, too."""
    before = (EVENTS.c.connection_id == ref.connection_id) & (EVENTS.c.sequence < transition.sequence)
    latest: int | None = (await connection.execute(select(func.max(EVENTS.c.sequence)).where(before))).scalar_one()
    return latest


def connection_ref(row: Connection) -> ConnectionRef:
    """A row's identity as the contract names it."""
    return ConnectionRef(
        org_id=row.org_id,
        environment=Environment(row.environment),
        connection_id=row.id,
        slug=row.slug,
        linked_account_id=row.linked_account_id,
        identifier=row.identifier,
        auth_type=AuthType(row.auth_type),
    )


def event_body(ref: ConnectionRef, transition: Transition, previous_sequence: int | None) -> dict[str, Any]:
    """The webhook's body: the seed's fields first, then what tells duplicates, order and gaps."""
    more: dict[str, Any] = {"ends_at": transition.ends_at.isoformat()} if transition.ends_at else {}
    if transition.reminder is not None:
        more["expired_at"] = transition.reminder.expired_at.isoformat()
        more["reminder"], more["reminders"] = transition.reminder.number, transition.reminder.total
    return {
        "linked_account_id": ref.linked_account_id,
        "org_id": ref.org_id,
        "environment": ref.environment.value,
        "type": "General",
        "event": str(transition.event),
        "slug": ref.slug,
        "createdAt": format_datetime(transition.at, usegmt=True),
        "event_id": str(transition.event_id(ref.connection_id)),
        "connection_id": ref.connection_id,
        "identifier": ref.identifier,
        "auth_type": ref.auth_type.value,
        "reason": transition.reason.value if transition.reason else None,
        "previous_status": transition.previous_status.value,
        "status": transition.status.value,
        "sequence": transition.sequence,
        "previous_sequence": previous_sequence,
        **more,
    }


def _values(row: Connection) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in CONNECTIONS.columns}


def _transition_values(ref: ConnectionRef, transition: Transition) -> dict[str, Any]:
    return {
        "connection_id": ref.connection_id,
        "sequence": transition.sequence,
        **Scope.of(ref).columns,
        "at": transition.at,
        "previous_status": transition.previous_status.value,
        "status": transition.status.value,
        "health": transition.health.value,
        "reason": transition.reason.value if transition.reason else None,
        "event": transition.event.value if transition.event else None,
        "note": transition.note,
    }


def _unannounced(scope: Scope, ref: ConnectionRef, transition: Transition) -> Any:
    mine = (TRANSITIONS.c.connection_id == ref.connection_id) & (TRANSITIONS.c.sequence == transition.sequence)
    return update(TRANSITIONS).where(mine, scope.owns(TRANSITIONS)).values(event=None)


def _projection(scope: Scope, ref: ConnectionRef, transition: Transition) -> Any:
    """The connection's row follows the workflow, and never goes back behind a newer transition."""
    values: dict[str, Any] = {
        "status": transition.status.value,
        "health": transition.health.value,
        "reason": transition.reason.value if transition.reason else None,
        "sequence": transition.sequence,
    }
    if transition.status is not transition.previous_status:
        values["status_since"] = transition.at
    if transition.status is not ConnectionStatus.ACTIVE or transition.event is EventType.REAUTHENTICATED:
        values["in_outage"] = False
    connected = transition.status is ConnectionStatus.ACTIVE and transition.health is Health.OK
    if connected and transition.status is not transition.previous_status:
        values["connected_at"] = transition.at
    return (
        update(CONNECTIONS)
        .where(
            CONNECTIONS.c.id == ref.connection_id,
            scope.owns(CONNECTIONS),
            CONNECTIONS.c.sequence < transition.sequence,
        )
        .values(values)
    )
